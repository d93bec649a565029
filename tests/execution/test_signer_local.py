"""The signer in this process: signs by the account, keeps keys to itself, and stops one account without the others."""

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import timedelta

import pytest
from coincurve import PublicKey
from django.db import DatabaseError, InterfaceError
from eth_account import Account

from copytrading.models import Follower
from execution.models import TradingAccount
from execution.orders import OrderPlan, keccak256, order_digest
from execution.ports import SignerRefused
from execution.signer.accounts import AccountPolicies
from execution.signer.keys import SingleKey, VaultKeys
from execution.signer.local import LocalKeySigner
from execution.signing import LocalSigner, login_digest, nested_digest, sign_order
from execution.vault.keks import TextKeks
from execution.vault.vault import Vault, secret_name
from ledger.hidden import Hidden
from ledger.system import SystemEntropy
from tests.canaries import OTHER_KEY, PRIVATE_KEY, SESSION_KEY, hidden_keks
from tests.doors import BEGINNING, InlineDatabase, VirtualClock
from tests.execution.signers import (
    ACCOUNTS,
    DEPOSIT,
    FAY,
    FRED,
    KEY_OF,
    PROXY,
    SAFE,
    SESSION,
    Fixed,
    Ring,
    changed_account,
    local_signer,
    login,
    plan,
    plan_of,
    policy,
)
from tests.factories import FollowerFactory


def recovered(digest: bytes, signature: bytes) -> str:
    public = PublicKey.from_signature_and_message(
        signature[:64] + bytes((signature[64] - 27,)), digest, hasher=None
    ).format(compressed=False)
    return "0x" + keccak256(public[1:])[-20:].hex()


@pytest.mark.parametrize("wallet", [FAY, FRED, PROXY, SAFE])
async def test_types_0_to_2_sign_the_order_hash(wallet: str) -> None:
    order = plan_of(wallet)
    signature = await local_signer().sign_order(order, key=order.key)
    assert len(signature) == 65
    assert recovered(order_digest(order), signature) == ACCOUNTS[wallet].signer


async def test_a_session_key_signs_nested_and_wrapped_for_its_wallet() -> None:
    order = plan_of(DEPOSIT)
    signature = await local_signer().sign_order(order, key=SESSION)
    assert len(signature) == 480
    assert signature[:32].hex().endswith(SESSION[2:])
    assert signature[-32:].hex() == "6492" * 16
    inner, separator, contents = signature[128:193], signature[193:225], signature[225:257]
    assert recovered(nested_digest(contents, separator, wallet=DEPOSIT), inner) == SESSION


async def test_the_owner_of_a_deposit_wallet_signs_without_the_wrapping() -> None:
    rules = changed_account(DEPOSIT, session=False, signer=FAY)
    order = plan_of(DEPOSIT)
    assert len(await local_signer(rules).sign_order(order, key=FAY)) == 317


async def test_what_the_policy_refuses_is_refused_before_a_key_is_asked_for() -> None:
    ring = Ring(broken=frozenset(KEY_OF))
    signer = local_signer(broken=ring.broken)
    with pytest.raises(SignerRefused, match="There is no account"):
        await signer.sign_order(plan(maker="0x" + "5a" * 20, signer="0x" + "5a" * 20), key=FAY)
    with pytest.raises(SignerRefused, match="cannot be opened"):
        await signer.sign_order(plan(), key=FAY)


async def test_one_account_that_cannot_be_opened_stops_that_account_alone() -> None:
    signer = local_signer(broken=frozenset({FRED}))
    answers = await asyncio.gather(
        *(signer.sign_order(plan_of(wallet), key=ACCOUNTS[wallet].signer) for wallet in ACCOUNTS),
        return_exceptions=True,
    )
    refused = {wallet for wallet, answer in zip(ACCOUNTS, answers, strict=True) if isinstance(answer, SignerRefused)}
    assert refused == {FRED}
    assert all(isinstance(answer, bytes) for answer in answers if not isinstance(answer, SignerRefused))


async def test_logins_are_signed_for_the_key_and_checked_by_another_library() -> None:
    for key in (FAY, SESSION):
        signature = await local_signer().sign_login(login(key), key=key)
        recovers = Account._recover_hash(login_digest(login(key), chain_id=137), signature=signature)
        assert recovers.lower() == key
    with pytest.raises(SignerRefused, match="for its own address"):
        await local_signer().sign_login(login(FRED), key=FAY)


async def test_the_same_order_gets_the_same_bytes_again() -> None:
    signer = local_signer()
    assert await signer.sign_order(plan(), key=FAY) == await signer.sign_order(
        plan(), key=FAY.upper().replace("X", "x")
    )


