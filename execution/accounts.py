"""What the decisions look at of a follower's account on the venue: whether it may trade, and what it has there. Pure.

Amounts are micros. What could not be read is None: a buy is refused then, and a sale goes by our own books.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from execution.orders import ExchangeDomain
from guardrails.intents import Reason, Refusal, Unit
from ledger.units import Micros

POLY_1271 = 3
"""A deposit wallet: it stands as signer of its own orders, and a session key signs (polymarket.md 2.2)."""

SUBJECT_MAX = 80
"""Letters of a sentence kept with a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """One follower's account: `signer` is the address of the key that signs, `refusals` say why it may not trade now.

    `booked_micros` is the cash in our books, `reserved_micros` what its open buys reserve of it, `available_micros`
    what of the venue's pUSD can be spent beside them; `allowances` are how much pUSD each exchange may take, and mean
    nothing while `available_micros` is None. `unsellable` names the exchanges that may not move the wallet's shares.
    """

    follower_id: int
    wallet: str
    signer: str
    signature_type: int = 0
    tier: str = "STANDARD"
    refusals: tuple[Refusal, ...] = ()
    booked_micros: int = 0
    reserved_micros: int = 0
    available_micros: int | None = None
    allowances: Mapping[ExchangeDomain, int] = field(default_factory=dict)
    unsellable: frozenset[str] = frozenset()

    @property
    def order_signer(self) -> str:
        """The address that stands in the order as its signer: the key's, or the deposit wallet itself."""
        return self.wallet if self.signature_type == POLY_1271 else self.signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Free shares of a token in our books that an account may sell; `version` is the market's."""

    account: AccountFacts
    token_id: int
    version: str
    free_micros: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What an account's row says about trading; `missing` is what blocks it, None before it was ever looked at."""

    stopped: bool
    stopped_why: str
    valid_until: datetime | None
    missing: Sequence[str] | None


def standing_refusals(standing: Standing, now: datetime) -> tuple[Refusal, ...]:
    """Why an account may not trade now, whatever it has."""
    if standing.stopped:
        return (Refusal(Reason.ACCOUNT_STOPPED, subject=standing.stopped_why[:SUBJECT_MAX]),)
    if standing.valid_until is not None and now >= standing.valid_until:
        return (Refusal(Reason.ACCOUNT_NOT_READY, subject="its session key has expired"),)
    if standing.missing is None:
        return (Refusal(Reason.ACCOUNT_NOT_READY, subject="it was not looked at yet"),)
    return tuple(Refusal(Reason.ACCOUNT_NOT_READY, subject=each[:SUBJECT_MAX]) for each in standing.missing)


def buy_refusals(account: AccountFacts, domain: ExchangeDomain, needed_micros: int) -> tuple[Refusal, ...]:
    """Why the account cannot pay for a buy that costs at most so much, its fee included, or could not sell it again."""
    available = account.available_micros
    if available is None:
        return (Refusal(Reason.BALANCE_UNKNOWN, subject="money"),)
    found: list[Refusal] = []
    if needed_micros > available:
        found.append(Refusal(Reason.NOT_ENOUGH_CASH, needed_micros, available, Unit.MONEY))
    allowed = account.allowances.get(domain, 0)
    if needed_micros > allowed:
        found.append(Refusal(Reason.ALLOWANCE_MISSING, needed_micros, allowed, Unit.MONEY, subject=domain.value))
    if domain.value in account.unsellable:
        found.append(Refusal(Reason.ALLOWANCE_MISSING, subject=f"shares, {domain.value}"))
    return tuple(found)


def spendable(venue_micros: int, *, booked_micros: int, reserved_micros: int) -> Micros:
    """How much of the venue's pUSD is there beside what open buys reserve.

    The venue moves the money of a match some seconds before our books do. What it lacks and open buys explain is their
    own: reserving that once more would refuse what is there.
    """
    return Micros(max(0, _beside(venue_micros, free_micros=booked_micros - reserved_micros, reserved=reserved_micros)))


def sellable(free_micros: int, venue_micros: int | None, *, reserved_micros: int) -> Micros:
    """How many of our free shares can be sold when the venue has so many, those that open sales reserve included.

    What open sales explain is not missed twice, as in `spendable`. None: the venue's number is unknown, and ours
    counts; the venue itself refuses what is not there.
    """
    if venue_micros is None:
        return Micros(free_micros)
    left = _beside(venue_micros, free_micros=free_micros, reserved=reserved_micros)
    return Micros(max(0, min(free_micros, left)))


def _beside(venue_micros: int, *, free_micros: int, reserved: int) -> int:
    """What the venue has beside open orders, which may or may not have taken theirs from it already."""
    untouched = venue_micros - reserved
    return max(untouched, free_micros) if venue_micros >= free_micros else untouched
