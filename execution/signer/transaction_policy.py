"""Which transactions a signer signs: the approvals that trading needs, from wallets that are their own key. Pure.

Whoever takes over the engine can have nothing sent to anybody: only the venue's contracts can be approved, which move
money and shares on signed orders alone, and each order is bounded by the signer again. Fees are bounded for each
transaction here, and the number of transactions where they are signed.
"""

from dataclasses import dataclass

from execution import approvals
from execution.approvals import Approval, ApprovalError, MoneyApproval, read_approval
from execution.eip1559 import Transaction, TransactionError, signing_hash
from ledger.units import text_from_micros

GAS_MAX = 200_000
"""An approval takes about 50,000."""

WEI_OF_MILLIPOL = 10**15


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionTerms:
    """Default deny: pairs of a contract and whom it may be told to trust, all in lower case; without any, nothing.

    `amount_max` bounds an approval of pUSD, in micros; 0 is no bound, which is what the venue's own site asks for. The
    exchange takes only what a signed order says, so that a bound guards against faults of the exchange's contract
    itself. It is used up by trading, and then the account buys nothing until it is approved again. Approvals of shares
    know no amount. Taking an approval back, whoever has it, is always allowed. `fee_max_wei` bounds gas times price.
    """

    spenders: frozenset[tuple[str, str]] = frozenset()
    operators: frozenset[tuple[str, str]] = frozenset()
    amount_max: int = 0
    fee_max_wei: int = 0

    def refusal(self, transaction: Transaction) -> str | None:
        """Why this is not signed for any account, as a sentence; None when it may be."""
        if transaction.value_wei:
            return "The transaction sends POL; this signer signs none that does."
        known = {contract for contract, _trusted in self.spenders | self.operators}
        if transaction.to.lower() not in known:
            return f"The contract {transaction.to[:50]} is none that this signer signs transactions for."
        try:
            approval = read_approval(transaction.to.lower(), transaction.calldata)
        except ApprovalError as error:
            return f"{error} This signer signs approvals alone."
        return self._approval_refusal(approval) or self._fee_refusal(transaction) or _hash_refusal(transaction)

    def _approval_refusal(self, approval: Approval) -> str | None:
        if isinstance(approval, MoneyApproval):
            contract, trusted, pairs, what = approval.token, approval.spender, self.spenders, "take pUSD"
        else:
            contract, trusted, pairs, what = approval.ledger, approval.operator, self.operators, "move shares"
        if contract not in {each for each, _trusted in pairs}:
            return f"The contract {contract} keeps nothing that this call could approve."
        if approvals.takes_back(approval):
            return None
        if (contract, trusted) not in pairs:
            return f"This signer lets nobody but the venue's exchanges {what}, and {trusted} is none of those."
        if isinstance(approval, MoneyApproval) and 0 < self.amount_max < approval.amount:
            return f"This signer signs approvals of at most ${text_from_micros(self.amount_max)}."
        return None

    def _fee_refusal(self, transaction: Transaction) -> str | None:
        if not 0 < transaction.gas <= GAS_MAX:
            return f"The transaction asks for {transaction.gas} gas; this signer signs for at most {GAS_MAX}."
        if transaction.max_priority_fee_per_gas > transaction.max_fee_per_gas:
            return "The transaction's priority fee is above its whole fee."
        if transaction.fee_max_wei > self.fee_max_wei:
            fee, most = (-(-each // WEI_OF_MILLIPOL) for each in (transaction.fee_max_wei, self.fee_max_wei))
            return f"The transaction may cost {fee} thousandths of a POL; this signer signs for at most {most}."
        return None


def takes_back(transaction: Transaction) -> bool:
    """Whether it takes an approval back: then a stopped account's is signed too."""
    try:
        return approvals.takes_back(read_approval(transaction.to.lower(), transaction.calldata))
    except ApprovalError:
        return False


def _hash_refusal(transaction: Transaction) -> str | None:
    try:
        same = f"0x{signing_hash(transaction).hex()}" == transaction.digest
    except TransactionError as error:
        return str(error)
    return None if same else "The digest is not that of the transaction's fields."
