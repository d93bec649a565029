"""What a signer signs: orders of known accounts on known exchanges, logins of their keys, approvals. Pure.

The engine that asks is not trusted with more: whoever takes it over can trade with an account, in amounts that are
bounded, and can neither withdraw nor transfer anything, nor approve anybody but the venue's own contracts.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from execution.eip1559 import Transaction
from execution.orders import (
    CHAIN_ID,
    EXCHANGES,
    NEVER_RESTS,
    ZERO_BYTES32,
    OrderError,
    OrderPlan,
    check_draft,
    cut_amounts,
    order_amounts,
    order_hash,
)
from execution.ports import Login
from execution.signer.transaction_policy import TransactionTerms, takes_back
from ledger.units import Side, text_from_micros

LOGIN_SKEW_S = 600
"""A login counts by its moment: one for another day would be a spare key."""

EOA, POLY_1271 = 0, 3
NONCE_BOUND = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningAccount:
    """Whose funds (`wallet`) which key (`signer`) may spend, and how; addresses in lower case.

    `session`: the key is a session key of the deposit wallet, until `valid_until`.
    """

    wallet: str
    signer: str
    signature_type: int
    session: bool = False
    active: bool = True
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningPolicy:
    """Default deny. `contracts` are the exchanges in lower case, `accounts` by wallet; `max_order_micros` bounds what
    one BUY pays. What a SELL brings has no bound: an exit must not get stuck, and its price stands in the order.
    """

    chain_id: int
    contracts: frozenset[str]
    max_order_micros: int
    accounts: Mapping[str, SigningAccount] = field(default_factory=dict)
    builders: frozenset[bytes] = frozenset({ZERO_BYTES32})
    """Builder codes that orders may carry: a builder takes a fee of its own."""
    transactions: TransactionTerms = field(default_factory=TransactionTerms)

    def order_refusal(self, plan: OrderPlan, key: str, *, now: datetime) -> str | None:
        """Why this order is not signed with this key, as a sentence; None when it is."""
        _version, exchange = EXCHANGES[plan.domain]
        if self.chain_id != CHAIN_ID:
            return f"Orders are signed for chain {CHAIN_ID} alone, not for {self.chain_id}."
        if exchange.lower() not in self.contracts:
            return f"The exchange {exchange} is none that this signer signs for."
        account = self.accounts.get(plan.maker.lower())
        if account is None:
            return f"There is no account with the wallet {plan.maker[:50]}."
        return (
            _account_refusal(account, key, now)
            or _shape_refusal(plan, account)
            or self._amount_refusal(plan)
            or _hash_refusal(plan)
        )

    def login_refusal(self, login: Login, key: str, *, now: datetime) -> str | None:
        """Why this login is not signed with this key; a stopped account's key may still ask and cancel."""
        if login.address.lower() != key.lower():
            return "A key signs logins for its own address alone."
        accounts = [each for each in self.accounts.values() if each.signer == key.lower()]
        if not accounts:
            return f"There is no account with the key {key[:50]}."
        if not any(_in_time(each, now) for each in accounts):
            return f"The session key {key} is past its time."
        if abs(int(now.timestamp()) - login.timestamp) > LOGIN_SKEW_S:
            return "The login is for another moment than now."
        if not 0 <= login.nonce < NONCE_BOUND:
            return "The nonce of the login is none that the venue uses."
        return None

    def transaction_refusal(self, transaction: Transaction, key: str) -> str | None:
        """Why this transaction is not signed with this key, as a sentence; None when it is.

        It moves the account's own address, so only a wallet that is its own key can have one; never a session key.
        """
        if transaction.chain_id != self.chain_id:
            return f"Transactions are signed for chain {self.chain_id} alone, not for {transaction.chain_id}."
        account = self.accounts.get(key.lower())
        if account is None:
            return f"There is no account with the wallet {key[:50]}: only a wallet's own key signs transactions."
        if account.session or account.signature_type != EOA or account.signer != account.wallet:
            return f"The account of {account.wallet} is no EOA; transactions are signed for those alone."
        if not account.active and not takes_back(transaction):
            return f"The account of {account.wallet} is stopped."
        return self.transactions.refusal(transaction)

    def _amount_refusal(self, plan: OrderPlan) -> str | None:
        size, price, tick = plan.size_micros, plan.limit_micros, plan.tick_micros
        allowed = {order_amounts(plan.side, price, size_micros=size, tick_micros=tick)}
        if plan.order_type in NEVER_RESTS:
            with suppress(OrderError):
                allowed.add(cut_amounts(plan.side, price, size_micros=size, tick_micros=tick))
        if (plan.maker_amount, plan.taker_amount) not in allowed:
            return "The amounts are not those of the order's size and price."
        if plan.side is Side.BUY and plan.maker_amount > self.max_order_micros:
            paid, most = text_from_micros(plan.maker_amount), text_from_micros(self.max_order_micros)
            return f"The order pays ${paid}; this signer signs for at most ${most}."
        if plan.metadata != ZERO_BYTES32 or plan.builder not in self.builders:
            return "The order carries metadata or a builder code that this signer does not know."
        return None


def _account_refusal(account: SigningAccount, key: str, now: datetime) -> str | None:
    if key.lower() != account.signer:
        return f"The key {key[:50]} does not belong to the wallet {account.wallet}."
    if not account.active:
        return f"The account of {account.wallet} is stopped."
    if not _in_time(account, now):
        return f"The session key {account.signer} is past its time."
    return None


def _in_time(account: SigningAccount, now: datetime) -> bool:
    return not account.session or (account.valid_until is not None and now < account.valid_until)


def _shape_refusal(plan: OrderPlan, account: SigningAccount) -> str | None:
    if plan.signature_type != account.signature_type:
        return f"The account of {account.wallet} signs with type {account.signature_type}, not {plan.signature_type}."
    expected = account.wallet if account.signature_type == POLY_1271 else account.signer
    if plan.signer.lower() != expected:
        return f"The order names the signer {plan.signer[:50]}; it must be {expected}."
    if account.session and account.signature_type != POLY_1271:
        return "A session key signs for a deposit wallet alone."
    try:
        check_draft(plan)
    except OrderError as error:
        return str(error)
    return None


def _hash_refusal(plan: OrderPlan) -> str | None:
    try:
        same = order_hash(plan) == plan.order_hash
    except (OrderError, OverflowError):
        return "The order cannot be hashed."
    return None if same else "The order hash is not that of the order's fields."
