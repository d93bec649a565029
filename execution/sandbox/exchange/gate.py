"""What every private request passes first: it is counted, limited, and its caller known."""

from collections import Counter
from collections.abc import Awaitable, Callable

from execution.sandbox.exchange.keys import Credentials, Keys
from execution.sandbox.exchange.rates import Action, AddressRates, SignerRates
from execution.sandbox.exchange.refusals import Refused, unauthorized
from execution.sandbox.exchange.wallets import Wallets
from execution.sandbox.serving import Ask, Reply, too_many
from execution.sandbox.world import World

PREFIX = "/clob"
"""The venue's own host has no such prefix, and signed paths have none."""

Private = Callable[[Ask, Credentials], Awaitable[Reply]]


class Gate:
    """One for all private doors."""

    def __init__(self, world: World, keys: Keys, wallets: Wallets, *, limited: bool) -> None:
        self._world = world
        self._keys = keys
        self._wallets = wallets
        self.limited = limited
        self.requests: Counter[str] = Counter()
        self.signers = SignerRates(world.clock)
        self._address = AddressRates(world.clock)

    def now_s(self) -> int:
        """By the sandbox's clock."""
        return self._world.now_ms() // 1_000

    def counted(
        self, name: str, handler: Callable[[Ask], Awaitable[Reply]], *, limit: str = ""
    ) -> Callable[[Ask], Awaitable[Reply]]:
        """Count requests under a name and limit them, and answer what the handler refuses."""

        async def serve(ask: Ask) -> Reply:
            self.requests[name] += 1
            wait_s = self._address.refused_for_s(limit or name) if self.limited else 0
            if wait_s:
                return too_many(wait_s)
            try:
                return await handler(ask)
            except Refused as refused:
                return refused.reply()

        return serve

    def private(self, name: str, handler: Private) -> Callable[[Ask], Awaitable[Reply]]:
        """The same for requests that an API key signs (L2)."""

        async def known(ask: Ask) -> Reply:
            return await handler(ask, self.caller(ask))

        return self.counted(name, known)

    def caller(self, ask: Ask) -> Credentials:
        """Whose key signed the request. Raises Refused."""
        path = ask.target.partition("?")[0].removeprefix(PREFIX)
        found = self._keys.caller(ask, path, self.now_s())
        if found.address in self._wallets.fenced:
            raise unauthorized()
        return found

    def spend(self, caller: Credentials, action: Action, cost: int) -> dict[str, str]:
        """Take from the signer's bucket; answers the headers to send. Raises Refused with 429."""
        spent = self.signers.spend(caller.address, action, cost, enforced=self.limited)
        if spent.refused_for_s:
            raise Refused("rate limit exceeded", 429, headers=spent.headers)
        return dict(spent.headers)