def test_session_wrapping_is_for_deposit_wallets_alone() -> None:
    with pytest.raises(SignerRefused, match="not for signature type 0"):
        sign_order(LocalSigner({FAY: PRIVATE_KEY}), plan(), wallet=FAY, session=True)


@pytest.fixture
def vault(db: None) -> Vault:
    """With the keys of Fay and of the session."""
    store = Vault(TextKeks(hidden_keks("k1")), SystemEntropy())
    store.put(secret_name("PRIVATE_KEY", FAY), PRIVATE_KEY)
    store.put(secret_name("PRIVATE_KEY", SESSION), SESSION_KEY)
    return store


async def test_keys_come_from_the_vault_once(vault: Vault) -> None:
    ring = VaultKeys(vault, InlineDatabase(), VirtualClock())
    signer = await ring.of(FAY)
    assert recovered(order_digest(plan()), sign_order(signer, plan(), wallet=FAY)) == FAY
    assert await ring.of(FAY.upper().replace("X", "x")) is signer
    assert PRIVATE_KEY.hex() not in f"{ring!r} {signer!r} {vars(signer)!r}"


async def test_a_key_that_does_not_belong_to_its_name_is_refused(vault: Vault) -> None:
    await InlineDatabase().run(vault.put, secret_name("PRIVATE_KEY", FRED), PRIVATE_KEY)
    with pytest.raises(SignerRefused, match=f"kept for {FRED} belongs to another address"):
        await VaultKeys(vault, InlineDatabase(), VirtualClock()).of(FRED)


async def test_a_missing_key_is_looked_for_again_after_a_second(vault: Vault) -> None:
    clock = VirtualClock()
    ring = VaultKeys(vault, InlineDatabase(), clock)
    for _time in range(2):
        with pytest.raises(SignerRefused, match="There is no secret PRIVATE_KEY"):
            await ring.of(FRED)
        await InlineDatabase().run(vault.put, secret_name("PRIVATE_KEY", FRED), OTHER_KEY)
    clock.advance(1.1)
    assert isinstance(await ring.of(FRED), LocalSigner)


async def test_the_single_traders_key_stands_before_the_vault(vault: Vault) -> None:
    ring = SingleKey(Hidden(f"0x{OTHER_KEY.hex()}"), VaultKeys(vault, InlineDatabase(), VirtualClock()))
    assert ring.address == FRED
    order = plan_of(FRED)
    assert recovered(order_digest(order), sign_order(await ring.of(FRED), order, wallet=FRED)) == FRED
    assert isinstance(await ring.of(FAY), LocalSigner)
    assert OTHER_KEY.hex() not in f"{ring!r} {vars(ring)!r}"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "this text has 0 characters"),
        (PRIVATE_KEY.hex()[:-1], "this text has 63 characters"),
        (PRIVATE_KEY.hex() + "00", "this text has 66 characters"),
        ("g" * 64, "hexadecimal digits alone"),
        (" 1" * 32, "this text has 63 characters"),
        ("11 " * 21 + "1", "hexadecimal digits alone|no blanks"),
        ("0" * 64, "outside the range of the curve"),
        ("f" * 64, "outside the range of the curve"),
    ],
)
def test_what_is_no_key_is_refused_without_being_shown(text: str, sentence: str) -> None:
    with pytest.raises(SignerRefused, match=sentence) as refused:
        SingleKey(Hidden(text), Ring())
    assert refused.value.__cause__ is None
    assert not text or text[:20] not in str(refused.value)


class Opening(Ring):
    """A ring whose keys take seconds to open; something happens meanwhile."""

    def __init__(self, clock: VirtualClock, meanwhile: Callable[[], object], *, taking_s: float = 3) -> None:
        super().__init__()
        self._clock, self._meanwhile, self._taking_s = clock, meanwhile, taking_s

    async def of(self, address: str) -> LocalSigner:
        self._clock.advance(self._taking_s)
        self._meanwhile()
        return await super().of(address)


@pytest.mark.parametrize("wallet", [FAY, DEPOSIT])
async def test_an_account_stopped_while_its_key_is_opened_gets_no_signature(wallet: str) -> None:
    clock, source = VirtualClock(), Fixed(policy())

    def stop() -> None:
        source.now = changed_account(wallet, active=False)

    signer = LocalKeySigner(Opening(clock, stop), source, clock)
    with pytest.raises(SignerRefused, match="is stopped"):
        await signer.sign_order(plan_of(wallet), key=ACCOUNTS[wallet].signer)


