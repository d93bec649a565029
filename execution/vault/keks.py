"""Where key-encryption keys come from: the environment or a key file. Nothing here makes one unless it is asked to."""

import base64
import binascii
import fcntl
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from execution.vault.envelope import KEY_BYTES, Kek
from ledger.clock import Entropy
from ledger.hidden import Hidden

VERSION = re.compile(r"[A-Za-z0-9._-]{1,40}")
FILE_BYTES_MAX = 65_536
PRIVATE = 0o600

HOW_TO_GET_ONE = "Name the key file with SLIPSTREAM_KEK_PATH, or set SLIPSTREAM_KEK."


class KekError(Exception):
    """A key-encryption key is missing or cannot be used; the message is a sentence for people, without the key."""


class KekProvider(Protocol):
    """Gives key-encryption keys; a key management service can stand behind it."""

    def current(self) -> Kek:
        """The key that new seals are made with. Raises KekError."""
        ...

    def get(self, version: str) -> Kek:
        """The key of a version. Raises KekError."""
        ...


class TextKeks:
    """`version:base64` with commas or line breaks between them; the first is the current one."""

    def __init__(self, text: Hidden, *, where: str = "SLIPSTREAM_KEK") -> None:
        """Raises KekError with a sentence that names `where`."""
        self._keks, self._where = _parsed(text.reveal(), where=where), where

    def current(self) -> Kek:
        """The first one."""
        return next(iter(self._keks.values()))

    def get(self, version: str) -> Kek:
        """Raises KekError for a version that is not there."""
        found = self._keks.get(version)
        if found is None:
            raise KekError(f"{self._where} holds no key of version {version}; it has {', '.join(self._keks)}.")
        return found


class FileKeks:
    """A key file that nobody but its owner may read; read at each call, so that a new version needs no restart."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def current(self) -> Kek:
        """The key of the file's first line. Raises KekError."""
        return self._read().current()

    def get(self, version: str) -> Kek:
        """The key of a version. Raises KekError."""
        return self._read().get(version)

    def make(self, entropy: Entropy) -> str:
        """Make the file with one new key; its version. Raises KekError when there is one already."""
        kek = _new_kek(1, entropy)
        try:
            self._write(self._path, _line(kek))
        except FileExistsError:
            raise KekError(f"There is a key file already at {self._path}; it is left as it is.") from None
        except OSError as error:
            raise KekError(f"The key file {self._path} cannot be made: {error.strerror}.") from None
        return kek.version

    def add(self, entropy: Entropy, *, taken: Iterable[str] = ()) -> str:
        """Put a new key before the others, which stay readable; its version, none of `taken`. Raises KekError."""
        # A link stays one: what it names is replaced, beside itself.
        path = self._path.resolve()
        try:
            with _alone_in(path.parent):
                return self._add(path, entropy, taken=taken)
        except OSError as error:
            raise KekError(f"The key file {self._path} cannot be written: {error.strerror}.") from None

    def _add(self, path: Path, entropy: Entropy, *, taken: Iterable[str]) -> str:
        self._read()
        old = path.read_bytes()
        known = [entry.strip() for entry in re.split(rb"[,\n]", old)] + [f"{version}:".encode() for version in taken]
        numbers = [int(found[1]) for entry in known if (found := re.match(rb"k([0-9]{1,9}):", entry))]
        kek = _new_kek(max(numbers, default=0) + 1, entropy)
        beside = path.with_name(f"{path.name}.new")
        beside.unlink(missing_ok=True)
        self._write(beside, _line(kek) + old, like=path.stat())
        # A rename is whole or not at all: no power cut loses the keys that open what is stored.
        beside.replace(path)
        _flush_folder(path.parent)
        return kek.version

    def _read(self) -> TextKeks:
        try:
            # Not waiting: a pipe in its place would hold the boot up for ever.
            with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise KekError(f"The key file {self._path} is no plain file.")
                if stat.S_IMODE(found.st_mode) & 0o077:
                    raise KekError(f"The key file {self._path} can be read by others: `chmod 600` it.")
                if found.st_size > FILE_BYTES_MAX:
                    raise KekError(f"The key file {self._path} has more than {FILE_BYTES_MAX} bytes.")
                text = file.read(FILE_BYTES_MAX).decode("utf-8", errors="replace")
        except FileNotFoundError:
            raise KekError(
                f"There is no key file at {self._path}. `manage.py rotatekeys --init` makes one where nothing is "
                "sealed yet; otherwise bring it back."
            ) from None
        except OSError as error:
            raise KekError(f"The key file {self._path} cannot be read: {error.strerror}.") from None
        return TextKeks(Hidden(text), where=f"The key file {self._path}")

    def _write(self, path: Path, text: bytes, *, like: os.stat_result | None = None) -> None:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(opened, "wb") as file:
            if like is not None and like.st_uid != os.geteuid():
                # Added by root, the file is still its service's: nobody else could open anything.
                os.fchown(file.fileno(), like.st_uid, like.st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


class NoKeks:
    """No key is configured: everything is refused."""

    def current(self) -> Kek:
        """Raises KekError."""
        raise KekError(f"No key-encryption key is set: nothing can be sealed. {HOW_TO_GET_ONE}")

    def get(self, version: str) -> Kek:
        """Raises KekError."""
        raise KekError(f"No key-encryption key is set: version {version} is missing. {HOW_TO_GET_ONE}")


def kek_provider(text: Hidden, path: str) -> KekProvider:
    """The provider that the settings choose. Raises KekError when both are set, or a key cannot be read."""
    if text and path:
        raise KekError("SLIPSTREAM_KEK and SLIPSTREAM_KEK_PATH are both set; which one holds would be a guess.")
    if text:
        return TextKeks(text)
    return FileKeks(Path(path)) if path else NoKeks()


def _parsed(text: str, *, where: str) -> Mapping[str, Kek]:
    found: dict[str, Kek] = {}
    for entry in re.split(r"[,\n]", text):
        if not entry.strip() or entry.lstrip().startswith("#"):
            continue
        version, _, encoded = entry.strip().partition(":")
        if not encoded or not VERSION.fullmatch(version):
            # Of the text nothing is repeated: a key without its version would be shown.
            raise KekError(f"{where} must hold VERSION:BASE64 entries, such as k1:… with 32 bytes in base64.")
        if version in found:
            raise KekError(f"{where} names version {version} twice.")
        found[version] = Kek(version=version, key=_decoded(encoded, version=version, where=where))
    if not found:
        raise KekError(f"{where} holds no key.")
    return found


def _decoded(encoded: str, *, version: str, where: str) -> bytes:
    try:
        key = base64.b64decode(encoded.strip().encode(), validate=True)
    except (binascii.Error, ValueError):
        raise KekError(f"{where}: the key of version {version} is no base64.") from None
    if len(key) != KEY_BYTES or len(set(key)) == 1:
        raise KekError(f"{where}: the key of version {version} must be {KEY_BYTES} random bytes.")
    return key


def _new_kek(number: int, entropy: Entropy) -> Kek:
    return Kek(version=f"k{number}", key=entropy.draw(KEY_BYTES))


def _line(kek: Kek) -> bytes:
    return f"{kek.version}:{base64.b64encode(kek.key).decode()}\n".encode()


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One process at a time: of two that add a key at once, the second must not write over the first one's.

    What was wrapped under a key that is then lost is lost. Raises OSError.
    """
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _flush_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
