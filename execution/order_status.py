"""What the chain says of an order: whether anything of it was filled, whatever the venue shows.

Source: shared/reference/reliability.md section 1.2, finding 6, and 2.1: `orderStatus(hash)` of the exchanges.
"""

import re
from collections.abc import Collection

import structlog

from execution.rpc import Call, Rpc, RpcError

SELECTOR = "0x2dff692d"
"""Of `orderStatus(bytes32) returns (bool filled, uint256 remaining)`."""

_TOLD = re.compile("0x[0-9a-fA-F]{128}")

log = structlog.get_logger(__name__)


class OrdersOnChain:
    """Asks the exchanges of one chain. A hash holds for one exchange alone, so that all of them may be asked."""

    def __init__(self, rpc: Rpc, exchanges: Collection[str]) -> None:
        self._rpc, self._exchanges = rpc, sorted(exchanges)

    async def has_fills(self, order_hash: str) -> bool | None:
        """Whether anything of it was filled by the newest block; None when the chain could not be asked.

        False is no proof that nothing will be: a match is mined seconds to minutes after it is made.
        """
        data = SELECTOR + order_hash.removeprefix("0x")
        calls = [Call("eth_call", ({"to": each, "data": data}, "latest")) for each in self._exchanges]
        try:
            answers = await self._rpc.batch(calls)
        except RpcError as trouble:
            log.info("The chain could not be asked about an order.", action="rescue", why=str(trouble))
            return None
        told = [int(each, 16) for each in answers if isinstance(each, str) and _TOLD.fullmatch(each)]
        if any(told):
            return True
        return False if len(told) == len(answers) else None
