"""The rows of sealed secrets: put in, opened, and re-wrapped. Plain functions of the ORM, for a thread of its own.

What is opened goes to its caller and nowhere else; no error repeats a byte of it.
"""

from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import Count
from django.db.models.functions import Now
from django.views.decorators.debug import sensitive_variables

from execution.models import Secret
from execution.vault.envelope import Envelope, Kek, SealBroken, Wrapped, open_seal, seal, unwrap, wrap
from execution.vault.keks import KekError, KekProvider
from ledger.audit import AuditNote
from ledger.clock import Entropy
from ledger.operations import write_audit

PLAIN_BYTES_MAX = 2_048
TRIED_MAX = 20
"""Secrets of a key's version that are tried at a start."""

PRIVATE_KEY, API_CREDENTIALS = "PRIVATE_KEY", "API_CREDENTIALS"


class VaultError(Exception):
    """A secret cannot be stored or opened; the message is a sentence for people, without a byte of the secret."""


class SecretMissing(VaultError):
    """There is no secret of this name."""


def secret_name(purpose: str, address: str) -> str:
    """The name under which a secret of an address is kept."""
    return f"{purpose}:{address.lower()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrapped:
    """What re-wrapping one secret did: nothing when it was under the current key, or somebody else was faster."""

    name: str
    before: str
    after: str

    @property
    def changed(self) -> bool:
        """Whether it is under another key now."""
        return self.before != self.after


class Vault:
    """Secrets by name. `put` and `rewrap` are one transaction each; all methods may run on any thread."""

    def __init__(self, keks: KekProvider, entropy: Entropy) -> None:
        self.keks, self._entropy = keks, entropy

    def __repr__(self) -> str:
        return f"<Vault of {type(self.keks).__name__}>"

    @sensitive_variables()
    def put(self, name: str, plain: bytes) -> None:
        """Seal a secret under this name, in place of what it held. Raises VaultError."""
        if not 0 < len(plain) <= PLAIN_BYTES_MAX:
            raise VaultError(f"The secret {name} must have 1 to {PLAIN_BYTES_MAX} bytes.")
        try:
            kek = self.keks.current()
        except KekError as error:
            raise VaultError(f"The secret {name} cannot be sealed. {error}") from None
        with transaction.atomic():
            before = Secret.objects.select_for_update().filter(name=name).values_list("version", flat=True).first()
            version = (before or 0) + 1
            columns = _columns(seal(plain, kek, name=name, version=version, entropy=self._entropy))
            if before is not None:
                Secret.objects.filter(name=name).update(version=version, changed_at=Now(), **columns)
                return
            try:
                with transaction.atomic():
                    Secret.objects.create(name=name, version=version, **columns)
            except IntegrityError:
                raise VaultError(f"The secret {name} was stored by somebody else at the same moment.") from None

    @sensitive_variables()
    def open(self, name: str) -> bytes:
        """The secret of this name. Raises SecretMissing, or VaultError when its key or its seal is not right."""
        row = Secret.objects.filter(name=name).first()
        if row is None:
            raise SecretMissing(f"There is no secret {name}.")
        try:
            kek = self.keks.get(row.kek_version)
            return open_seal(_envelope(row), kek, name=row.name, version=row.version)
        except KekError as error:
            raise VaultError(f"The secret {name} cannot be opened. {error}") from None
        except SealBroken:
            raise VaultError(
                f"The secret {name} cannot be opened: its row was changed, or key {row.kek_version} is another one."
            ) from None

    def names(self, prefix: str) -> list[str]:
        """The names that begin so, in order."""
        return list(Secret.objects.filter(name__startswith=prefix).order_by("name").values_list("name", flat=True))

    def versions(self, prefix: str = "") -> dict[str, int]:
        """How many of the secrets whose name begins so each key version wraps."""
        rows = Secret.objects.filter(name__startswith=prefix).values("kek_version").annotate(secrets=Count("pk"))
        return dict(rows.order_by("kek_version").values_list("kek_version", "secrets"))

    def lost_versions(self, prefix: str = "") -> dict[str, str]:
        """Versions that these secrets need and that are not to be had, or are other keys, each with its sentence."""
        lost: dict[str, str] = {}
        for version in self.versions(prefix):
            try:
                kek = self.keks.get(version)
            except KekError as error:
                lost[version] = str(error)
                continue
            # One row that was changed is the trouble of its account; when none opens, the key is another one.
            rows = Secret.objects.filter(name__startswith=prefix, kek_version=version).order_by("pk")[:TRIED_MAX]
            if not any(_unwraps(row, kek) for row in rows):
                lost[version] = "The key that is set under this version is another one."
        return lost

    def behind(self) -> list[str]:
        """The names of the secrets that are not under the current key, oldest first. Raises VaultError."""
        current = self._current_version()
        return list(Secret.objects.exclude(kek_version=current).order_by("pk").values_list("name", flat=True))

    @sensitive_variables()
    def rewrap(self, name: str, *, actor: str) -> Rewrapped:
        """Wrap a secret's data key under the current key, with its audit entry. Raises VaultError.

        The secret itself stays sealed as it was, and is opened once to prove that nothing was lost.
        """
        with transaction.atomic():
            row = Secret.objects.select_for_update().filter(name=name).first()
            if row is None:
                raise SecretMissing(f"There is no secret {name}.")
            before = row.kek_version
            try:
                kek = self.keks.current()
                if before == kek.version:
                    return Rewrapped(name=name, before=before, after=before)
                self.open(name)
                data_key = unwrap(_envelope(row).wrapped, self.keks.get(before), name=name, version=row.version)
                wrapped = wrap(data_key, kek, name=name, version=row.version, entropy=self._entropy)
            except (KekError, SealBroken) as error:
                raise VaultError(f"The secret {name} cannot be re-wrapped. {error}") from None
            Secret.objects.filter(pk=row.pk).update(
                wrap_nonce=wrapped.nonce, wrapped_key=wrapped.key, kek_version=kek.version, changed_at=Now()
            )
            write_audit([_note(name, before, kek.version, actor=actor)])
        return Rewrapped(name=name, before=before, after=kek.version)

    def _current_version(self) -> str:
        try:
            return self.keks.current().version
        except KekError as error:
            raise VaultError(str(error)) from None


def _envelope(row: Secret) -> Envelope:
    wrapped = Wrapped(kek_version=row.kek_version, nonce=bytes(row.wrap_nonce), key=bytes(row.wrapped_key))
    return Envelope(nonce=bytes(row.nonce), sealed=bytes(row.sealed), wrapped=wrapped)


def _unwraps(row: Secret, kek: Kek) -> bool:
    try:
        return bool(unwrap(_envelope(row).wrapped, kek, name=row.name, version=row.version))
    except SealBroken:
        return False


def _columns(envelope: Envelope) -> dict[str, bytes | str]:
    return {
        "nonce": envelope.nonce,
        "sealed": envelope.sealed,
        "wrap_nonce": envelope.wrapped.nonce,
        "wrapped_key": envelope.wrapped.key,
        "kek_version": envelope.wrapped.kek_version,
    }


def _note(name: str, before: str, after: str, *, actor: str) -> AuditNote:
    return AuditNote(
        actor=actor,
        action="key re-wrapped",
        subject="secret",
        subject_id=name,
        label=name,
        before={"kek_version": before},
        after={"kek_version": after},
    )
