"""Where a signer's keys come from: the vault, or the one key of a single trader. Never given away: they only sign."""

from typing import Protocol

from django.db import Error as DatabaseTrouble

from execution.ports import SignerRefused
from execution.signing import LocalSigner, address_of, private_key_from
from execution.vault.vault import PRIVATE_KEY, Vault, VaultError, secret_name
from ledger.clock import Clock
from ledger.db import Database
from ledger.hidden import Hidden

REFUSED_MS = 1_000
"""A key that cannot be opened is not tried again sooner: its account's orders must not read the vault each."""


class KeyRing(Protocol):
    """Finds the signing keys of addresses."""

    async def of(self, address: str) -> LocalSigner:
        """Signs for this address alone. Raises SignerRefused."""
        ...


class VaultKeys:
    """Opens each key when it is first asked for and keeps it in memory, hidden; a failure is that address's alone."""

    def __init__(self, vault: Vault, database: Database, clock: Clock) -> None:
        self._vault, self._database, self._clock = vault, database, clock
        self._open: dict[str, LocalSigner] = {}
        self._refused: dict[str, tuple[float, str]] = {}

    async def of(self, address: str) -> LocalSigner:
        """Raises SignerRefused, with a sentence, when the key is missing, cannot be opened or is another's."""
        address = address.lower()
        found = self._open.get(address)
        if found is not None:
            return found
        at_ms, why = self._refused.get(address, (0.0, ""))
        if why and self._clock.monotonic_ms() - at_ms < REFUSED_MS:
            raise SignerRefused(why)
        try:
            secret = await self._database.run(self._vault.open, secret_name(PRIVATE_KEY, address))
            signer = _signer_for(address, secret)
        except DatabaseTrouble:
            # Of a fault that is over in a moment nothing is remembered.
            raise SignerRefused(f"The key of {address} cannot be read: the database does not answer.") from None
        except (VaultError, SignerRefused) as error:
            self._refused[address] = (self._clock.monotonic_ms(), str(error))
            raise SignerRefused(str(error)) from None
        self._refused.pop(address, None)
        self._open[address] = signer
        return signer

    def __repr__(self) -> str:
        return f"<VaultKeys, {len(self._open)} open>"


class SingleKey:
    """The key of TRADING_PRIVATE_KEY for its own address; every other address is looked for behind it."""

    def __init__(self, text: Hidden, behind: KeyRing) -> None:
        """Raises SignerRefused, without showing it, for what is no key."""
        secret = private_key_from(text.reveal())
        self.address = address_of(secret).lower()
        self._signer, self._behind = LocalSigner({self.address: secret}), behind

    async def of(self, address: str) -> LocalSigner:
        """Raises SignerRefused."""
        return self._signer if address.lower() == self.address else await self._behind.of(address)

    def __repr__(self) -> str:
        return f"<SingleKey of {self.address}>"


def _signer_for(address: str, secret: bytes) -> LocalSigner:
    if address_of(secret).lower() != address:
        raise SignerRefused(f"The key that is kept for {address} belongs to another address.")
    return LocalSigner({address: secret})
