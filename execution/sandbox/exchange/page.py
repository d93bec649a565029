"""`/_sandbox/exchange`: the private CLOB's control for another process, in the words of the package's front door."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from execution.sandbox.exchange.desk import Exchange
from execution.sandbox.exchange.order_door import Mode
from execution.sandbox.exchange.settling import SettlementTimes
from execution.sandbox.serving import Ask, Reply, Server, answer

PATH = "/_sandbox/exchange"
Verb = Callable[..., object]


class ExchangePage:
    """GET answers the truth; POST `{"do": VERB, ...}` with the verb's own arguments by name, or a list of such."""

    def __init__(self, exchange: Exchange, server: Server) -> None:
        self._exchange = exchange
        self._verbs: Mapping[str, Verb] = {
            "fund": exchange.fund,
            "give": exchange.give,
            "give_pol": exchange.give_pol,
            "allow": exchange.allow,
            "register_wallet": exchange.register_wallet,
            "authorize_session": exchange.authorize_session,
            "revoke_session": exchange.revoke_session,
            "set_tier": exchange.set_tier,
            "ban": exchange.ban,
            "close_only": exchange.close_only,
            "hold_up": exchange.hold_up,
            "stop_market": exchange.stop_market,
            "set_mode": self._set_mode,
            "set_times": self._set_times,
            "cut_users": exchange.cut_users,
            "settled": exchange.settled,
        }
        server.http("GET", PATH, self._truth, faults=None)
        server.http("POST", PATH, self._do, faults=None)

    async def _truth(self, ask: Ask) -> Reply:
        order_hash = ask.one("order")
        if order_hash is None:
            return answer(self._exchange.as_json())
        order, trades = self._exchange.order(order_hash), self._exchange.trades(order_hash)
        return answer({"order": order, "trades": list(trades), "received": self._exchange.received[order_hash]})

    async def _do(self, ask: Ask) -> Reply:
        try:
            asked = msgspec.json.decode(ask.body)
            for each in asked if isinstance(asked, list) else [asked]:
                await self._do_one(each)
        except (msgspec.DecodeError, ValueError, TypeError, KeyError) as error:
            return answer({"error": f"{error}"}, 400)
        return answer({"done": True})

    async def _do_one(self, asked: Any) -> None:
        if not isinstance(asked, dict) or asked.get("do") not in self._verbs:
            raise ValueError(f'write {{"do": ...}} with one of {", ".join(self._verbs)}')
        words = {name: value for name, value in asked.items() if name != "do"}
        if "token_id" in words:
            words["token_id"] = int(words["token_id"])
        done = self._verbs[asked["do"]](**words)
        if isinstance(done, Awaitable):
            await done

    def _set_mode(self, mode: str) -> None:
        self._exchange.set_mode(Mode(mode))

    def _set_times(self, **times: int) -> None:
        self._exchange.times = SettlementTimes(**times)
