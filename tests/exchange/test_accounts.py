"""Accounts get their access by themselves, are found ready, and stop alone: on the sandbox's CLOB."""

from collections.abc import AsyncIterator

import pytest

from copytrading.accounts.doubts import said
from copytrading.accounts.examination import RENEW_AGAIN_S
from copytrading.accounts.readiness import Examined, Part, blocking
from copytrading.operations.account_states import account_rows
from copytrading.verification.exchange import CASH
from copytrading.wiring_accounts import look_at_accounts
from execution.models import Secret, TradingAccount
from execution.vault.vault import API_CREDENTIALS, PRIVATE_KEY
from guardrails.models import GuardrailEvent
from ledger.entries import account, deposit
from ledger.models import CashBalance, LedgerEntry
from ledger.operations import write_entries
from ledger.system import SystemClock
from tests.exchange.stage import AccountStage, account_stage

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

BOTH = {"Fay": "ACTIVE", "Sam": "ACTIVE"}
REFUSED = said("The credentials were refused.")


@pytest.fixture
async def stage() -> AsyncIterator[AccountStage]:
    async with account_stage() as made:
        await made.accounts.keeper.run_once()
        yield made


async def test_the_first_look_gets_credentials_seals_them_and_books_the_money(stage: AccountStage) -> None:
    for name, trader in stage.traders.items():
        row = await stage.row(name)
        assert (row.missing, row.synced_at is not None) == ([], True)
        sealed = await stage.database.run(Secret.objects.get, name=f"{API_CREDENTIALS}:{trader.signer}")
        access = await stage.accounts.book.of(trader.follower_id)
        assert access is not None
        assert access.credentials.secret.encode() not in bytes(sealed.sealed)
        cash = await stage.database.run(CashBalance.objects.get, follower_id=trader.follower_id)
        assert cash.cash_micros == CASH


async def test_a_process_that_comes_later_opens_what_is_sealed(stage: AccountStage) -> None:
    before = stage.box.exchange.requests["GET /auth/derive-api-key"]
    await stage.restart()
    await stage.accounts.keeper.run_once()
    assert stage.accounts.book.known == {trader.follower_id for trader in stage.traders.values()}
    assert stage.box.exchange.requests["GET /auth/derive-api-key"] == before


@pytest.mark.parametrize("purpose", [API_CREDENTIALS, PRIVATE_KEY])
async def test_secrets_that_do_not_open_stop_their_account_alone(stage: AccountStage, purpose: str) -> None:
    await stage.database.run(_spoil, f"{purpose}:{stage.traders['Sam'].signer}")
    await stage.restart()
    await stage.database.run(_look_again)
    await stage.accounts.keeper.run_once()
    assert await stage.states() == {"Fay": "ACTIVE", "Sam": "STOPPED"}
    assert "cannot be opened" in (await stage.row("Sam")).stopped_why


async def test_what_the_venue_says_against_an_account_stops_it_alone(stage: AccountStage) -> None:
    stage.accounts.keeper.doubt(stage.traders["Fay"].follower_id, said("'0x…' address banned"))
    await stage.accounts.keeper.run_once()
    assert await stage.states() == {"Fay": "STOPPED", "Sam": "ACTIVE"}
    assert await stage.database.run(_incidents) == ["ACCOUNT_STOPPED"]


async def test_a_revoked_session_stops_with_its_incident(stage: AccountStage) -> None:
    sam = stage.traders["Sam"]
    stage.box.exchange.revoke_session(sam.wallet, sam.signer)
    stage.accounts.keeper.doubt(sam.follower_id, REFUSED)
    await stage.accounts.keeper.run_once()
    assert await stage.states() == {"Fay": "ACTIVE", "Sam": "STOPPED"}
    assert await stage.database.run(_incidents) == ["SESSION_REVOKED"]


async def test_a_session_whose_time_is_over_stops_with_its_incident(stage: AccountStage) -> None:
    await stage.database.run(_expire_sessions)
    await stage.restart()
    await stage.database.run(_look_again)
    await stage.accounts.keeper.run_once()
    assert await stage.states() == {"Fay": "ACTIVE", "Sam": "STOPPED"}
    assert (await stage.row("Sam")).stopped_why == "Its session key has expired."
    assert await stage.database.run(_incidents) == ["SESSION_REVOKED"]


async def test_credentials_that_the_venue_forgot_are_got_again_once(stage: AccountStage) -> None:
    fay, asked = stage.traders["Fay"], stage.box.exchange.requests
    for known in stage.box.exchange.keys.of(fay.signer):
        stage.box.exchange.keys.delete(known)
    before = asked["POST /auth/api-key"]
    for _time in range(3):
        stage.accounts.keeper.doubt(fay.follower_id, REFUSED)
        await stage.accounts.keeper.run_once()
    assert await stage.states() == BOTH
    assert asked["POST /auth/api-key"] == before + 1
    access = await stage.accounts.book.of(fay.follower_id)
    assert access is not None
    assert [each.api_key for each in stage.box.exchange.keys.of(fay.signer)] == [access.credentials.api_key]


async def test_credentials_that_are_refused_again_soon_are_not_renewed_again_and_stop_nobody(
    stage: AccountStage,
) -> None:
    fay, asked = stage.traders["Fay"], stage.box.exchange.requests
    row = (await stage.database.run(account_rows, address=fay.signer))[0]
    before = asked["POST /auth/api-key"]
    found = []
    for _time in range(3):
        for known in stage.box.exchange.keys.of(fay.signer):
            stage.box.exchange.keys.delete(known)
        found.append(await stage.accounts.examiner.examine(row, doubt=REFUSED))
    troubles = [each.credentials_trouble for each in found if isinstance(each, Examined)]
    assert ([bool(each) for each in troubles], asked["POST /auth/api-key"]) == ([False, True, True], before + 1)
    stage.accounts.examiner._renewed_ms[fay.signer] -= RENEW_AGAIN_S * 1_000
    found.append(await stage.accounts.examiner.examine(row, doubt=REFUSED))
    assert isinstance(found[-1], Examined) and not found[-1].credentials_trouble
    assert asked["POST /auth/api-key"] == before + 2


