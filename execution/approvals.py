"""The approvals that a wallet gives so that exchanges can settle its trades: as values, calldata and questions. Pure.

Two kinds: an amount of pUSD that a spender may take (ERC-20 `approve`), and a ledger of shares whose tokens an operator
may move, all or none (ERC-1155 `setApprovalForAll`). Source: shared/reference/polymarket.md section 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from execution.abi_words import WORD, AbiError, Words
from execution.deployments import Deployment
from ledger.units import text_from_micros

UNLIMITED = (1 << 256) - 1

APPROVE = bytes.fromhex("095ea7b3")
"""Of `approve(address,uint256)`."""
SET_APPROVAL_FOR_ALL = bytes.fromhex("a22cb465")
"""Of `setApprovalForAll(address,bool)`."""
ALLOWANCE = bytes.fromhex("dd62ed3e")
"""Of `allowance(address,address) returns (uint256)`."""
IS_APPROVED_FOR_ALL = bytes.fromhex("e985e9c5")
"""Of `isApprovedForAll(address,address) returns (bool)`."""

SELECTOR = 4
CALL_BYTES = SELECTOR + 2 * WORD


class ApprovalError(ValueError):
    """The calldata is no approval; the message is a sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyApproval:
    """How much of a token `spender` may take, micros; 0 takes it back. Addresses in lower case."""

    token: str
    spender: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SharesApproval:
    """Whether `operator` may move all shares that a ledger keeps for the wallet; False takes it back."""

    ledger: str
    operator: str
    approved: bool


Approval = MoneyApproval | SharesApproval


def needed_approvals(deployment: Deployment, *, amount: int) -> Mapping[str, Approval]:
    """What trading on every exchange of a chain needs, by a name for people; without those of unpublished contracts.

    Each exchange takes pUSD and moves shares of its own ledger. The neg-risk adapter moves shares too: the venue's own
    client has it approved before the first trade of any wallet.
    """
    tokens, positions = deployment.conditional_tokens, deployment.position_manager
    exchanges = {
        "CTF_V2": (deployment.exchange_v2, tokens),
        "NEG_RISK_V2": (deployment.neg_risk_exchange_v2, tokens),
        "V3": (deployment.exchange_v3, positions),
    }
    found: dict[str, Approval] = {}
    for name, (exchange, ledger) in exchanges.items():
        if exchange and deployment.collateral:
            found[f"pUSD for {name}"] = MoneyApproval(token=deployment.collateral, spender=exchange, amount=amount)
        if exchange and ledger:
            found[f"shares for {name}"] = SharesApproval(ledger=ledger, operator=exchange, approved=True)
    adapter = deployment.neg_risk_collateral_adapter
    if adapter and tokens:
        found["shares for the neg-risk adapter"] = SharesApproval(ledger=tokens, operator=adapter, approved=True)
    return found


def contract_of(approval: Approval) -> str:
    """The contract that is called to give it."""
    return approval.token if isinstance(approval, MoneyApproval) else approval.ledger


def sentence_of(approval: Approval) -> str:
    """What it allows, for people."""
    if isinstance(approval, MoneyApproval):
        most = "without end" if approval.amount == UNLIMITED else f"up to ${text_from_micros(approval.amount)}"
        return f"{approval.spender} may take pUSD of {approval.token}, {most}"
    return f"{approval.operator} may {'' if approval.approved else 'not '}move the shares in {approval.ledger}"


def takes_back(approval: Approval) -> bool:
    """Whether nobody is trusted more after it."""
    return approval.amount == 0 if isinstance(approval, MoneyApproval) else not approval.approved


def calldata_of(approval: Approval) -> bytes:
    """The call that gives it."""
    if isinstance(approval, MoneyApproval):
        return APPROVE + _address_word(approval.spender) + approval.amount.to_bytes(WORD, "big")
    return SET_APPROVAL_FOR_ALL + _address_word(approval.operator) + int(approval.approved).to_bytes(WORD, "big")


def read_approval(contract: str, calldata: bytes) -> Approval:
    """What a call of this contract would approve. Raises ApprovalError for every other call.

    Exactly two words: what a contract ignores behind or inside them could be something else to another one.
    """
    selector, words = calldata[:SELECTOR], Words(calldata[SELECTOR:])
    if selector not in (APPROVE, SET_APPROVAL_FOR_ALL):
        raise ApprovalError(f"The function 0x{selector.hex()} is neither approve nor setApprovalForAll.")
    if len(calldata) != CALL_BYTES:
        raise ApprovalError(f"An approval has {CALL_BYTES} bytes of calldata, not {len(calldata)}.")
    try:
        if selector == APPROVE:
            return MoneyApproval(token=contract, spender=words.address(0), amount=words.uint(1))
        return SharesApproval(ledger=contract, operator=words.address(0), approved=bool(words.small(1, 2)))
    except AbiError as error:
        raise ApprovalError(f"The calldata is not encoded as it must be: {error}") from None


def question_of(approval: Approval, wallet: str) -> bytes:
    """The call that answers how it stands with a wallet."""
    if isinstance(approval, MoneyApproval):
        return ALLOWANCE + _address_word(wallet) + _address_word(approval.spender)
    return IS_APPROVED_FOR_ALL + _address_word(wallet) + _address_word(approval.operator)


def is_given(approval: Approval, answer: bytes, *, enough: int) -> bool | None:
    """Whether the answer to its question says so: of money at least `enough`. None for what is no answer."""
    if len(answer) != WORD:
        return None
    told = int.from_bytes(answer, "big")
    return told >= enough if isinstance(approval, MoneyApproval) else told == int(approval.approved)


def _address_word(address: str) -> bytes:
    return bytes.fromhex(address.removeprefix("0x").zfill(2 * WORD))
