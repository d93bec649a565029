"""A config in words, and what its lists must be like."""

from typing import Any

import pytest

from copytrading.choices import TIERS_MAX, WORDS_MAX, tiers_trouble, words_trouble
from copytrading.explain.summaries import summary_of
from copytrading.models import CopyConfig
from ledger.units import ONE

FIRST = "Copies 10 % of Lena's shares; accepts a price up to 2 % worse than the leader's."
SELLS = "Sells the same part as the leader."


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ({}, f"{FIRST} {SELLS}"),
        ({"max_trade_micros": 100 * ONE}, "Copies 10 % of Lena's shares, at most $100.00 a trade; accepts"),
        ({"active": False}, "Not active. Copies 10 %"),
        ({"sizing": "FIXED_AMOUNT", "amount_micros": 20 * ONE}, "Copies Lena's trades with $20.00 each;"),
        (
            {"sizing": "RANGE", "floor_micros": 5 * ONE, "cap_micros": 30 * ONE},
            "Copies 10 % of Lena's shares, between $5.00 and $30.00 a trade;",
        ),
        ({"sizing": "SHARES", "shares_micros": 25 * ONE}, "Copies Lena's trades with 25 shares each;"),
        ({"sizing": "TIERED", "tiers": [[0, 1_000], [1_000 * ONE, 250]]}, "(10 % from $0.00, 2.5 % from $1,000.00)"),
        ({"sizing": "BANKROLL"}, "Copies Lena's trades with 10 % of all its money each;"),
        ({"sizing": "PROPORTIONAL"}, "Copies Lena's trades in proportion to what both have;"),
        ({"direction": "COUNTER"}, "Copies 10 % of Lena's shares against them;"),
        ({"below_minimum": "RAISE"}, "raises copies that are too small."),
        ({"below_minimum": "ACCUMULATE"}, "saves up copies that are too small."),
        ({"min_trigger_micros": 10 * ONE}, "; ignores buys under $10.00"),
        ({"max_odds_micros": 850_000}, "; buys at 0.85 or less"),
        ({"slippage": "AUTO"}, "up to 2 % worse than the leader's, no further than the book asks for."),
        ({"order_type": "FOK"}, "; takes all of an order or nothing."),
        ({"sides": "BUY"}, f"{FIRST} Copies buys only."),
        ({"sides": "SELL"}, f"Copies sells only. {SELLS}"),
        ({"sell_sizing": "FIXED_AMOUNT", "sell_amount_micros": 7 * ONE}, "Sells $7.00 at each sell."),
        ({"sell_sizing": "CUSTOM_PERCENT", "sell_percentage_bps": 5_000}, "Sells 50 % of its own holding"),
        (
            {"categories": ["Sports", "News"], "keywords": ["rain"], "max_days_out": 30},
            "Buys only in markets in Sports, News, whose title has “rain”, that end within 30 days.",
        ),
        ({"min_liquidity_micros": ONE, "min_volume_micros": 2 * ONE}, "with at least $1.00 in their books, with at"),
        ({"max_per_market_micros": 500 * ONE}, "Puts at most $500.00 into one market."),
        (
            {"take_profit_micros": 9 * ONE, "stop_loss_micros": 5 * ONE, "on_stop": "EXIT"},
            "Stops when the copies have earned $9.00 or lost $5.00, then sells everything.",
        ),
        ({"open_standing": True}, f"{SELLS} When copying begins, buys what the leader holds too."),
        ({"max_drawdown_micros": ONE}, "fallen from the highest profit by $1.00, then holds what it has."),
    ],
)
def test_config_is_told_in_words(choices: dict[str, Any], sentence: str) -> None:
    assert sentence in summary_of(CopyConfig(**choices), "Lena")


@pytest.mark.parametrize(
    ("tiers", "sentence"),
    [
        ([], ""),
        ([[0, 1_000], [1, 500]], ""),
        ([(0, 0)], ""),
        ([[5, 1_000]], "The first tier must begin at 0"),
        ([[0, 1], [0, 2]], "Tier 2 must begin above tier 1."),
        ([[0, 1], [9, 2], [5, 3]], "Tier 3 must begin above tier 2."),
        ([[0, 1_000_001]], "A tier may copy at most 10,000 percent."),
        ([[number, 1] for number in range(TIERS_MAX + 1)], "Enter at most 20 tiers."),
        *((wrong, "Tiers are pairs") for wrong in (None, 7, "0: 10", [0], [[0]], [["0", 1]], [[0, -1]], [[0, True]])),
    ],
)
def test_bad_tiers_are_told_in_a_sentence(tiers: Any, sentence: str) -> None:
    assert tiers_trouble(tiers).startswith(sentence)
    assert bool(tiers_trouble(tiers)) == bool(sentence)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], ""),
        (["rain", "snow"], ""),
        (["rain", " "], "A word cannot be empty"),
        (["rain", "rain"], "Enter each word once."),
        (["x" * 81], "Shorten “xxxxxxxxxxxxxxxxxxxx…” to 80 characters."),
        ([str(number) for number in range(WORDS_MAX + 1)], "Enter at most 50 lines."),
        *((wrong, "Enter a list of words.") for wrong in (None, "rain", [7], {"a": 1})),
    ],
)
def test_bad_words_are_told_in_a_sentence(words: Any, sentence: str) -> None:
    assert words_trouble(words).startswith(sentence)
    assert bool(words_trouble(words)) == bool(sentence)
