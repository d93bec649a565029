"""Which logs name a set of wallets: the filters to ask a node with. Pure."""

from collections.abc import Collection, Mapping

from execution.abi_words import word_of_address
from execution.chain_events import (
    ORDER_FILLED,
    PAYOUT_REDEMPTION,
    POSITION_SPLIT,
    POSITIONS_CONVERTED,
    POSITIONS_MERGE,
    TRANSFER_BATCH,
    TRANSFER_SINGLE,
)
from execution.deployments import Deployment

Filter = Mapping[str, object]

_TRANSFERS = [TRANSFER_SINGLE, TRANSFER_BATCH]
_STEPS = [POSITION_SPLIT, POSITIONS_MERGE, PAYOUT_REDEMPTION, POSITIONS_CONVERTED]


def filters_for(wallets: Collection[str], contracts: Deployment, *, wallets_max: int) -> tuple[Filter, ...]:
    """The filters whose logs together hold all that these wallets do; a log may match two of them.

    Above `wallets_max` wallets one filter without any: nodes bound the topics of a filter, and the whole venue is some
    thirty fills a second, cheap to sort out here (polymarket.md 9.5).
    """
    if not wallets:
        return ()
    exchanges = list(contracts.filling_exchanges)
    ledgers = [each for each in (contracts.conditional_tokens, contracts.position_manager) if each]
    stages = [each for each in (contracts.conditional_tokens, contracts.neg_risk_adapter) if each]
    if len(wallets) > wallets_max:
        addresses = sorted(contracts.emitters)
        return ({"address": addresses, "topics": [[ORDER_FILLED, *_TRANSFERS, *_STEPS]]},)
    words = sorted(word_of_address(wallet) for wallet in wallets)
    return (
        {"address": exchanges, "topics": [ORDER_FILLED, None, words]},
        {"address": ledgers, "topics": [_TRANSFERS, None, words]},
        {"address": ledgers, "topics": [_TRANSFERS, None, None, words]},
        {"address": stages, "topics": [_STEPS, words]},
    )
