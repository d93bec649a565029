"""The sandbox's traders: leaders with a style each, and the crowd they trade with. Pure; all follows from a seed."""

from dataclasses import dataclass

from execution.sandbox.markets import digest

CROWD = 40
"""Wallets that nobody follows, and that the leaders trade with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How somebody trades, after one recorded wallet (data-profile.md sections 1 and 4).

    `trades_per_hour` on average, `burst_tenths` the mean number of trades in a burst in tenths, `taker_percent` of the
    trades are aggressive, `fine_percent` have sizes of more than two decimals, `cents` are the quantiles 1, 25, 50, 75,
    99 and 100 % of a trade's money.
    """

    trades_per_hour: int
    burst_tenths: int
    taker_percent: int
    fine_percent: int
    cents: tuple[int, int, int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLeader:
    """A wallet (lower-case) that trades by its style."""

    name: str
    wallet: str
    style: Style


_GRINDER = (5, 102, 300, 590, 910, 960)
_SCALPER = (70, 400, 760, 1_500, 15_500, 44_000)
_REGULAR = (40, 390, 1_060, 2_400, 8_100, 24_000)
_CROWD = (8, 300, 1_800, 9_100, 812_100, 9_332_400)
_WHALE = (170, 1_000, 4_400, 12_900, 45_253_000, 58_084_100)

_CAST = (
    ("Lena", Style(trades_per_hour=2_400, burst_tenths=22, taker_percent=10, fine_percent=24, cents=_GRINDER)),
    ("Luca", Style(trades_per_hour=1_800, burst_tenths=19, taker_percent=90, fine_percent=65, cents=_SCALPER)),
    ("Lotte", Style(trades_per_hour=1_500, burst_tenths=13, taker_percent=50, fine_percent=7, cents=_REGULAR)),
    ("Liam", Style(trades_per_hour=1_500, burst_tenths=13, taker_percent=30, fine_percent=7, cents=_REGULAR)),
    ("Livia", Style(trades_per_hour=1_200, burst_tenths=30, taker_percent=0, fine_percent=24, cents=_SCALPER)),
    ("Lars", Style(trades_per_hour=900, burst_tenths=12, taker_percent=60, fine_percent=32, cents=_CROWD)),
    ("Lucia", Style(trades_per_hour=600, burst_tenths=12, taker_percent=40, fine_percent=32, cents=_CROWD)),
    ("Leo", Style(trades_per_hour=180, burst_tenths=16, taker_percent=80, fine_percent=76, cents=_WHALE)),
)

CROWD_STYLE = Style(trades_per_hour=3_600, burst_tenths=20, taker_percent=100, fine_percent=32, cents=_CROWD)
"""Of all wallets of the crowd together."""

LEADERS = len(_CAST)
LEADERS_MAX = 10_000


def make_leaders(seed: int, count: int = LEADERS) -> tuple[SandboxLeader, ...]:
    """So many leaders; beyond the first eight the styles come round again."""
    if not 1 <= count <= LEADERS_MAX:
        raise ValueError(f"the sandbox has between 1 and {LEADERS_MAX} leaders, not {count}")
    return tuple(_leader(seed, number) for number in range(count))


def make_crowd(seed: int) -> tuple[str, ...]:
    """The wallets that nobody follows."""
    return tuple("0x" + digest(seed, "crowd", number)[:40] for number in range(CROWD))


def _leader(seed: int, number: int) -> SandboxLeader:
    name, style = _CAST[number % LEADERS]
    turn = number // LEADERS
    full = name if not turn else f"{name} {turn + 1}"
    return SandboxLeader(name=full, wallet="0x" + digest(seed, "wallet", full)[:40], style=style)
