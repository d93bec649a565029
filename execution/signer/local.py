"""The signer in this process: asks its policy, then signs with the key the ring gives it."""

from typing import Protocol

from execution.orders import OrderError, OrderPlan
from execution.ports import Login, SignerRefused
from execution.signer.keys import KeyRing
from execution.signer.policy import SigningPolicy
from execution.signing import sign_login, sign_order
from ledger.clock import Clock


class PolicySource(Protocol):
    """Gives the policy that holds now."""

    async def policy(self) -> SigningPolicy:
        """Raises SignerRefused when it cannot be known."""
        ...


class LocalKeySigner:
    """`ports.Signer` with keys in this process. One account's trouble is that account's: others go on."""

    def __init__(self, keys: KeyRing, policy: PolicySource, clock: Clock) -> None:
        self._keys, self._policy, self._clock = keys, policy, clock

    async def sign_order(self, plan: OrderPlan, *, key: str) -> bytes:
        """The signature to send, wrapped as the account needs. Raises SignerRefused with a sentence."""
        policy = await self._policy.policy()
        why = policy.order_refusal(plan, key, now=self._clock.now())
        if why is not None:
            raise SignerRefused(why)
        signer = await self._keys.of(key)
        session = policy.accounts[plan.maker.lower()].session
        return sign_order(signer, plan, wallet=key, session=session)

    async def sign_login(self, login: Login, *, key: str) -> bytes:
        """The 65-byte signature of a login. Raises SignerRefused with a sentence."""
        policy = await self._policy.policy()
        why = policy.login_refusal(login, key, now=self._clock.now())
        if why is not None:
            raise SignerRefused(why)
        signer = await self._keys.of(key)
        try:
            return sign_login(signer, login, chain_id=policy.chain_id)
        except (OrderError, OverflowError) as error:
            raise SignerRefused("The login cannot be hashed.") from error