async def test_a_session_that_ends_while_its_key_is_opened_signs_nothing() -> None:
    clock = VirtualClock()
    source = Fixed(changed_account(DEPOSIT, valid_until=BEGINNING + timedelta(seconds=2)))
    signer = LocalKeySigner(Opening(clock, lambda: None), source, clock)
    with pytest.raises(SignerRefused, match="past its time"):
        await signer.sign_order(plan_of(DEPOSIT), key=SESSION)
    with pytest.raises(SignerRefused, match="past its time"):
        await signer.sign_login(login(SESSION), key=SESSION)


@pytest.mark.parametrize("trouble", [DatabaseError("gone"), InterfaceError("connection already closed")])
async def test_a_database_that_is_away_is_a_no_and_nothing_is_remembered(vault: Vault, trouble: Exception) -> None:
    database = Counted(trouble)
    ring = VaultKeys(vault, database, VirtualClock())
    database.down = True
    with pytest.raises(SignerRefused, match=f"The key of {FAY} cannot be read: the database does not answer"):
        await ring.of(FAY)
    database.down = False
    assert isinstance(await ring.of(FAY), LocalSigner)


class Counted(InlineDatabase):
    """Counts what was asked, and may be down."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.asked, self.down, self._trouble = 0, False, trouble or DatabaseError("gone")

    async def run(self, work, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        self.asked += 1
        if self.down:
            raise self._trouble
        return await super().run(work, *args, **kwargs)


def account(follower: Follower, **changes: object) -> TradingAccount:
    return TradingAccount.objects.create(follower=follower, signer=follower.wallet, **changes)


@pytest.mark.django_db
async def test_accounts_are_read_at_most_once_a_second_however_many_ask() -> None:
    clock, database = VirtualClock(), Counted()
    await InlineDatabase().run(lambda: account(FollowerFactory(name="Fay", wallet=FAY)))
    source = AccountPolicies(database, clock, terms=policy(accounts={}))
    await asyncio.gather(*(source.policy() for _number in range(20)))
    assert database.asked == 1
    clock.advance(0.9)
    assert set((await source.policy()).accounts) == {FAY}
    clock.advance(0.2)
    await source.policy()
    assert database.asked == 2


@pytest.mark.django_db
async def test_accounts_are_read_ahead_of_orders_that_are_expected() -> None:
    clock, database = VirtualClock(), Counted()
    source = AccountPolicies(database, clock, terms=policy(accounts={}))
    signer = LocalKeySigner(Ring(), source, clock)
    for _order in range(2):
        signer.expect()
        await source.policy()
    assert database.asked == 1


@pytest.mark.django_db
async def test_a_stopped_account_is_refused_a_second_later() -> None:
    clock = VirtualClock()
    row = await InlineDatabase().run(lambda: account(FollowerFactory(name="Fay", wallet=FAY)))
    source = AccountPolicies(InlineDatabase(), clock, terms=policy(accounts={}))
    assert (await source.policy()).order_refusal(plan(), FAY, now=BEGINNING) is None
    rows = TradingAccount.objects.filter(pk=row.pk)
    await InlineDatabase().run(lambda: rows.update(state="STOPPED", stopped_at=BEGINNING))
    clock.advance(1.1)
    assert "is stopped" in str((await source.policy()).order_refusal(plan(), FAY, now=BEGINNING))


@pytest.mark.django_db
async def test_a_session_account_carries_its_end() -> None:
    until = BEGINNING + timedelta(days=2)
    row = {"kind": "SESSION", "signature_type": 3, "signer": SESSION, "session_valid_until": until}
    follower = await InlineDatabase().run(lambda: FollowerFactory(name="Fay", wallet=DEPOSIT))
    await InlineDatabase().run(lambda: TradingAccount.objects.create(follower=follower, **row))
    found = (await AccountPolicies(InlineDatabase(), VirtualClock(), terms=policy()).policy()).accounts[DEPOSIT]
    assert (found.session, found.signer, found.valid_until) == (True, SESSION, until)


@pytest.mark.parametrize("trouble", [DatabaseError("gone"), InterfaceError("connection already closed")])
async def test_unreadable_accounts_sign_nothing(trouble: Exception) -> None:
    database = Counted(trouble)
    database.down = True
    with pytest.raises(SignerRefused, match="the database does not answer"):
        await AccountPolicies(database, VirtualClock(), terms=policy()).policy()


def test_an_order_of_another_hash_is_signed_by_nobody() -> None:
    wrong: OrderPlan = dataclasses.replace(plan(), order_hash="0x" + "00" * 32)
    with pytest.raises(SignerRefused, match="order hash"):
        sign_order(LocalSigner({FAY: PRIVATE_KEY}), wrong, wallet=FAY)