async def test_a_clock_that_was_moved_stops_nobody(stage: AccountStage) -> None:
    stage.client._asker.ahead_s = -3_600.0
    before = stage.box.exchange.requests["GET /auth/derive-api-key"]
    stage.accounts.keeper.doubt(stage.traders["Sam"].follower_id, REFUSED)
    await stage.accounts.keeper.run_once()
    assert await stage.states() == BOTH
    assert (stage.client._asker.ahead_s, stage.box.exchange.requests["GET /auth/derive-api-key"]) == (0.0, before)


async def test_money_that_another_process_booked_at_the_same_time_is_no_failure(stage: AccountStage) -> None:
    fay, sam = stage.traders["Fay"], stage.traders["Sam"]
    await stage.database.run(_book_for_another, fay.follower_id, sam.follower_id)
    stage.box.exchange.fund(fay.wallet, 5)
    await stage.database.run(_look_again)
    await stage.accounts.keeper.run_once()
    cash = await stage.database.run(CashBalance.objects.get, follower_id=fay.follower_id)
    assert cash.cash_micros == CASH


async def test_another_key_of_an_account_is_noticed_by_every_process(stage: AccountStage) -> None:
    fay, sam = stage.traders["Fay"], stage.traders["Sam"]
    await stage.restart()
    await stage.accounts.keeper.run_once()
    await stage.database.run(_give, sam.follower_id, signer=fay.signer, tier="GOLD")
    stage.accounts.keeper._read_ms = None
    await stage.accounts.keeper.run_once()
    access = await stage.accounts.book.of(sam.follower_id)
    assert access is not None
    assert (access.signer, access.tier) == (fay.signer, "GOLD")
    assert access.credentials.address.lower() == fay.signer


async def test_closed_only_is_found_by_looking(stage: AccountStage) -> None:
    stage.box.exchange.close_only(stage.traders["Fay"].wallet)
    await stage.database.run(_look_again)
    await stage.accounts.keeper.run_once()
    parts = {name: [each["part"] for each in (await stage.row(name)).missing or ()] for name in stage.traders}
    assert parts == {"Fay": ["STANDING"], "Sam": []}


async def test_readiness_is_told_with_the_next_step(stage: AccountStage) -> None:
    fay, sam = stage.traders["Fay"], stage.traders["Sam"]
    stage.box.exchange.allow(fay.wallet, 0)
    (seen,) = await look_at_accounts(address=fay.wallet)
    assert [each.part for each in seen.lacks] == [Part.ALLOWANCE] * 3 + [Part.SHARES] * 3
    assert blocking(seen.lacks) == ()
    (other,) = await look_at_accounts(address=sam.signer)
    assert other.lacks == ()
    assert len(await look_at_accounts()) == 2


async def test_shares_that_an_exchange_may_not_move_are_told_before_any_market_is_known(stage: AccountStage) -> None:
    fay, exchanges = stage.traders["Fay"], stage.box.exchange.funds.spenders
    stage.box.exchange.approve_shares(fay.wallet, on=False, spender=exchanges[0])
    (seen,) = await look_at_accounts(address=fay.wallet)
    assert [(each.part, each.blocks, each.no_exit) for each in seen.lacks] == [(Part.SHARES, False, "CTF_V2")]


async def test_approvals_cost_a_question_for_each_exchange_and_then_none_for_a_while(stage: AccountStage) -> None:
    asked, before = stage.http, stage.http.asked_for("CONDITIONAL")
    await stage.database.run(_look_again)
    await stage.accounts.keeper.run_once()
    assert (before, asked.asked_for("CONDITIONAL") - before) == (3 * len(stage.traders), 0)


def _spoil(name: str) -> None:
    row = Secret.objects.get(name=name)
    row.sealed = bytes(row.sealed)[:-1] + bytes(((bytes(row.sealed)[-1] + 1) % 256,))
    row.save()


def _give(follower_id: int, *, signer: str, tier: str) -> None:
    rows = TradingAccount.objects.filter(follower_id=follower_id)
    TradingAccount.objects.filter(signer=signer).delete()
    # Looked at by another process, a moment ago.
    rows.update(signer=signer, tier=tier, checked_at=SystemClock().now())


def _book_for_another(follower_id: int, other_id: int) -> None:
    """The key that the next difference of one will have is an entry's already."""
    last = LedgerEntry.objects.filter(debit_account=account(follower_id, "cash")) | LedgerEntry.objects.filter(
        credit_account=account(follower_id, "cash")
    )
    newest = last.order_by("-pk").values_list("pk", flat=True).first() or 0
    write_entries([(deposit(other_id, 1, f"venue-cash:{follower_id}:{newest}"), None)])


def _expire_sessions() -> None:
    sessions = TradingAccount.objects.filter(session_valid_until__isnull=False)
    assert sessions.update(session_valid_until=SystemClock().now()) == 1


def _look_again() -> None:
    TradingAccount.objects.update(checked_at=None)


def _incidents() -> list[str]:
    wanted = ("ACCOUNT_STOPPED", "SESSION_REVOKED")
    return list(GuardrailEvent.objects.filter(reason__in=wanted).values_list("reason", flat=True))
