"""The REST of orders: posting and cancelling, with what can go wrong on the way there and on the way back."""

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from enum import StrEnum

from execution.sandbox.exchange.floor import FAILS, HIDE, PARTIAL, Floor
from execution.sandbox.exchange.gate import PREFIX, Gate
from execution.sandbox.exchange.intake import Arrived, Intake
from execution.sandbox.exchange.keys import Credentials
from execution.sandbox.exchange.records import OrderRecord
from execution.sandbox.exchange.refusals import (
    CANCEL_ONLY,
    DISABLED,
    INVALID_PAYLOAD,
    NOT_READY,
    NOT_RUN,
    POST_ONLY,
    RESTARTING,
    TIMED_OUT,
    Refused,
    duplicated,
    too_many_orders,
)
from execution.sandbox.exchange.sent import BATCH_MAX, SentOrder, parse_order, parse_orders
from execution.sandbox.exchange.words import not_posted, posted
from execution.sandbox.faults import DELAY, DUPLICATE, DoorFaults
from execution.sandbox.serving import Ask, Reply, Server, answer
from ledger.clock import Clock

DOOR = "clob-orders"
TIMEOUT, CUT, ACCEPT_500, SLOW = "accept_then_timeout", "accept_then_cut", "accept_then_500", "slow"
REJECT, QUIET, ERROR = "reject", "reject_quietly", "error_500"
RESTART, ONLY_POSTS, ONLY_CANCELS, OFF = "restart_425", "post_only_503", "cancel_only_503", "disabled_503"
BUSY = "too_many_429"
KINDS = (
    *(TIMEOUT, CUT, ACCEPT_500, DUPLICATE, SLOW, REJECT, QUIET, DELAY, PARTIAL, FAILS, HIDE, ERROR),
    *(RESTART, ONLY_POSTS, ONLY_CANCELS, OFF, BUSY),
)
TIMEOUT_MS, SLOW_MS = 30_000, 2_000
"""Of these faults without a time."""

CANCELS_MAX = 1_000
RETRY_AFTER_S = 1
POST_ONLY_S = 120
GONE = "order can't be found - already canceled or matched"


class Mode(StrEnum):
    """What the matching engine takes."""

    OPEN = "OPEN"
    RESTARTING = "RESTARTING"
    POST_ONLY = "POST_ONLY"
    CANCEL_ONLY = "CANCEL_ONLY"
    DISABLED = "DISABLED"


STRIKES = ((RESTART, Mode.RESTARTING), (OFF, Mode.DISABLED), (ONLY_CANCELS, Mode.CANCEL_ONLY))


