"""What `verify prewrite` proves about money: the database's own refusals, expiry, and a ledger that adds up."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from django.db import IntegrityError, connection, transaction
from django.db.models import Sum

from copytrading.models import CopyTrade
from copytrading.verification.bench import Bench, Cast, Outside
from copytrading.verification.doors import MovableClock, WatchfulVenue
from copytrading.verification.steps import Wrong, same
from execution.models import Position
from guardrails.models import Budget
from ledger.entries import CASH, account
from ledger.models import CashBalance, LedgerEntry
from ledger.units import ONE, text_from_micros

FOLLOWERS = 3
LIMIT = 1_000 * ONE
BEFORE_EXPIRY = timedelta(minutes=9)
PAST_EXPIRY = timedelta(minutes=2)
"""Orders expire ten minutes after their decision (`SETTINGS` in `checks`)."""

Balances = Counter[tuple[str, str]]


def trigger_refuses(bench: Bench) -> str:
    """Whoever writes past the operations is stopped, on Postgres."""
    if connection.vendor != "postgresql":
        return "not applicable on SQLite"
    cast = bench.cast(1)
    bench.copy(cast.action())
    row = cast.trades().get()
    same("Status of the copy", row.status, "EXECUTED")
    for columns, words in (({"status": "PENDING"}, "may not move"), ({"order_hash": f"0x{1:064x}"}, "for life")):
        said = _refusal(lambda columns=columns: CopyTrade.objects.filter(pk=row.pk).update(**columns))  # type: ignore[misc]
        if words not in said:
            raise Wrong(f"An update of {', '.join(columns)} was not refused for it: {said or 'it was written'}.")
    return "EXECUTED to PENDING, and another order hash, were both refused by the trigger."


def expiry_returns_everything(bench: Bench) -> str:
    """The real rescue asks a venue that never saw the order, until the order's time is over."""
    cast, clock, venue = bench.cast(1, limit_micros=LIMIT), MovableClock(), WatchfulVenue(answers=False)
    outside = Outside(clock=clock, venue=venue)
    bench.copy(cast.action(), outside=outside)
    # Rescue asks about every open order: those that other steps have left must wait.
    others = CopyTrade.objects.exclude(leader=cast.leader)
    others.update(next_retry_at=clock.now() + timedelta(days=1))
    if not all(_held(cast)):
        raise Wrong(f"Reserved, in the budget and counted while the order is open: {_held(cast)}.")
    clock.move(BEFORE_EXPIRY)
    bench.play(lambda engine: engine.rescue.run_once(), outside)
    same("Status before the expiry", cast.trades().get().status, "UNKNOWN")
    clock.move(PAST_EXPIRY)
    bench.play(lambda engine: engine.rescue.run_once(), outside)
    row = cast.trades().get()
    told = [each["reason"] for each in row.reasons]
    same("Status and reasons after the expiry", (row.status, told), ("FAILED", ["EXPIRED"]))
    same("Reserved, in the budget and counted afterwards", _held(cast), (0, 0, 0))
    same("Times that the order was sent", len(venue.heard), 1)
    return "UNKNOWN for its ten minutes, then FAILED (EXPIRED): reservation and budget 0, sent once."


def ledger_balances(bench: Bench) -> str:
    """Buys and sells on the paper venue, with fees and a profit; then every balance of the database."""
    cast = bench.cast(FOLLOWERS)
    bench.copy(cast.action("BUY", size="1000"))
    bench.set_book(cast, "0.60")
    bench.copy(cast.action("SELL", size="500", price="0.60"))
    same("Copies executed", cast.trades().filter(status="EXECUTED").count(), 2 * FOLLOWERS)
    balances = _balances()
    for asset in {asset for _account, asset in balances}:
        same(f"Sum of all accounts in {asset}", sum(v for (_, own), v in balances.items() if own == asset), 0)
    same("Cash by account, as cached", _cached_cash(), _of("cash", balances))
    same("Shares by account, as cached", _cached_shares(), _of("shares", balances))
    same("Cost by account, as cached", _cached_cost(), _of("cost", balances))
    profit = -sum(_of("profit", balances).values())
    if profit <= 0:
        raise Wrong(f"Shares were sold above their price and the profit is {text_from_micros(profit)}.")
    count, money = LedgerEntry.objects.count(), text_from_micros(profit)
    return f"{count} transfers sum to zero; cash, shares and cost equal the cached rows; realised profit ${money}."


def _refusal(write: Callable[[], object]) -> str:
    """What the database says against a write; empty when it says nothing."""
    try:
        with transaction.atomic():
            write()
            transaction.set_rollback(True)
    except IntegrityError as error:
        return str(error).partition("\n")[0]
    return ""


def _held(cast: Cast) -> tuple[int, int, int]:
    """Cash reserved of the only follower; money and copies in the leader's budget."""
    (follower,) = cast.followers
    budget = Budget.objects.get(scope="LEADER", key=str(cast.leader.pk))
    return CashBalance.objects.get(follower=follower).reserved_micros, budget.spent_micros, budget.count


def _balances() -> Balances:
    """Debits minus credits of every account and asset that is not zero, added up by the database."""
    found: Balances = Counter()
    for name, sign in (("debit_account", 1), ("credit_account", -1)):
        for owner, asset, total in LedgerEntry.objects.values_list(name, "asset").annotate(Sum("amount_micros")):
            found[owner, asset] += sign * total
    return Counter({key: total for key, total in found.items() if total})


def _of(name: str, balances: Balances) -> dict[tuple[str, str], int]:
    return {
        key: total for key, total in balances.items() if key[0].startswith("follower:") and key[0].endswith(f":{name}")
    }


def _cached_cash() -> dict[tuple[str, str], int]:
    rows = CashBalance.objects.exclude(cash_micros=0).values_list("follower_id", "cash_micros")
    return {(account(follower, "cash"), CASH): cash for follower, cash in rows}


def _cached_shares() -> dict[tuple[str, str], int]:
    rows = Position.objects.exclude(size_micros=0).values_list("follower_id", "token_id", "size_micros")
    return {(account(follower, "shares"), str(token)): size for follower, token, size in rows}


def _cached_cost() -> dict[tuple[str, str], int]:
    found: Counter[int] = Counter()
    for follower, cost in Position.objects.exclude(cost_micros=0).values_list("follower_id", "cost_micros"):
        found[follower] += cost
    return {(account(follower, "cost"), CASH): cost for follower, cost in found.items()}
