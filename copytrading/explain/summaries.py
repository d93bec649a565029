"""A config as a sentence: what a follower wants of a leader, for people. Pure."""

from collections.abc import Sequence
from typing import Protocol

from ledger.texts import dollar_text, percent_text, price_text, share_text


class Choices(Protocol):
    """The columns of a config or of one of its versions, as this module reads them."""

    active: bool
    sizing: str
    percentage_bps: int
    amount_micros: int
    floor_micros: int
    cap_micros: int
    shares_micros: int
    tiers: Sequence[Sequence[int]]
    direction: str
    sell_sizing: str
    sell_amount_micros: int
    sell_percentage_bps: int
    max_trade_micros: int | None
    below_minimum: str
    slippage_bps_max: int
    slippage: str
    order_type: str
    sides: str
    min_trigger_micros: int
    max_odds_micros: int | None
    max_days_out: int | None
    min_liquidity_micros: int | None
    min_volume_micros: int | None
    categories: Sequence[str]
    keywords: Sequence[str]
    max_per_market_micros: int | None
    take_profit_micros: int | None
    stop_loss_micros: int | None
    max_drawdown_micros: int | None
    on_stop: str
    open_standing: bool


def summary_of(config: Choices, leader: str) -> str:
    """The config in one or a few sentences: "Copies 10 % of Lena's shares, at most $100.00 a trade; ..."."""
    sides = {"BUY": " Copies buys only.", "SELL": " Copies sells only."}.get(config.sides, "")
    asleep = "" if config.active else "Not active. "
    first = "; ".join([_buying(config, leader), *_bounds(config)])
    standing = "When copying begins, buys what the leader holds too." if config.open_standing else ""
    found = [f"{asleep}{first}.{sides}", _selling(config), standing, _markets(config), _stops(config)]
    return " ".join(sentence for sentence in found if sentence)


def _buying(config: Choices, leader: str) -> str:
    whose, against = f"{leader}'s", " against them" if config.direction == "COUNTER" else ""
    most = "" if config.max_trade_micros is None else f", at most {dollar_text(config.max_trade_micros)} a trade"
    match config.sizing:
        case "FIXED_AMOUNT":
            size = f"Copies {whose} trades{against} with {dollar_text(config.amount_micros)} each"
        case "RANGE":
            between = f"between {dollar_text(config.floor_micros)} and {dollar_text(config.cap_micros)}"
            size = f"Copies {percent_text(config.percentage_bps)} of {whose} shares{against}, {between} a trade"
        case "SHARES":
            size = f"Copies {whose} trades{against} with {share_text(config.shares_micros)} shares each"
        case "TIERED":
            tiers = ", ".join(f"{percent_text(bps)} from {dollar_text(start)}" for start, bps in config.tiers)
            size = f"Copies a part of {whose} shares{against} by the size of the trade ({tiers})"
        case "BANKROLL":
            size = f"Copies {whose} trades{against} with {percent_text(config.percentage_bps)} of all its money each"
        case "PROPORTIONAL":
            size = f"Copies {whose} trades{against} in proportion to what both have"
        case _:
            size = f"Copies {percent_text(config.percentage_bps)} of {whose} shares{against}"
    return size + most


def _bounds(config: Choices) -> list[str]:
    auto = ", no further than the book asks for" if config.slippage == "AUTO" else ""
    found = [f"accepts a price up to {percent_text(config.slippage_bps_max)} worse than the leader's{auto}"]
    if config.order_type == "FOK":
        found.append("takes all of an order or nothing")
    if config.min_trigger_micros:
        found.append(f"ignores buys under {dollar_text(config.min_trigger_micros)}")
    if config.max_odds_micros is not None:
        found.append(f"buys at {price_text(config.max_odds_micros)} or less")
    small = {"RAISE": "raises copies that are too small", "ACCUMULATE": "saves up copies that are too small"}
    if config.below_minimum in small:
        found.append(small[config.below_minimum])
    return found


def _selling(config: Choices) -> str:
    if config.sides == "BUY":
        return ""
    if config.sell_sizing == "FIXED_AMOUNT":
        return f"Sells {dollar_text(config.sell_amount_micros)} at each sell."
    if config.sell_sizing == "CUSTOM_PERCENT":
        return f"Sells {percent_text(config.sell_percentage_bps)} of its own holding at each sell."
    return "Sells the same part as the leader."


def _markets(config: Choices) -> str:
    found = []
    if config.categories:
        found.append(f"in {', '.join(config.categories)}")
    if config.keywords:
        found.append(f"whose title has {' or '.join(f'“{word}”' for word in config.keywords)}")
    if config.max_days_out is not None:
        found.append(f"that end within {config.max_days_out} days")
    if config.min_liquidity_micros is not None:
        found.append(f"with at least {dollar_text(config.min_liquidity_micros)} in their books")
    if config.min_volume_micros is not None:
        found.append(f"with at least {dollar_text(config.min_volume_micros)} traded")
    only = f"Buys only in markets {', '.join(found)}." if found else ""
    if config.max_per_market_micros is None:
        return only
    return f"{only} Puts at most {dollar_text(config.max_per_market_micros)} into one market.".strip()


def _stops(config: Choices) -> str:
    found = [
        f"{what} {dollar_text(bound)}"
        for what, bound in (
            ("earned", config.take_profit_micros),
            ("lost", config.stop_loss_micros),
            ("fallen from the highest profit by", config.max_drawdown_micros),
        )
        if bound is not None
    ]
    then = "then sells everything" if config.on_stop == "EXIT" else "then holds what it has"
    return f"Stops when the copies have {' or '.join(found)}, {then}." if found else ""
