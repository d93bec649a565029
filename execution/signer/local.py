"""The signer in this process: asks its policy, then signs with the key the ring gives it."""

from collections import defaultdict, deque
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from execution.eip1559 import Transaction
from execution.orders import OrderError, OrderPlan
from execution.ports import Login, SignerRefused
from execution.signer.keys import KeyRing
from execution.signer.policy import SigningPolicy
from execution.signing import LocalSigner, sign_login, sign_order, sign_transaction
from ledger.clock import Clock

Refusal = Callable[[SigningPolicy, datetime], str | None]
"""Why a policy refuses at a moment, as a sentence; None when it does not."""

A_MOMENT_MS = 5.0
"""A key that is open is there at once; whoever waited longer for one asks the policy again."""

DAY_MS = 86_400_000

TRANSACTIONS_MAX = 24
"""Of one wallet in a day: an account needs seven once. Each has a bounded fee, and so has then what a hijacked engine
can burn of the owner's POL."""


class PolicySource(Protocol):
    """Gives the policy that holds now."""

    async def policy(self) -> SigningPolicy:
        """Raises SignerRefused when it cannot be known."""
        ...

    def expect(self) -> None:
        """Orders are being prepared: somebody will ask in a moment."""
        ...


class LocalKeySigner:
    """`ports.Signer` with keys in this process. One account's trouble is that account's: others go on."""

    def __init__(self, keys: KeyRing, policy: PolicySource, clock: Clock) -> None:
        self._keys, self._policy, self._clock = keys, policy, clock
        self._transactions_ms: defaultdict[str, deque[float]] = defaultdict(deque)

    def expect(self) -> None:
        """Orders are being prepared: look at the accounts meanwhile."""
        self._policy.expect()

    async def sign_order(self, plan: OrderPlan, *, key: str) -> bytes:
        """The signature to send, wrapped as the account needs. Raises SignerRefused with a sentence."""
        signer, policy = await self._allowed(key, lambda policy, now: policy.order_refusal(plan, key, now=now))
        session = policy.accounts[plan.maker.lower()].session
        return sign_order(signer, plan, wallet=key, session=session)

    async def sign_login(self, login: Login, *, key: str) -> bytes:
        """The 65-byte signature of a login. Raises SignerRefused with a sentence."""
        signer, policy = await self._allowed(key, lambda policy, now: policy.login_refusal(login, key, now=now))
        try:
            return sign_login(signer, login, chain_id=policy.chain_id)
        except (OrderError, OverflowError) as error:
            raise SignerRefused("The login cannot be hashed.") from error

    async def sign_transaction(self, transaction: Transaction, *, key: str) -> bytes:
        """The 65-byte signature of a transaction. Raises SignerRefused with a sentence."""
        signer, _policy = await self._allowed(key, lambda policy, _now: policy.transaction_refusal(transaction, key))
        self._count_transaction(key.lower())
        return sign_transaction(signer, transaction, wallet=key)

    def _count_transaction(self, wallet: str) -> None:
        signed_ms, now_ms = self._transactions_ms[wallet], self._clock.monotonic_ms()
        while signed_ms and now_ms - signed_ms[0] >= DAY_MS:
            signed_ms.popleft()
        if len(signed_ms) >= TRANSACTIONS_MAX:
            raise SignerRefused(f"{TRANSACTIONS_MAX} transactions of {wallet} were signed within a day; no more are.")
        signed_ms.append(now_ms)

    async def _allowed(self, key: str, refusal: Refusal) -> tuple[LocalSigner, SigningPolicy]:
        """The key, and the policy that allows its use now; nothing is awaited between this answer and the signing."""
        policy, asked_ms = await self._ask(refusal), self._clock.monotonic_ms()
        signer = await self._keys.of(key)
        if self._clock.monotonic_ms() - asked_ms > A_MOMENT_MS:
            # The key was opened first: what was stopped, revoked or ended meanwhile is not signed for.
            policy = await self._ask(refusal)
        return signer, policy

    async def _ask(self, refusal: Refusal) -> SigningPolicy:
        policy = await self._policy.policy()
        why = refusal(policy, self._clock.now())
        if why is not None:
            raise SignerRefused(why)
        return policy
