"""The accounts' access to the venue's interfaces: opened from the vault once, got from the venue where there is none.

Credentials live in this process's memory and, sealed, in the vault; they are in no log, no error and no `repr`.
"""

import asyncio
import json
from dataclasses import dataclass

import structlog

from copytrading.operations.account_states import AccountRow
from execution.clob.client import ClobClient
from execution.clob.credentials import Access, ApiCredentials, CredentialsError, read_credentials
from execution.clob.login import obtain_credentials
from execution.ports import Signer
from execution.vault.vault import API_CREDENTIALS, SecretMissing, Vault, VaultError, secret_name
from ledger.db import Database

log = structlog.get_logger(__name__)


class CredentialsLost(Exception):
    """What is sealed for this account cannot be opened or read: the account is stopped, alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookDoors:
    """Where credentials come from: the vault, and with the key's signature the venue."""

    database: Database
    vault: Vault
    client: ClobClient
    signer: Signer


class AccountBook:
    """`CredentialBook`: answers from memory; `open` and `renew` fill it, one request at a time for each account."""

    def __init__(self, doors: BookDoors) -> None:
        self._doors = doors
        self._known: dict[int, Access] = {}
        self._busy: dict[int, asyncio.Lock] = {}

    async def of(self, follower_id: int) -> Access | None:
        """A follower's access, None while it has none."""
        return self._known.get(follower_id)

    @property
    def known(self) -> frozenset[int]:
        """Followers whose access is in memory."""
        return frozenset(self._known)

    def fits(self, account: AccountRow) -> bool:
        """Whether the access in memory is what the account's row says now: its key may have been changed."""
        known = self._known.get(account.follower_id)
        if known is None:
            return False
        mine = (known.signer, known.wallet, known.signature_type, known.tier)
        return mine == (account.signer, account.wallet, account.signature_type, account.tier)

    def forget(self, follower_id: int) -> None:
        """Drop an account's access: it was stopped."""
        self._known.pop(follower_id, None)

    async def open(self, account: AccountRow, *, sealed_only: bool = False) -> Access | None:
        """The account's access: from memory, the vault, or the venue, which makes it or finds what it made before.

        None only with `sealed_only`, which never asks the venue. Raises CredentialsLost, SignerRefused, HostDown and
        HostRefused.
        """
        async with self._lock(account.follower_id):
            known = self._known.get(account.follower_id)
            if known is not None and known.signer == account.signer:
                # The rest of the row may have changed since.
                return self._keep(account, known.credentials)
            credentials = await self._sealed(account)
            if credentials is None and not sealed_only:
                credentials = await self._login(account)
            return None if credentials is None else self._keep(account, credentials)

    async def renew(self, account: AccountRow) -> Access:
        """Ask the venue again for credentials, because it refused those known. Raises as `open` does."""
        async with self._lock(account.follower_id):
            self._known.pop(account.follower_id, None)
            return self._keep(account, await self._login(account))

    def _lock(self, follower_id: int) -> asyncio.Lock:
        return self._busy.setdefault(follower_id, asyncio.Lock())

    def _keep(self, account: AccountRow, credentials: ApiCredentials) -> Access:
        access = Access(
            credentials=credentials,
            wallet=account.wallet,
            signer=account.signer,
            signature_type=account.signature_type,
            tier=account.tier,
        )
        self._known[account.follower_id] = access
        return access

    async def _sealed(self, account: AccountRow) -> ApiCredentials | None:
        name = secret_name(API_CREDENTIALS, account.signer)
        try:
            plain = await self._doors.database.run(self._doors.vault.open, name)
            return read_credentials(json.loads(plain), address=account.signer)
        except SecretMissing:
            return None
        except VaultError as error:
            raise CredentialsLost(str(error)) from None
        except (CredentialsError, ValueError):
            # Nothing of it is repeated: the library's text would quote the secret.
            raise CredentialsLost(f"The secret {name} holds no API credentials.") from None

    async def _login(self, account: AccountRow) -> ApiCredentials:
        doors = self._doors
        found = await obtain_credentials(doors.client, doors.signer, address=account.signer)
        try:
            await doors.database.run(doors.vault.put, secret_name(API_CREDENTIALS, account.signer), _plain(found))
        except VaultError as error:
            # They can be had again, so trading goes on; a restart only asks the venue once more.
            log.warning("API credentials could not be sealed.", action="credentials", why=str(error))
        return found


def _plain(found: ApiCredentials) -> bytes:
    told = {"apiKey": found.api_key, "secret": found.secret, "passphrase": found.passphrase}
    return json.dumps(told, separators=(",", ":")).encode()