class OrderDoor:
    """POST and DELETE of orders."""

    def __init__(
        self, server: Server, gate: Gate, floor: Floor, *, intake: Intake, faults: DoorFaults, clock: Clock
    ) -> None:
        self._server = server
        self._gate = gate
        self._floor = floor
        self._intake = intake
        self._faults = faults
        self._clock = clock
        self.mode = Mode.OPEN
        faults.durations |= {TIMEOUT, SLOW, HIDE}
        self._route("POST", "/order", self._post)
        self._route("POST", "/orders", self._post_many)
        self._route("DELETE", "/order", self._cancel_one)
        self._route("DELETE", "/orders", self._cancel_many)
        self._route("DELETE", "/cancel-all", self._cancel_all)
        self._route("DELETE", "/cancel-market-orders", self._cancel_market)

    def _route(self, method: str, path: str, handler: Callable[[Ask, Credentials], Awaitable[Reply]]) -> None:
        # The faults of this door strike orders, not connections.
        self._server.http(method, PREFIX + path, self._gate.private(f"{method} {path}", handler), faults=None)

    async def _post(self, ask: Ask, caller: Credentials) -> Reply:
        arrived = self._intake.arrive(parse_order(ask.body))
        self._refuse_early([arrived])
        headers = self._gate.spend(caller, "orders", 1)
        if self._faults.strike(QUIET):
            return replace(answer(not_posted(NOT_READY)), headers=headers)
        try:
            record = self._intake.take(arrived, caller)
        except Refused as refused:
            raise Refused(refused.text, refused.status, refused.more, {**refused.headers, **headers}) from None
        return await self._answered(replace(answer(posted(record)), headers=headers), [record])

    async def _post_many(self, ask: Ask, caller: Credentials) -> Reply:
        sent = parse_orders(ask.body)
        if not sent:
            raise Refused(INVALID_PAYLOAD)
        if len(sent) > BATCH_MAX:
            raise too_many_orders(len(sent), BATCH_MAX)
        arrived = [self._arrived_or_text(each) for each in sent]
        self._refuse_early([each for each in arrived if isinstance(each, Arrived)])
        headers = self._gate.spend(caller, "orders", len(sent))
        found = [self._taken_or_text(each, caller) for each in arrived]
        legs = [posted(each) if isinstance(each, OrderRecord) else not_posted(each) for each in found]
        taken = [each for each in found if isinstance(each, OrderRecord)]
        return await self._answered(replace(answer(legs), headers=headers), taken)

    def _arrived_or_text(self, sent: SentOrder) -> Arrived | str:
        try:
            return self._intake.arrive(sent)
        except Refused as refused:
            return refused.text

    def _taken_or_text(self, arrived: Arrived | str, caller: Credentials) -> OrderRecord | str:
        if isinstance(arrived, str):
            return arrived
        try:
            return self._intake.take(arrived, caller)
        except Refused as refused:
            return refused.text

    def _refuse_early(self, arrived: Sequence[Arrived]) -> None:
        """What the venue says before it looks at an order. Raises Refused."""
        mode = next((mode for kind, mode in STRIKES if self._faults.strike(kind)), self.mode)
        self._refuse_by(mode)
        if mode is Mode.CANCEL_ONLY:
            raise Refused(CANCEL_ONLY, 503)
        rests_only = all(each.sent.post_only for each in arrived)
        if not rests_only and (mode is Mode.POST_ONLY or self._faults.strike(ONLY_POSTS)):
            more = {"code": "post_only_mode", "retry_after_seconds": POST_ONLY_S}
            raise Refused(POST_ONLY, 503, more, {"Retry-After": str(POST_ONLY_S)})
        if self._faults.strike(BUSY):
            raise Refused("Too Many Requests", 429, headers={"Retry-After": str(RETRY_AFTER_S)})
        if self._faults.strike(ERROR):
            raise Refused(NOT_RUN, 500)
        if self._faults.strike(REJECT):
            raise Refused(NOT_READY)

    def _refuse_by(self, mode: Mode) -> None:
        """Modes that stop cancels too."""
        if mode is Mode.RESTARTING:
            raise Refused(RESTARTING, 425, headers={"Retry-After": str(RETRY_AFTER_S)})
        if mode is Mode.DISABLED:
            raise Refused(DISABLED, 503)

    async def _answered(self, reply: Reply, taken: Sequence[OrderRecord]) -> Reply:
        """The answer, or what becomes of it: the orders are taken already."""
        if not taken:
            return reply
        if self._faults.strike(CUT):
            return replace(reply, cut=True)
        lost = self._faults.strike(TIMEOUT)
        if lost is not None:
            await self._clock.sleep((TIMEOUT_MS if lost.ms is None else lost.ms) / 1_000)
            return replace(reply, cut=True)
        slow = self._faults.strike(SLOW)
        if slow is not None:
            await self._clock.sleep((SLOW_MS if slow.ms is None else slow.ms) / 1_000)
        if self._faults.strike(ACCEPT_500):
            raise Refused(TIMED_OUT, 500)
        if self._faults.strike(DUPLICATE):
            raise duplicated(taken[0].order_hash)
        return reply

    async def _cancel_one(self, ask: Ask, caller: Credentials) -> Reply:
        asked = _json(ask.body)
        order_id = asked.get("orderID") if isinstance(asked, dict) else None
        if not isinstance(order_id, str):
            raise Refused(INVALID_PAYLOAD)
        return self._cancelled([order_id], caller)

    async def _cancel_many(self, ask: Ask, caller: Credentials) -> Reply:
        asked = _json(ask.body)
        if not isinstance(asked, list) or not all(isinstance(each, str) for each in asked):
            raise Refused(INVALID_PAYLOAD)
        if len(asked) > CANCELS_MAX:
            raise too_many_orders(len(asked), CANCELS_MAX)
        return self._cancelled(asked, caller)

    async def _cancel_all(self, _ask: Ask, caller: Credentials) -> Reply:
        return self._cancelled([each.order_hash for each in self._floor.open_orders(caller.address)], caller)

    async def _cancel_market(self, ask: Ask, caller: Credentials) -> Reply:
        asked = _json(ask.body)
        if not isinstance(asked, dict):
            raise Refused(INVALID_PAYLOAD)
        market, asset = asked.get("market"), asked.get("asset_id")
        wanted = [
            each.order_hash
            for each in self._floor.open_orders(caller.address)
            if market in (None, "", each.market.condition_id) and asset in (None, "", str(each.sent.token_id))
        ]
        return self._cancelled(wanted, caller)

    def _cancelled(self, order_ids: Iterable[str], caller: Credentials) -> Reply:
        self._refuse_by(self.mode)
        wanted = list(dict.fromkeys(order_ids))
        headers = self._gate.spend(caller, "cancels", max(1, len(wanted)))
        done = [each for each in wanted if self._cancel(each, caller)]
        kept = {each: GONE for each in wanted if each not in done}
        return replace(answer({"canceled": done, "not_canceled": kept}), headers=headers)

    def _cancel(self, order_id: str, caller: Credentials) -> bool:
        record = self._floor.orders.get(order_id.lower())
        return record is not None and record.key == caller.address and self._floor.cancel(record)


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        raise Refused(INVALID_PAYLOAD) from None
