"""Accounts as rows: looked at by one process each, stopped and started again, the single trader's own."""

from datetime import timedelta
from typing import Any

import pytest

from copytrading.models import Follower
from copytrading.operations.account_states import (
    account_rows,
    claim_due,
    ensure_single_trader,
    start_accounts,
    stop_account,
    stop_accounts,
    write_missing,
)
from execution.models import TradingAccount
from execution.queries import accounts
from guardrails.intents import Reason
from guardrails.models import GuardrailEvent
from ledger.models import AuditEntry
from tests.doors import BEGINNING
from tests.factories import CashBalanceFactory, FollowerFactory

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
WHO: dict[str, Any] = {"who": "olga", "why": "a reason", "now": BEGINNING}


@pytest.fixture
def account() -> TradingAccount:
    return account_of(FollowerFactory(mode=Follower.Mode.EXCHANGE))


def account_of(follower: Follower, **more: Any) -> TradingAccount:
    return TradingAccount.objects.create(**{"follower": follower, "signer": follower.wallet, "missing": [], **more})


def reasons(account: TradingAccount) -> list[Reason]:
    facts = accounts([account.follower_id], now=BEGINNING)[account.follower_id]
    return [each.reason for each in facts.refusals]


def test_an_account_is_looked_at_by_one_process_a_minute(account: TradingAccount) -> None:
    def due(at: Any) -> list[int]:
        return [each.follower_id for each in claim_due(before=at - MINUTE, now=at, limit=10)]

    assert due(BEGINNING) == [account.follower_id]
    assert due(BEGINNING) == []
    assert due(BEGINNING + MINUTE) == []
    assert due(BEGINNING + MINUTE + timedelta(seconds=1)) == [account.follower_id]


def test_only_active_accounts_that_trade_on_the_venue_are_due(account: TradingAccount) -> None:
    account_of(FollowerFactory(mode=Follower.Mode.PAPER))
    stop_account(account.follower_id, "banned", revoked=False, now=BEGINNING)
    assert claim_due(before=BEGINNING, now=BEGINNING, limit=10) == []
    assert len(account_rows()) == 2
    assert [row.stopped_why for row in account_rows(address=account.signer)] == ["banned"]


def test_what_blocks_refuses_and_what_does_not_is_only_told(account: TradingAccount) -> None:
    lack = {"part": "BALANCE", "sentence": "No money.", "next": "Deposit.", "blocks": False}
    write_missing(account.follower_id, [lack], now=BEGINNING)
    assert reasons(account) == []
    write_missing(account.follower_id, [{**lack, "blocks": True}], now=BEGINNING)
    assert reasons(account) == [Reason.ACCOUNT_NOT_READY]


def test_a_stop_is_one_incident_and_refuses_everything(account: TradingAccount) -> None:
    assert stop_account(account.follower_id, "It was revoked.", revoked=True, now=BEGINNING)
    assert not stop_account(account.follower_id, "again", revoked=True, now=BEGINNING)
    assert reasons(account) == [Reason.ACCOUNT_STOPPED]
    assert [event.reason for event in GuardrailEvent.objects.all()] == ["SESSION_REVOKED"]
    assert not write_missing(account.follower_id, [], now=BEGINNING)


def test_a_person_starts_it_again_with_a_reason_and_a_new_look(account: TradingAccount) -> None:
    stop_account(account.follower_id, "banned", revoked=False, now=BEGINNING)
    assert start_accounts([account.pk], **WHO).changed == 1
    assert start_accounts([account.pk], **WHO).refused
    assert reasons(account) == [Reason.ACCOUNT_NOT_READY]
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.why, entry.before["stopped_why"]) == (
        "olga",
        "start",
        "a reason",
        "banned",
    )


def test_a_person_stops_it_with_a_reason(account: TradingAccount) -> None:
    assert stop_accounts([account.pk], **WHO).changed == 1
    assert reasons(account) == [Reason.ACCOUNT_STOPPED]
    assert AuditEntry.objects.get().action == "stop"


def test_the_single_trader_gets_an_account_once() -> None:
    fay = FollowerFactory()
    assert ensure_single_trader(fay.wallet)
    assert not ensure_single_trader(fay.wallet)
    assert not ensure_single_trader("0x" + "ee" * 20)
    made = TradingAccount.objects.get()
    assert (made.follower, made.signer, made.kind, made.signature_type) == (fay, fay.wallet, "EOA", 0)


def test_what_open_buys_reserve_is_read_with_the_account(account: TradingAccount) -> None:
    CashBalanceFactory(follower=account.follower, reserved_micros=7)
    assert accounts([account.follower_id], now=BEGINNING)[account.follower_id].reserved_micros == 7
