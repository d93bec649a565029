"""What `verify quote-cache` and `price-fallback` prove: whose books copies are priced on, and what stands in."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from copytrading.verification.market_events import CROWD, Pointed
from copytrading.verification.priced import FOLLOWERS, LEADERS, SLIPPAGE_BPS, Copy, Part, Scene, played, told
from copytrading.verification.recovery import Once
from copytrading.verification.steps import Step, Wrong, same
from execution.sandbox.markets import SandboxMarket
from ledger.units import BPS, ONE, Micros

SHARES = 20 * ONE
HALF = Micros(500_000)

AGE_MS_MAX = 5_000
"""Promised, whatever is set."""

MUCH_LONGER_MS = 60_000
FALLBACK_MS = 3_000
LATE_S = 5
BACK_S = 40
"""A host that answered with errors is left alone for at most half a minute."""


def quote_cache_steps(pointed: Pointed) -> Iterable[Step]:
    """The steps in their order; all look at one run."""
    return _steps(pointed, CACHE_PARTS, {"COPY_TRADING_QUOTE_TTL_MS": MUCH_LONGER_MS})


def price_fallback_steps(pointed: Pointed) -> Iterable[Step]:
    """The same; the last one runs with the leader's price forced."""
    yield from _steps(pointed, FALLBACK_PARTS, {"COPY_TRADING_FALLBACK_PRICE_MS": FALLBACK_MS})
    yield from _steps(pointed, FORCED_PARTS, {"COPY_TRADING_FORCE_FALLBACK_PRICE": True})


def _steps(pointed: Pointed, parts: Mapping[str, Part], more: Mapping[str, Any]) -> list[Step]:
    seen = Once(lambda: asyncio.run(played(pointed, parts, more)))
    return [Step(promise, lambda promise=promise: told(seen()[promise])) for promise in parts]  # type: ignore[misc]


async def _asked_once(scene: Scene) -> str:
    market = scene.box.markets[0]
    rows = await scene.trade(market)
    _from(rows, "book")
    same("Requests for the book", scene.asked_for(market), 1)
    return f"{len(rows)} followers were priced on one answer."


async def _shared_request(scene: Scene) -> str:
    market = scene.box.markets[1]
    await scene.box.faults.apply("clob:delay=300ms")
    rows = await scene.trade(market, leaders=LEADERS)
    _from(rows, "book")
    same("Requests for the book", scene.asked_for(market), 1)
    return f"{len(rows)} copies of {LEADERS} leaders' trades waited for one slow answer."


async def _never_older(scene: Scene) -> str:
    market = scene.box.markets[2]
    began_ms = scene.clock.monotonic_ms()
    versions = [await _version(scene, market)]
    await scene.clock.sleep((AGE_MS_MAX - 1_000) / 1_000)
    versions.append(await _version(scene, market))
    same("Requests within five seconds", scene.asked_for(market), 1)
    await scene.clock.sleep((AGE_MS_MAX - (scene.clock.monotonic_ms() - began_ms)) / 1_000 + 0.1)
    versions.append(await _version(scene, market))
    same("Requests after five seconds", scene.asked_for(market), 2)
    if versions[0] != versions[1] or versions[1] == versions[2]:
        raise Wrong(f"The versions answered were {versions}.")
    return f"Set to {MUCH_LONGER_MS} ms, a book was fetched again after {AGE_MS_MAX} ms."


async def _shared_depth(scene: Scene) -> str:
    market = scene.box.markets[3]
    rows = await scene.trade(market)
    same("Orders that found nothing", sum(row.status == "FAILED" for row in rows), 0)
    refused = [row for row in rows if row.reasons in (("PRICE_DEVIATION",), ("NO_LIQUIDITY",))]
    filled, executed = sum(row.filled_micros for row in rows), [row for row in rows if row.status == "EXECUTED"]
    if not refused or not executed:
        raise Wrong(f"Of {len(rows)} copies {len(executed)} were executed and {len(refused)} refused for the book.")
    # A leader's trade over several levels is several signals, each with a limit of its own.
    least = _offered(scene, market, min(row.limit_micros for row in refused))
    most = _offered(scene, market, max(row.limit_micros for row in executed))
    if not least <= filled <= most:
        raise Wrong(f"{filled} micros of shares were filled of {least} to {most} within the limits.")
    return f"{filled // ONE} shares went to {len(executed)} followers; {len(refused)} were told that nothing was left."


async def _streamed(scene: Scene) -> str:
    market = scene.box.markets[0]
    await scene.in_play(market)
    asked = scene.asked_for(market)
    await scene.clock.sleep(AGE_MS_MAX / 1_000 + 0.1)
    # The channel tells of a trade about two seconds before anybody hears whose it was; here both come at once.
    await scene.box.trade(CROWD, "BUY", market.token_ids[0], shares_micros=SHARES)
    await scene.until_fresh(market)
    rows = await scene.trade(market)
    _from(rows, "stream")
    same("Requests for the book meanwhile", scene.asked_for(market) - asked, 0)
    return f"{len(rows)} followers were priced on the market channel, without a request."


