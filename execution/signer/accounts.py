"""The policy as the accounts' rows have it, read again when it is a second old."""

from collections.abc import Mapping
from dataclasses import replace

from django.db import Error as DatabaseTrouble

from execution.models import TradingAccount
from execution.ports import SignerRefused
from execution.signer.policy import SigningAccount, SigningPolicy
from ledger.clock import Clock
from ledger.db import Database
from ledger.shared_run import SharedRun

FRESH_MS = 1_000
"""What was stopped or revoked is signed for no longer than this."""


class AccountPolicies:
    """`PolicySource` over the rows of TradingAccount; one reading at a time, however many ask."""

    def __init__(self, database: Database, clock: Clock, *, terms: SigningPolicy) -> None:
        """`terms`: the policy without its accounts."""
        self._database, self._clock, self._policy = database, clock, terms
        self._read_ms: float | None = None
        self._reading = SharedRun(self._read, name="signer-accounts")

    async def policy(self) -> SigningPolicy:
        """Raises SignerRefused when the accounts cannot be read: what is not known is not signed."""
        if not self._is_fresh():
            await self._reading.join()
        return self._policy

    def expect(self) -> None:
        """Read ahead: orders are being prepared."""
        if not self._is_fresh():
            self._reading.begin()

    def _is_fresh(self) -> bool:
        return self._read_ms is not None and self._clock.monotonic_ms() - self._read_ms < FRESH_MS

    async def _read(self) -> None:
        began_ms = self._clock.monotonic_ms()
        try:
            accounts = await self._database.run(read_accounts)
        except DatabaseTrouble:
            raise SignerRefused("The accounts cannot be read: the database does not answer.") from None
        self._policy, self._read_ms = replace(self._policy, accounts=accounts), began_ms


def read_accounts() -> Mapping[str, SigningAccount]:
    """Every account by its follower's wallet. One query."""
    rows = TradingAccount.objects.values_list(
        "follower__wallet", "signer", "signature_type", "kind", "state", "session_valid_until"
    )
    return {
        wallet.lower(): SigningAccount(
            wallet=wallet.lower(),
            signer=signer.lower(),
            signature_type=signature_type,
            session=kind == TradingAccount.Kind.SESSION,
            active=state == TradingAccount.State.ACTIVE,
            valid_until=valid_until,
        )
        for wallet, signer, signature_type, kind, state, valid_until in rows
    }
