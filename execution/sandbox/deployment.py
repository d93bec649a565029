"""Puts the contracts where the venue has them: code and the few storage cells that a constructor would have written."""

from collections.abc import Sequence
from dataclasses import dataclass

from execution.sandbox.artifacts import Contract, load, load_conditional_tokens
from execution.sandbox.node import Call, Node
from execution.sandbox.position_ids import keccak256

POT_MICROS = 10**18
"""pUSD behind the conditional tokens that the sandbox made without paying for them, and behind conversions."""

UNLIMITED = 2**256 - 1

# Storage of the real ConditionalTokens 1.0.3, in the order of its declarations.
TOKENS_INTERFACES, TOKENS_BALANCES, TOKENS_APPROVALS = 0, 1, 2
# Storage of contracts/src/Collateral.sol.
COLLATERAL_BALANCES, COLLATERAL_ALLOWANCES = 0, 1

ALLOWED = MOVING = True
TELLING = False
"""Arguments of the contracts: an exchange moves tokens, or only tells what would have moved."""

ERC165, ERC1155 = "01ffc9a7", "d9b67a26"


class DeploymentFailed(RuntimeError):
    """The contracts do not answer as they should where they were put."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the contracts stand; by default where the venue published them for Polygon (autumn 2026)."""

    collateral: str = "0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB"
    conditional_tokens: str = "0x4D97DCd97eC945f40cF65F87097ACe5EA0476045"
    exchange: str = "0xE111180000d2663C0091e4f400237545B87B996B"
    neg_risk_exchange: str = "0xe2222d279d744050d28e00520010520000310F59"
    exchange_v3: str = "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa"
    neg_risk_adapter: str = "0xd91E80cF2E7be2e162c6513ceD06f1dD0dA35296"
    position_manager: str = "0x006F54F7f9A22e0000CC2AB60031000000ae9fEF"

    @property
    def exchanges(self) -> tuple[str, str, str]:
        """All three."""
        return self.exchange, self.neg_risk_exchange, self.exchange_v3


@dataclass(frozen=True, slots=True, kw_only=True)
class Contracts:
    """What stands at the addresses; the three exchanges share one."""

    collateral: Contract
    conditional_tokens: Contract
    exchange: Contract
    neg_risk_adapter: Contract


def load_contracts() -> Contracts:
    """From the committed artifacts and the npm package."""
    return Contracts(
        collateral=load("Collateral"),
        conditional_tokens=load_conditional_tokens(),
        exchange=load("ExchangeDouble"),
        neg_risk_adapter=load("NegRiskAdapterDouble"),
    )


async def deploy(
    node: Node, contracts: Contracts, addresses: Addresses, *, admin: str, operators: Sequence[str]
) -> None:
    """Put all contracts in place; what the admin sets by transaction is mined on return. Raises DeploymentFailed."""
    # Of Protocol V2's ledger nobody has the program: another ERC-1155 in its place takes the approvals, and no more.
    ledgers = (addresses.conditional_tokens, addresses.position_manager)
    put = [("anvil_setCode", (each, contracts.conditional_tokens.deployed_bytecode)) for each in ledgers]
    for address, creation in _creations(contracts, addresses, admin):
        # A constructor run by eth_call answers the code with its immutable values filled in.
        code = await node.text("eth_call", {"from": admin, "data": creation}, "latest")
        put.append(("anvil_setCode", (address, code)))
    await node.batch([*put, *_cells(addresses)])
    exchange = contracts.exchange
    for address in addresses.exchanges:
        for data in (
            exchange.call("setUnsignedAllowed", ALLOWED),
            *(exchange.call("setOperator", each, ALLOWED) for each in operators),
        ):
            await node.text("eth_sendTransaction", {"from": admin, "to": address, "data": data})
    await node.call("evm_mine")
    await _check(node, contracts, addresses, operators)


def mapping_cell(slot: int, *keys: int) -> int:
    """The storage cell of a mapping's value; further keys are of mappings in the mapping."""
    cell = slot
    for key in keys:
        cell = int.from_bytes(keccak256(key.to_bytes(32, "big") + cell.to_bytes(32, "big")), "big")
    return cell


def store(address: str, cell: int, value: int) -> Call:
    """The call that writes a storage cell."""
    return "anvil_setStorageAt", (address, f"0x{cell:064x}", f"0x{value:064x}")


def as_number(address: str) -> int:
    """An address as a mapping's key."""
    return int(address, 16)


def _creations(contracts: Contracts, addresses: Addresses, admin: str) -> list[tuple[str, str]]:
    money, tokens, exchange = addresses.collateral, addresses.conditional_tokens, contracts.exchange
    return [
        (money, contracts.collateral.creation(admin)),
        (addresses.exchange, exchange.creation("2", admin, money, tokens, MOVING)),
        (addresses.neg_risk_exchange, exchange.creation("2", admin, money, tokens, MOVING)),
        # No ledger of Protocol V2's positions stands here: this one only tells what would have moved.
        (addresses.exchange_v3, exchange.creation("3", admin, money, tokens, TELLING)),
        (addresses.neg_risk_adapter, contracts.neg_risk_adapter.creation(admin, money, tokens)),
    ]


def _cells(addresses: Addresses) -> list[Call]:
    # A bytes4 key of a mapping stands on the left of its word.
    interfaces = [int(each, 16) << 224 for each in (ERC165, ERC1155)]
    return [
        *(store(addresses.conditional_tokens, mapping_cell(TOKENS_INTERFACES, each), 1) for each in interfaces),
        *(
            store(addresses.collateral, mapping_cell(COLLATERAL_BALANCES, as_number(each)), POT_MICROS)
            for each in (addresses.conditional_tokens, addresses.neg_risk_adapter)
        ),
    ]


async def _check(node: Node, contracts: Contracts, addresses: Addresses, operators: Sequence[str]) -> None:
    """Where a program has another layout of storage than we wrote, nothing later would make sense."""
    tokens, money, exchange = contracts.conditional_tokens, contracts.collateral, contracts.exchange
    asked = [
        (addresses.conditional_tokens, tokens.call("supportsInterface", bytes.fromhex(ERC1155)), 1),
        (addresses.collateral, money.call("balanceOf", addresses.conditional_tokens), POT_MICROS),
        *((address, exchange.call("operators", each), 1) for address in addresses.exchanges for each in operators),
        *((address, exchange.call("unsignedAllowed"), 1) for address in addresses.exchanges),
    ]
    answers = await node.batch([("eth_call", ({"to": to, "data": data}, "latest")) for to, data, _ in asked])
    for (address, data, wanted), answer in zip(asked, answers, strict=True):
        if int(answer, 16) != wanted:
            raise DeploymentFailed(f"{address} answers {answer} to {data[:10]}, not {wanted}.")
