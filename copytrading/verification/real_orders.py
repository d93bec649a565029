"""What `verify execution-paths | parallel-orders | session-keys | preflight-cache` prove, on the sandbox's CLOB."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from copytrading.models import CopyTrade, Follower
from copytrading.states import Status
from copytrading.verification.exchange import Pointed, RealScene, Who, real_scene
from copytrading.verification.recovery import Once
from copytrading.verification.steps import Step, Wrong, same
from copytrading.verification.timed_venue import TimedHttp
from execution.models import TradingAccount
from guardrails.models import GuardrailEvent

Part = Callable[[RealScene], Awaitable[str]]

SIX = tuple(Who(name=f"Trader {number}") for number in range(6))
SLOW = "clob-orders:slow=100,150ms"
"""Answers so slow that orders which do not wait for each other are under way together."""


def execution_path_steps(pointed: Pointed) -> Iterable[Step]:
    """The ways of an order: paper, its own account, a session key, a dry run, and all that has no way."""
    people = (
        Who(name="Own key"),
        Who(name="Session key", session=True),
        Who(name="Proxy"),
        Who(name="Paper"),
        Who(name="Without account"),
    )
    return _steps(pointed, people, EXECUTION_PATHS)


def parallel_order_steps(pointed: Pointed) -> Iterable[Step]:
    """Different accounts at once, one account in order."""
    return _steps(pointed, SIX, PARALLEL_ORDERS)


def session_key_steps(pointed: Pointed) -> Iterable[Step]:
    """A key that trades for a deposit wallet, until it may not."""
    return _steps(pointed, (Who(name="Own key"), Who(name="Session", session=True)), SESSION_KEYS)


def preflight_cache_steps(pointed: Pointed) -> Iterable[Step]:
    """What accounts have: remembered for buys, asked anew before sales, one question at a time."""
    return _steps(pointed, SIX[:2], PREFLIGHT_CACHE)


async def _paths(scene: RealScene) -> str:
    await scene.database.run(_set_modes, scene)
    await scene.clock.sleep(1.0)  # The configs in memory are 0.7 s old at most.
    await scene.leader_trades()
    rows = {row.follower_id: row for row in await scene.settled(len(scene.traders))}
    seen = {name: _ending(rows[trader.follower_id]) for name, trader in scene.traders.items()}
    wanted = {
        "Own key": ("EXECUTED", "clob", ""),
        "Session key": ("EXECUTED", "clob", ""),
        "Proxy": ("SKIPPED", "", "MODE_UNAVAILABLE"),
        "Paper": ("EXECUTED", "paper", ""),
        "Without account": ("SKIPPED", "", "ACCOUNT_NOT_READY"),
    }
    same("How each copy ended (status, venue, reason)", seen, wanted)
    return "An order of each account is on the venue, the paper one is not, and two are refused with their reasons."


async def _signatures(scene: RealScene) -> str:
    types = {row.signature_type for row in await scene.copies() if row.executor == "clob"}
    same("Signature types that the venue has verified", types, {0, 3})
    return "The venue verified an owner's signature (type 0) and a session key's in its wrapping (type 3)."


async def _truth(scene: RealScene) -> str:
    wrong = await scene.differs("Own key", "Session key")
    if wrong:
        raise Wrong(wrong)
    return "Cash, shares and orders are on the venue as they are booked here, to the last micro."


async def _dry(scene: RealScene) -> str:
    before, posted = len(await scene.copies("Own key")), scene.box.exchange.requests["POST /order"]
    await scene.dry_run(on=True)
    try:
        await scene.leader_trades()
        await scene.settled(before + len(scene.traders))
    finally:
        await scene.dry_run(on=False)
    row = (await scene.copies("Own key"))[-1]
    same("How it ended", _ending(row), ("SKIPPED", "", "DRY_RUN"))
    same("Orders posted", scene.box.exchange.requests["POST /order"] - posted, 0)
    if not row.order_hash:
        raise Wrong("The dry run was not planned: it has no order hash.")
    return "A dry run was planned and signed, its row has the order's hash, and nothing was posted."


async def _at_once(scene: RealScene) -> str:
    await scene.box.faults.apply(SLOW)
    scene.http.clear()
    await scene.leader_trades()
    await scene.settled(len(SIX))
    same("Orders posted", len(scene.http.posts), len(SIX))
    most = scene.http.most_at_once()
    if most < len(SIX):
        raise Wrong(f"Only {most} of {len(SIX)} accounts' orders were under way at once.")
    return f"The orders of {most} accounts were under way at the same moment."


async def _in_order(scene: RealScene) -> str:
    before = len(await scene.copies())
    scene.http.clear()
    markets = scene.box.markets[1:4]
    for market in markets:
        await scene.leader_trades(market=market)
    rows = (await scene.settled(before + len(SIX) * len(markets)))[before:]
    told = []
    for trader in scene.traders.values():
        mine = [row.order_hash for row in rows if row.follower_id == trader.follower_id]
        posts = [post for post in scene.http.posts if post.address == trader.signer]
        same("Orders of one account, by their decision", [post.order_hash for post in posts], mine)
        if any(after.began_ms < before_.ended_ms for before_, after in pairwise(posts)):
            raise Wrong("Two orders of one account were under way at once.")
        told.append(len(posts))
    return f"{min(told)} orders of each account left in the order of their decision, each after the one before."


async def _session_trades(scene: RealScene) -> str:
    await scene.leader_trades()
    rows = await scene.settled(2)
    row = next(row for row in rows if row.signature_type == 3)
    trader = scene.traders["Session"]
    same("Status, and who stands as signer", (row.status, row.signer), ("EXECUTED", trader.wallet))
    return "The session key bought for its deposit wallet, which stands as maker and signer of the order."


async def _session_revoked(scene: RealScene) -> str:
    before, trader = len(await scene.copies()), scene.traders["Session"]
    scene.box.exchange.revoke_session(trader.wallet, trader.signer)
    await scene.leader_trades(market=scene.box.markets[1])
    await scene.settled(before + 2)
    await scene.until(lambda: scene.database.run(_is_stopped, trader.follower_id), "the account was not stopped")
    same("Incidents of it", await scene.database.run(_incidents, "SESSION_REVOKED"), 1)
    (mine,) = [row for row in (await scene.copies())[before:] if row.follower_id == trader.follower_id]
    if mine.status == Status.EXECUTED:
        raise Wrong("The venue took an order of a key that was revoked.")
    return f"Its next copy ended {_ending(mine)[2]}; the account is stopped, with one SESSION_REVOKED incident."


async def _others_go_on(scene: RealScene) -> str:
    before = len(await scene.copies())
    await scene.leader_trades(market=scene.box.markets[2])
    rows = {row.follower_id: row for row in (await scene.settled(before + 2))[before:]}
    seen = {name: _ending(rows[trader.follower_id])[::2] for name, trader in scene.traders.items()}
    same("The next copies", seen, {"Own key": ("EXECUTED", ""), "Session": ("SKIPPED", "ACCOUNT_STOPPED")})
    return "The other account's copy was executed; the stopped one's was refused before anything was signed."


async def _buys_remembered(scene: RealScene) -> str:
    before, asked = len(await scene.copies()), scene.http.asked_for("COLLATERAL")
    markets = scene.box.markets[:3]
    for market in markets:
        await scene.leader_trades(market=market)
    await scene.decided(before + 2 * len(markets))
    more = scene.http.asked_for("COLLATERAL") - asked
    if more > 2:
        raise Wrong(f"{more} questions about money for {2 * len(markets)} buys of two accounts.")
    await scene.settled(before + 2 * len(markets))
    return f"{2 * len(markets)} buys of two accounts were decided with {more} new questions about their money."


async def _one_question(scene: RealScene) -> str:
    funds, followers = scene.exchange.accounts.funds, [each.follower_id for each in scene.traders.values()]
    facts = await scene.facts()
    for each in followers:
        funds.forget(each)
    asked = scene.http.asked_for("COLLATERAL")
    await asyncio.gather(*(funds.of_buyers(facts) for _asker in range(20)))
    more = scene.http.asked_for("COLLATERAL") - asked
    # A fresh read never rests on a question that is older than itself: at most one more follows it.
    if not len(followers) <= more <= 3 * len(followers):
        raise Wrong(f"{more} questions for {len(followers)} accounts that 20 askers wanted at once.")
    return f"20 askers at once for {len(followers)} accounts whose money was unknown: {more} questions."


async def _sales_asked(scene: RealScene) -> str:
    before, asked = len(await scene.copies()), scene.http.asked_for("CONDITIONAL")
    await scene.leader_trades("SELL")
    rows = (await scene.settled(before + 2))[before:]
    same("The sales", {row.status for row in rows}, {"EXECUTED"})
    if scene.http.asked_for("CONDITIONAL") - asked < 2:
        raise Wrong("A sale went without asking the venue for the shares.")
    return "Each sale asked the venue for the shares first."


async def _missing_shares(scene: RealScene) -> str:
    market, trader = scene.box.markets[1], scene.traders[SIX[0].name]
    token = market.token_ids[0]
    held = scene.box.exchange.shares(trader.wallet, token)
    await scene.take_away(trader, token, held // 2)
    before = len(await scene.copies())
    await scene.leader_trades("SELL", market=market)
    await scene.settled(before + 2)
    (mine,) = [row for row in (await scene.copies())[before:] if row.follower_id == trader.follower_id]
    same("Status and shares sold", (mine.status, mine.fill_size_micros), ("EXECUTED", held - held // 2))
    same("Incidents of it", await scene.database.run(_incidents, "AUDIT_DIFFERENCE"), 1)
    return "Half of the shares had left the wallet: the rest was sold, with one incident."


async def _not_enough(scene: RealScene) -> str:
    trader = scene.traders[SIX[1].name]
    scene.box.exchange.allow(trader.wallet, 0)
    scene.exchange.accounts.funds.forget(trader.follower_id)
    before, posted = len(await scene.copies()), scene.box.exchange.received.total()
    await scene.leader_trades(market=scene.box.markets[3])
    rows = {row.follower_id: row for row in (await scene.settled(before + 2))[before:]}
    same("How it ended", _ending(rows[trader.follower_id]), ("SKIPPED", "", "ALLOWANCE_MISSING"))
    same("Orders posted", scene.box.exchange.received.total() - posted, 1)
    return "An account without allowance was skipped before anything was sent; the other one bought."


EXECUTION_PATHS: Mapping[str, Part] = {
    "each mode goes its own way, and what has none is refused": _paths,
    "signatures are the venue's, of an owner and of a session key": _signatures,
    "the venue's truth equals our rows": _truth,
    "a dry run is planned and signed, and never posted": _dry,
}
PARALLEL_ORDERS: Mapping[str, Part] = {
    "different accounts are in flight at once": _at_once,
    "one account's orders leave in order, one after the other": _in_order,
}
SESSION_KEYS: Mapping[str, Part] = {
    "a session key trades for its deposit wallet": _session_trades,
    "a sudden revocation stops that account, with one incident": _session_revoked,
    "other accounts go on": _others_go_on,
}
PREFLIGHT_CACHE: Mapping[str, Part] = {
    "buys are decided on remembered money": _buys_remembered,
    "however many ask, few questions are under way": _one_question,
    "a sale asks for the shares anew": _sales_asked,
    "shares that left by another way are not sold": _missing_shares,
    "a buy without allowance is skipped before it is sent": _not_enough,
}


def _steps(pointed: Pointed, people: Sequence[Who], parts: Mapping[str, Part]) -> Iterable[Step]:
    """All parts on one scene, in their order; each step tells its own."""
    once = Once(lambda: asyncio.run(_play(pointed, people, parts)))
    return [Step(promise, lambda promise=promise: _told(once(), promise)) for promise in parts]  # type: ignore[misc]


async def _play(pointed: Pointed, people: Sequence[Who], parts: Mapping[str, Part]) -> dict[str, str | Exception]:
    told: dict[str, str | Exception] = {}
    async with real_scene(pointed, people, http=TimedHttp()) as scene:
        for promise, part in parts.items():
            try:
                told[promise] = await part(scene)
            except Exception as error:  # noqa: BLE001  (the boundary: whatever a step meets is its own failure)
                told[promise] = error
            scene.box.faults.lift()
    return told


def _told(seen: Mapping[str, Any], promise: str) -> str:
    found = seen[promise]
    if isinstance(found, Exception):
        raise found
    return str(found)


def _ending(row: CopyTrade) -> tuple[str, str, str]:
    """Status, venue, and the first reason."""
    reasons = [each["reason"] for each in row.reasons if not each.get("note")]
    return str(row.status), row.executor, str(reasons[0]) if reasons else ""


def _set_modes(scene: RealScene) -> None:
    for name, mode in (("Proxy", Follower.Mode.PROXY), ("Paper", Follower.Mode.PAPER)):
        Follower.objects.filter(pk=scene.traders[name].follower_id).update(mode=mode)
    TradingAccount.objects.filter(follower_id=scene.traders["Without account"].follower_id).delete()


def _is_stopped(follower_id: int) -> bool:
    return TradingAccount.objects.filter(follower_id=follower_id, state=TradingAccount.State.STOPPED).exists()


def _incidents(reason: str) -> int:
    return GuardrailEvent.objects.filter(reason=reason).count()
