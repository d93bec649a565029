"""The signer's policy: what it signs, and a sentence for everything else."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.orders import ExchangeDomain, OrderPlan, OrderType, order_hash
from execution.ports import Login
from execution.signer.policy import SigningPolicy
from ledger.units import ONE, Micros, Side
from tests.doors import BEGINNING
from tests.execution.signers import (
    ACCOUNTS,
    DEPOSIT,
    FAY,
    FRED,
    PROXY,
    SAFE,
    SENT_MS,
    SESSION,
    changed_account,
    login,
    plan,
    plan_of,
    policy,
)

STRANGER = "0x" + "5a" * 20


def refusal(order: OrderPlan, key: str = "", rules: SigningPolicy | None = None) -> str | None:
    return (rules or policy()).order_refusal(order, key or order.key, now=BEGINNING)


def forged(order: OrderPlan, **changes: Any) -> OrderPlan:
    """With other fields, and the hash that belongs to them."""
    changed = dataclasses.replace(order, **changes)
    return dataclasses.replace(changed, order_hash=order_hash(changed))


@pytest.mark.parametrize("wallet", ACCOUNTS, ids=["EOA", "EOA 2", "proxy", "safe", "session"])
@pytest.mark.parametrize("domain", ExchangeDomain)
@pytest.mark.parametrize("side", Side)
def test_orders_of_every_account_on_every_exchange_are_signed(wallet: str, domain: ExchangeDomain, side: Side) -> None:
    assert refusal(plan_of(wallet, domain=domain, side=side)) is None


def test_what_is_cut_to_whole_cents_is_signed_too() -> None:
    for side in Side:
        order = plan(side=side, size_micros=Micros(196_070_000), limit_micros=Micros(510_000), whole_cents=True)
        assert refusal(order) is None


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        (plan(maker=STRANGER, signer=STRANGER), "There is no account with the wallet"),
        (plan_of(FAY, size_micros=Micros(200 * ONE)), "The order pays $104; this signer signs for at most $100."),
        (forged(plan(), maker_amount=1), "The amounts are not those"),
        (forged(plan(), maker_amount=5_200_001), "The amounts are not those"),
        (forged(plan(), taker_amount=1), "The amounts are not those"),
        (forged(plan(), limit_micros=Micros(530_000)), "The amounts are not those"),
        (forged(plan(), tick_micros=Micros(20_000)), "The tick 0.02 is none that the venue uses."),
        (forged(plan(), limit_micros=Micros(525_000)), "The price 0.525 is not on tick 0.01."),
        (forged(plan(), salt=1 << 53), "where a JSON number is exact"),
        (forged(plan(), builder=b"\xab" * 32), "metadata or a builder code"),
        (forged(plan(), metadata=b"\xab" * 32), "metadata or a builder code"),
        (forged(plan_of(PROXY), signature_type=2), "signs with type 1, not 2"),
        (forged(plan_of(PROXY), signer=SAFE), "The order names the signer"),
        (forged(plan_of(DEPOSIT), signer=SESSION), "The order names the signer"),
        (dataclasses.replace(plan(), order_hash="0x" + "ab" * 32), "The order hash is not that"),
        (dataclasses.replace(plan(), token_id=7), "The order hash is not that"),
        (dataclasses.replace(plan(), timestamp_ms=SENT_MS + 1), "The order hash is not that"),
        (dataclasses.replace(plan(), metadata=b"short"), "32 bytes each"),
    ],
)
def test_other_orders_are_refused_with_a_sentence(order: OrderPlan, sentence: str) -> None:
    assert sentence in (refusal(order) or "signed")


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (policy(chain_id=80_002), "for chain 137 alone, not for 80002"),
        (policy(contracts=frozenset({STRANGER})), "is none that this signer signs for"),
        (policy(contracts=frozenset()), "is none that this signer signs for"),
        (policy(accounts={}), "There is no account"),
        (changed_account(FAY, active=False), f"The account of {FAY} is stopped."),
        (changed_account(FAY, signer=FRED), "does not belong to the wallet"),
        (policy(max_order_micros=5_199_999), "this signer signs for at most $5.199999"),
    ],
)
def test_nothing_is_signed_that_the_policy_does_not_name(rules: SigningPolicy, sentence: str) -> None:
    assert sentence in (refusal(plan(), rules=rules) or "signed")


def test_a_sale_has_no_bound_so_that_no_exit_gets_stuck() -> None:
    assert refusal(plan(side=Side.SELL, size_micros=Micros(10_000 * ONE))) is None


def test_a_key_signs_for_its_own_wallet_alone() -> None:
    assert refusal(plan(), FRED) == f"The key {FRED} does not belong to the wallet {FAY}."
    assert refusal(plan_of(PROXY), FAY) is None
    assert "does not belong" in (refusal(plan_of(DEPOSIT), FAY) or "")


@pytest.mark.parametrize(("left", "signed"), [(timedelta(seconds=1), True), (timedelta(0), False), (None, False)])
def test_a_session_key_signs_until_its_time_is_over(left: timedelta | None, signed: bool) -> None:
    rules = changed_account(DEPOSIT, valid_until=None if left is None else BEGINNING + left)
    assert (refusal(plan_of(DEPOSIT), rules=rules) is None) is signed
    assert (rules.login_refusal(login(SESSION), SESSION, now=BEGINNING) is None) is signed


def test_an_account_without_session_does_not_end() -> None:
    assert refusal(plan(), rules=changed_account(FAY, valid_until=BEGINNING - timedelta(days=1))) is None


@pytest.mark.parametrize("signature_type", [0, 1, 2])
def test_a_session_key_signs_for_deposit_wallets_alone(signature_type: int) -> None:
    rules = changed_account(FAY, session=True, signature_type=signature_type, valid_until=BEGINNING + timedelta(days=1))
    order = forged(plan(), signature_type=signature_type)
    assert refusal(order, rules=rules) == "A session key signs for a deposit wallet alone."


@given(st.data())
def test_no_changed_field_leaves_an_order_with_its_old_hash(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["token_id", "salt", "timestamp_ms", "side", "domain"]))
    order = plan()
    other = data.draw(
        {"side": st.just(Side.SELL), "domain": st.sampled_from([ExchangeDomain.V3, ExchangeDomain.NEG_RISK_V2])}.get(
            name, st.integers(1, 2**52).filter(lambda number: number != getattr(order, name))
        )
    )
    assert refusal(dataclasses.replace(order, **{name: other})) is not None


@pytest.mark.parametrize(
    ("asked", "key", "sentence"),
    [
        (login(FRED), FAY, "for its own address alone"),
        (login(STRANGER), STRANGER, "There is no account with the key"),
        (login(DEPOSIT), DEPOSIT, "There is no account with the key"),
        (login(timestamp=SENT_MS // 1_000 - 601), FAY, "for another moment than now"),
        (login(timestamp=SENT_MS // 1_000 + 601), FAY, "for another moment than now"),
        (login(timestamp=0), FAY, "for another moment than now"),
        (login(nonce=-1), FAY, "none that the venue uses"),
        (login(nonce=1 << 32), FAY, "none that the venue uses"),
    ],
)
def test_other_logins_are_refused_with_a_sentence(asked: Login, key: str, sentence: str) -> None:
    assert sentence in (policy().login_refusal(asked, key, now=BEGINNING) or "signed")


def test_logins_of_known_keys_are_signed_even_for_a_stopped_account() -> None:
    for key in (FAY, FRED, SESSION):
        assert policy().login_refusal(login(key), key, now=BEGINNING) is None
    rules = changed_account(FRED, active=False)
    assert rules.login_refusal(login(FRED), FRED, now=BEGINNING) is None


def test_every_order_type_is_signed() -> None:
    for order_type in OrderType:
        assert refusal(plan(order_type=order_type)) is None
