"""Whose wallet is whose, and which session keys may trade for it until when. What the chain would know."""

from collections.abc import Iterator
from dataclasses import dataclass, field

OWNED_TYPES = (1, 2, 3)
DEPOSIT = 3
"""The signature type of a deposit wallet, the only one that has session keys."""


@dataclass(slots=True)
class Wallet:
    """A proxy (1), Safe (2) or deposit wallet (3) and its owner; sessions by address with their last second."""

    address: str
    owner: str
    signature_type: int
    sessions: dict[str, int] = field(default_factory=dict)


class Wallets:
    """The registry. Addresses are taken in any letter case and kept in lower case."""

    def __init__(self) -> None:
        self._wallets: dict[str, Wallet] = {}
        self.fenced: set[str] = set()
        """Session keys that were revoked: the venue knows them no more."""

    def register(self, wallet: str, owner: str, *, signature_type: int) -> Wallet:
        """Make a wallet known. Raises ValueError for a type that has no wallet of its own."""
        if signature_type not in OWNED_TYPES:
            raise ValueError("only types 1, 2 and 3 have a wallet beside their key")
        made = Wallet(wallet.lower(), owner.lower(), signature_type)
        self._wallets[made.address] = made
        return made

    def authorize(self, wallet: str, session: str, *, valid_until_s: int) -> None:
        """Let a session key trade for a deposit wallet up to and with that second. Raises ValueError for others."""
        found = self._wallets.get(wallet.lower())
        if found is None or found.signature_type != DEPOSIT:
            raise ValueError("only a registered deposit wallet has session keys")
        found.sessions[session.lower()] = valid_until_s
        self.fenced.discard(session.lower())

    def revoke(self, wallet: str, session: str) -> None:
        """Forget a session key at once. Raises ValueError where there is none."""
        found = self._wallets.get(wallet.lower())
        if found is None or found.sessions.pop(session.lower(), None) is None:
            raise ValueError("the wallet has no such session key")
        self.fenced.add(session.lower())

    def wallet(self, address: str) -> Wallet | None:
        """A registered wallet."""
        return self._wallets.get(address)

    def may_trade(self, wallet: Wallet, session: str, now_s: int) -> bool:
        """Whether a session key is valid at that second."""
        return wallet.sessions.get(session, -1) >= now_s

    def of_key(self, address: str, signature_type: int) -> str | None:
        """The wallet that a key trades for under a signature type: as its owner, or as a session of it."""
        if signature_type == 0:
            return address
        return next((each.address for each in self._of(address) if each.signature_type == signature_type), None)

    def with_session(self, address: str) -> Wallet | None:
        """The deposit wallet whose session this is."""
        return next((each for each in self._wallets.values() if address in each.sessions), None)

    def owned_by(self, address: str) -> Wallet | None:
        """The deposit wallet whose owner this is."""
        found = (each for each in self._wallets.values() if each.signature_type == DEPOSIT)
        return next((each for each in found if each.owner == address), None)

    def _of(self, address: str) -> Iterator[Wallet]:
        return (each for each in self._wallets.values() if address == each.owner or address in each.sessions)
