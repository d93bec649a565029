"""The sandbox's markets: conditions, tokens and terms of both protocol versions. Pure; all follows from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal

CENT = 10_000
ONE = 1_000_000
MIN_SHARES_MICROS = 5 * ONE
V2_MODULE_BINARY = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxMarket:
    """A market of two outcomes; `token_ids` in the order of `outcomes`, Yes first.

    `fee_rate_bps` is the taker's rate of shares x p x (1 - p). `event_slug` groups the markets of a neg-risk event.
    """

    number: int
    condition_id: str
    question_id: str
    version: Literal["v1", "v2"]
    neg_risk: bool
    slug: str
    title: str
    event_slug: str
    category: str
    outcomes: tuple[str, str]
    token_ids: tuple[int, int]
    tick_micros: int
    fee_rate_bps: int

    def other_token(self, token_id: int) -> int:
        """The token of the other outcome."""
        first, second = self.token_ids
        return second if token_id == first else first

    def outcome_index(self, token_id: int) -> int:
        """0 or 1."""
        return self.token_ids.index(token_id)

    def with_ids(self, condition_id: str, token_ids: tuple[int, int]) -> "SandboxMarket":
        """The same market under ids that somebody else computed."""
        return replace(self, condition_id=condition_id, token_ids=token_ids)


@dataclass(frozen=True, slots=True)
class _Plan:
    title: str
    outcomes: tuple[str, str]
    category: str
    event: str = ""
    version: Literal["v1", "v2"] = "v1"
    tick_micros: int = CENT
    fee_rate_bps: int = 500


_YES_NO = ("Yes", "No")
_LINE = "Which line opens first?"
_PLANS = (
    _Plan("Will the ferry to Aegina run on Friday?", _YES_NO, "weather"),
    _Plan("Rowing World Cup: who wins the eights?", ("Lucerne", "Varese"), "sports"),
    _Plan("Will it rain in Lisbon this weekend?", _YES_NO, "weather"),
    _Plan("Chess Candidates: game 9", ("White", "Black"), "sports", version="v2"),
    _Plan("Is the new bridge open by June?", _YES_NO, "politics", fee_rate_bps=400),
    _Plan("Will the comet be seen with the naked eye?", _YES_NO, "science", tick_micros=1_000, fee_rate_bps=0),
    _Plan("Coin up or down: the next hour", ("Up", "Down"), "crypto", version="v2", fee_rate_bps=700),
    _Plan("Will the green line open first?", _YES_NO, "politics", event=_LINE),
    _Plan("Will the red line open first?", _YES_NO, "politics", event=_LINE),
    _Plan("Will the blue line open first?", _YES_NO, "politics", event=_LINE),
)


def make_markets(seed: int) -> tuple[SandboxMarket, ...]:
    """The markets of a seed: both versions, one neg-risk event of three, ticks of a cent and finer."""
    return tuple(_market(seed, number, plan) for number, plan in enumerate(_PLANS))


def new_market(seed: int, number: int) -> SandboxMarket:
    """One more market, as the venue opens them all day long."""
    plan = _Plan(f"Coin up or down: window {number}", ("Up", "Down"), "crypto", fee_rate_bps=700)
    return _market(seed, number, plan)


def siblings(market: SandboxMarket, markets: Sequence[SandboxMarket]) -> tuple[SandboxMarket, ...]:
    """The other markets of the same neg-risk event; none where the market is no part of one."""
    if not market.neg_risk:
        return ()
    return tuple(each for each in markets if each.event_slug == market.event_slug and each is not market)


def digest(seed: int, *parts: object) -> str:
    """64 hexadecimal digits that follow from the seed and the parts."""
    return sha256("\x1f".join(str(part) for part in (seed, *parts)).encode()).hexdigest()


def _market(seed: int, number: int, plan: _Plan) -> SandboxMarket:
    condition_id, token_ids = _ids(seed, plan)
    return SandboxMarket(
        number=number,
        condition_id=condition_id,
        question_id="0x" + digest(seed, "question", plan.title),
        version=plan.version,
        neg_risk=bool(plan.event),
        slug=_slug(plan.title),
        title=plan.title,
        event_slug=_slug(plan.event or plan.title),
        category=plan.category,
        outcomes=plan.outcomes,
        token_ids=token_ids,
        tick_micros=plan.tick_micros,
        fee_rate_bps=plan.fee_rate_bps,
    )


def _ids(seed: int, plan: _Plan) -> tuple[str, tuple[int, int]]:
    """Of v2: `[module 8 | base 128 | arity 16 | 64 zero | chain 16 | index 16 | outcome 8]`; the condition is its first
    31 bytes, shown with a zero byte behind them.
    """
    base = digest(seed, "condition", plan.title)
    if plan.version == "v1":
        first, second = (int(digest(seed, plan.title, outcome), 16) for outcome in plan.outcomes)
        return "0x" + base, (first, second)
    head = f"{V2_MODULE_BINARY:02x}{base[:32]}0002" + "0" * 16 + "0000" + "0000"
    return "0x" + head + "00", (int(head + "00", 16), int(head + "01", 16))


def _slug(title: str) -> str:
    words = "".join(letter if letter.isalnum() else " " for letter in title.lower()).split()
    return "-".join(words)
