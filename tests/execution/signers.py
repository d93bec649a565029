"""Accounts, orders and signers for the tests of the signer port."""

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from execution.approvals import (
    Approval,
    MoneyApproval,
    SharesApproval,
    calldata_of,
    contract_of,
    needed_approvals,
)
from execution.deployments import PUBLISHED
from execution.eip1559 import Transaction, with_digest
from execution.orders import EXCHANGES, ExchangeDomain, OrderDraft, OrderPlan, build_plan
from execution.ports import Login, SignerRefused
from execution.signer.local import LocalKeySigner
from execution.signer.policy import SigningAccount, SigningPolicy
from execution.signer.transaction_policy import TransactionTerms
from execution.signing import LocalSigner, address_of
from ledger.clock import Clock
from ledger.units import ONE, Micros, Side
from tests.canaries import OTHER_KEY, PRIVATE_KEY, SESSION_KEY
from tests.doors import BEGINNING, VirtualClock

FAY, FRED, SESSION = (address_of(key).lower() for key in (PRIVATE_KEY, OTHER_KEY, SESSION_KEY))
"""Addresses of keys; Fay and Fred trade from theirs, the session key for the deposit wallet."""

PROXY, SAFE, DEPOSIT = ("0x" + digits * 20 for digits in ("aa", "bb", "cc"))
MORNING = BEGINNING - timedelta(hours=6)
SENT_MS = int(BEGINNING.timestamp() * 1_000)

ACCOUNTS: Mapping[str, SigningAccount] = {
    account.wallet: account
    for account in (
        SigningAccount(wallet=FAY, signer=FAY, signature_type=0),
        SigningAccount(wallet=FRED, signer=FRED, signature_type=0),
        SigningAccount(wallet=PROXY, signer=FAY, signature_type=1),
        SigningAccount(wallet=SAFE, signer=FAY, signature_type=2),
        SigningAccount(
            wallet=DEPOSIT,
            signer=SESSION,
            signature_type=3,
            session=True,
            valid_until=BEGINNING + timedelta(days=1),
        ),
    )
}
KEY_OF = {FAY: PRIVATE_KEY, FRED: OTHER_KEY, SESSION: SESSION_KEY}

POLYGON = PUBLISHED[137]
GWEI = 10**9
NEEDED = needed_approvals(POLYGON, amount=10).values()
TERMS = TransactionTerms(
    spenders=frozenset((each.token, each.spender) for each in NEEDED if isinstance(each, MoneyApproval)),
    operators=frozenset((each.ledger, each.operator) for each in NEEDED if isinstance(each, SharesApproval)),
    fee_max_wei=10**16,
)
"""What Polygon's exchanges need, for at most 0.01 POL each."""


def policy(**changes: Any) -> SigningPolicy:
    """Polygon, the three exchanges, at most $100 an order, and the accounts above."""
    usual = SigningPolicy(
        chain_id=137,
        contracts=frozenset(exchange.lower() for _version, exchange in EXCHANGES.values()),
        max_order_micros=100 * ONE,
        accounts=ACCOUNTS,
        transactions=TERMS,
    )
    return dataclasses.replace(usual, **changes)


def changed_account(wallet: str, **changes: Any) -> SigningPolicy:
    """The policy with one account changed."""
    return policy(accounts={**ACCOUNTS, wallet: dataclasses.replace(ACCOUNTS[wallet], **changes)})


def draft(**changes: Any) -> OrderDraft:
    """Fay buys 10 at 0.52."""
    usual = OrderDraft(
        domain=ExchangeDomain.CTF_V2,
        maker=FAY,
        signer=FAY,
        signature_type=0,
        token_id=2**255 + 19,
        side=Side.BUY,
        size_micros=Micros(10 * ONE),
        limit_micros=Micros(520_000),
        tick_micros=Micros(10_000),
        salt=12_345,
        timestamp_ms=SENT_MS,
        key=FAY,
    )
    return dataclasses.replace(usual, **changes)


def plan(**changes: Any) -> OrderPlan:
    """Fay's order, built."""
    return build_plan(draft(**changes))


def plan_of(wallet: str, **changes: Any) -> OrderPlan:
    """An order of one of the accounts, as the engine makes it."""
    account = ACCOUNTS[wallet]
    signer = wallet if account.signature_type == 3 else account.signer
    return plan(maker=wallet, signer=signer, signature_type=account.signature_type, key=account.signer, **changes)


def login(address: str = FAY, **changes: Any) -> Login:
    """A login of this moment."""
    return dataclasses.replace(Login(address=address, timestamp=SENT_MS // 1_000), **changes)


def approval(given: Approval | None = None, **changes: Any) -> Transaction:
    """A transaction that lets the exchange take ten micros of pUSD, or gives another approval."""
    wanted = given or MoneyApproval(token=POLYGON.collateral, spender=POLYGON.exchange_v2, amount=10)
    usual = Transaction(
        chain_id=137,
        nonce=3,
        to=contract_of(wanted),
        calldata=calldata_of(wanted),
        gas=60_000,
        max_fee_per_gas=100 * GWEI,
        max_priority_fee_per_gas=30 * GWEI,
    )
    return with_digest(dataclasses.replace(usual, **changes))


class Ring:
    """`KeyRing` of the keys above, some of which cannot be opened."""

    def __init__(self, broken: frozenset[str] = frozenset()) -> None:
        self.broken = broken

    async def of(self, address: str) -> LocalSigner:
        known = address.lower()
        if known in self.broken or known not in KEY_OF:
            raise SignerRefused(f"The secret PRIVATE_KEY:{address} cannot be opened.")
        return LocalSigner({known: KEY_OF[known]})


class Fixed:
    """`PolicySource` that always answers the same."""

    def __init__(self, now: SigningPolicy) -> None:
        self.now = now

    def expect(self) -> None:
        pass

    async def policy(self) -> SigningPolicy:
        return self.now


def local_signer(
    rules: SigningPolicy | None = None, *, broken: frozenset[str] = frozenset(), clock: Clock | None = None
) -> LocalKeySigner:
    """The real signer with these rules."""
    return LocalKeySigner(Ring(broken), Fixed(rules or policy()), clock or VirtualClock())