async def _frozen(scene: Scene) -> str:
    market, token = scene.box.markets[0], scene.box.markets[0].token_ids[0]
    await scene.until_streamed(market)
    await scene.box.faults.apply("market:silence")
    await scene.box.trade(CROWD, "BUY", token, shares_micros=SHARES)
    if await scene.watch.compare(token):
        raise Wrong("The comparison found a book right that had missed a trade.")
    _from(await scene.trade(market), "book")
    scene.box.faults.lift()
    if token in scene.books.streamed.tokens:
        raise Wrong("A channel that told nothing has a book.")
    # Whoever looks after the books finds that the subscription was not answered.
    await scene.until_streamed(market)
    _from(await scene.trade(market), "stream")
    return "A silent channel's book was dropped, books were fetched, and the channel was heard again after it."


async def _stands_in(scene: Scene) -> str:
    """Like the next ones in a market of its own: what was traded before is told of by the market channel."""
    await scene.box.faults.apply("clob:5xx")
    rows = await scene.trade(scene.box.markets[0])
    _on_leaders_price(rows)
    return f"{len(rows)} copies were priced at the leader's own price, noted, and within the slippage."


async def _too_old(scene: Scene) -> str:
    await scene.box.faults.apply("clob:5xx")
    await scene.box.faults.apply(f"activity:delay={LATE_S}s")
    rows = await scene.trade(scene.box.markets[1])
    same("What became of the copies", {(row.status, row.reasons) for row in rows}, {("SKIPPED", ("NO_LIQUIDITY",))})
    return f"A trade heard {LATE_S} s late was no price to go by for {FALLBACK_MS} ms."


async def _books_again(scene: Scene) -> str:
    market = scene.box.markets[2]
    began_ms = scene.clock.monotonic_ms()
    while await scene.books.quote(market.token_ids[0], around_micros=HALF) is None:
        if scene.clock.monotonic_ms() - began_ms > BACK_S * 1_000:
            raise Wrong("The book was not asked for again.")
        await scene.clock.sleep(0.2)
    rows = await scene.trade(market)
    _from(rows, "book")
    same("Notes of the copies", {row.notes for row in rows}, {()})
    return f"After {(scene.clock.monotonic_ms() - began_ms) / 1_000:.1f} s copies were priced on the book again."


async def _forced(scene: Scene) -> str:
    market = scene.box.markets[0]
    rows = await scene.trade(market)
    _on_leaders_price(rows)
    same("Requests for the book", scene.asked_for(market), 0)
    return f"{len(rows)} copies went by the leader's price though there was a book, and nobody asked for it."


def _offered(scene: Scene, market: SandboxMarket, limit_micros: int) -> int:
    """Shares that the venue's book asks no more for than this."""
    view = scene.box.board.view(market.token_ids[0])
    assert view is not None
    return sum(level.shares_micros for level in view.asks if level.price_micros <= limit_micros)


def _from(rows: Sequence[Copy], source: str) -> None:
    same("Copies", len(rows) % FOLLOWERS, 0)
    found = Counter((row.quote_source, row.signal, *row.reasons) for row in rows)
    if {named for named, *_more in found} != {source}:
        raise Wrong(f"The books came from {dict(found)} and not from {source!r} alone.")


def _on_leaders_price(rows: Sequence[Copy]) -> None:
    same("Copies", len(rows), FOLLOWERS)
    found = {(row.status, row.quote_source, row.notes) for row in rows}
    same("What became of the copies", found, {("EXECUTED", "fallback", ("FALLBACK_PRICE",))})
    for row in rows:
        if row.limit_micros * BPS > row.leader_price_micros * (BPS + SLIPPAGE_BPS):
            raise Wrong(f"A limit of {row.limit_micros} is beyond the slippage from {row.leader_price_micros}.")


async def _version(scene: Scene, market: SandboxMarket) -> str:
    quote = await scene.books.quote(market.token_ids[0], around_micros=HALF)
    if quote is None:
        raise Wrong("There was no book.")
    return quote.book.version


CACHE_PARTS: Mapping[str, Part] = {
    "a hundred followers of one trade ask for its book once": _asked_once,
    "leaders who trade a token at once share one request": _shared_request,
    "no book is older than five seconds, whatever is set": _never_older,
    "a hundred followers do not each believe in the same shares": _shared_depth,
    "a token in play is quoted from the market channel, without a request": _streamed,
    "a channel that falls silent is found out, and books are fetched meanwhile": _frozen,
}

FALLBACK_PARTS: Mapping[str, Part] = {
    "while the CLOB answers with errors the leader's price stands in, noted": _stands_in,
    "a leader's price that is too old stands in for nothing": _too_old,
    "books are used again as soon as they can be had": _books_again,
}

FORCED_PARTS: Mapping[str, Part] = {
    "COPY_TRADING_FORCE_FALLBACK_PRICE asks for no book": _forced,
}
