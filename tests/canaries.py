"""Keys and credentials for tests, and the plugin that fails every test during which one of them was printed or logged.

A test that needs a private key, API credentials or a key-encryption key takes them from here. All others that a test's
own process handles are noted while it does, and what it signed with them: signed bytes are bearer instruments. For all
of these is searched what the suite prints: stdout, stderr and logs of each test, what it read back of them, what
commands wrote, pages that Django answered with, what processes said that it started and their log files, and the texts
of failures (there not for what was signed: comparing signatures is what some tests do).
"""

import base64
import hashlib
import re
import subprocess
from collections import deque
from collections.abc import Callable, Generator, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from _pytest.capture import CaptureFixture
from django.core.management.base import OutputWrapper
from django.test import Client

from execution.clob.credentials import ApiCredentials
from execution.signing import _HiddenKey
from execution.vault.envelope import Kek
from ledger.hidden import Hidden


def _bytes(name: str) -> bytes:
    return hashlib.sha256(f"canary {name}".encode()).digest()


PRIVATE_KEY, OTHER_KEY, SESSION_KEY = (_bytes(f"private key {number}") for number in range(3))
API_KEY = "0c0ffee0-5ca1-4b1e-9a11-ca4a41e5b12d"
API_SECRET = base64.urlsafe_b64encode(_bytes("API secret")).decode()
PASSPHRASE = _bytes("passphrase").hex()
KEKS = {version: _bytes(f"kek {version}") for version in ("k1", "k2")}


def kek_text(*versions: str) -> str:
    """SLIPSTREAM_KEK with these versions; the first is the current one."""
    return ",".join(f"{version}:{base64.b64encode(KEKS[version]).decode()}" for version in versions)


def hidden_keks(*versions: str) -> Hidden:
    """The same as the setting holds it."""
    return Hidden(kek_text(*versions))


def _forms(secret: bytes) -> Iterator[str]:
    """How a secret of bytes could be written somewhere."""
    yield secret.hex()
    yield secret.hex().upper()
    yield base64.b64encode(secret).decode().rstrip("=")
    yield base64.urlsafe_b64encode(secret).decode().rstrip("=")
    yield repr(secret)[2:-1]
    yield str(int.from_bytes(secret, "big"))


CANARIES: dict[str, str] = {
    **{
        form: name
        for name, secret in (
            ("a private key", PRIVATE_KEY),
            ("another private key", OTHER_KEY),
            ("a session key", SESSION_KEY),
            ("an API secret", _bytes("API secret")),
            *((f"key-encryption key {version}", kek) for version, kek in KEKS.items()),
        )
        for form in _forms(secret)
    },
    API_KEY: "an API key",
    PASSPHRASE: "a passphrase",
}
"""By each way of writing: whose secret it is."""


def leaks_in(text: str) -> list[str]:
    """The names of the secrets that a text shows."""
    return sorted({name for form, name in CANARIES.items() if form in text})


PUBLIC = frozenset({"11" * 32, "22" * 32, "01" * 32})
"""Keys of the published vectors and of paper: nobody's money."""

LETTERS_MIN = 16
"""A shorter secret is a test's word, such as `pass`."""

WORDS = re.compile(r"[0-9A-Za-z+/_=.-]{16,}")


class Handled:
    """What this process handled lately: secrets with all that may not be read, and what was signed."""

    secrets: deque[str] = deque(maxlen=2_000)
    signed: deque[str] = deque(maxlen=5_000)

    @classmethod
    def note(cls, secret: bytes | str) -> None:
        """A key, or a text such as a passphrase."""
        if isinstance(secret, bytes):
            if secret.hex() not in PUBLIC and len(set(secret)) > 1:
                cls.secrets.extend((secret.hex(), base64.b64encode(secret).decode().rstrip("=")))
        elif len(secret) >= LETTERS_MIN:
            cls.secrets.append(secret)

    @classmethod
    def shown_in(cls, text: str, *, signed: bool) -> set[str]:
        """Which kinds of them a text shows."""
        words = "\n".join(WORDS.findall(text))
        if not words:
            return set()
        found = {"a key or credential that the test handled"} if any(each in words for each in cls.secrets) else set()
        if signed and any(each in words for each in cls.signed):
            found.add("a signature")
        return found


TOLD = pytest.StashKey[bool]()


class Heard:
    """What a test let others read beside its captured output; one for the session."""

    texts: list[str] = []

    @classmethod
    def take(cls) -> str:
        """Everything since the last test, once."""
        found = "\n".join(cls.texts)
        cls.texts.clear()
        return found


def pytest_configure() -> None:
    """Listen where a test's own fixtures and doubles would swallow what is written."""
    write, read, ask = OutputWrapper.write, CaptureFixture.readouterr, Client.request

    def heard_write(self: OutputWrapper, msg: Any = "", *args: Any, **kwargs: Any) -> None:
        Heard.texts.append(str(msg))
        write(self, msg, *args, **kwargs)

    def heard_read(self: "CaptureFixture[str]") -> Any:
        found = read(self)
        Heard.texts += [str(part) for part in found]
        return found

    def heard_ask(self: Client, **request: Any) -> Any:
        response = ask(self, **request)
        if not getattr(response, "streaming", False):
            Heard.texts.append(response.content.decode(errors="replace"))
        return response

    _hear_processes()
    _note_secrets()
    OutputWrapper.write = heard_write  # type: ignore[method-assign]
    CaptureFixture.readouterr = heard_read  # type: ignore[method-assign]
    Client.request = heard_ask  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test of which something read a secret; what is then shown of it shows none."""
    report = yield
    printed = "\n".join((*(text for _title, text in report.sections), Heard.take(), _logs(item, report.when)))
    shown = Handled.shown_in(printed, signed=True) | Handled.shown_in(report.longreprtext, signed=False)
    leaked = leaks_in(printed + report.longreprtext) or sorted(shown)
    if leaked:
        # Each report repeats what was captured before it: told once, and shown never.
        report.sections = []
        if item.stash.get(TOLD, False):
            return report
        item.stash[TOLD] = True
        report.outcome = "failed"
        report.longrepr = f"Printed, logged, shown or raised: {', '.join(leaked)}. The output is left out here."
    return report


def _logs(item: pytest.Item, when: str) -> str:
    """The log files that processes left in the test's folder, once."""
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if when != "teardown" or not isinstance(folder, Path) or not folder.is_dir():
        return ""
    return "\n".join(each.read_text(errors="replace") for each in folder.rglob("*.log") if each.is_file())


def _hear_processes() -> None:
    communicate = subprocess.Popen.communicate

    @wraps(communicate)
    def heard(self: "subprocess.Popen[Any]", *args: Any, **kwargs: Any) -> Any:
        said = communicate(self, *args, **kwargs)
        Heard.texts += [part.decode(errors="replace") if isinstance(part, bytes) else str(part or "") for part in said]
        return said

    subprocess.Popen.communicate = heard  # type: ignore[method-assign]


def _note_secrets() -> None:
    """Look on where keys and credentials come in and signatures come out."""
    sign = _HiddenKey.sign

    @wraps(sign)
    def noted(self: _HiddenKey, digest: bytes) -> bytes:
        signature = sign(self, digest)
        Handled.signed.append(signature[:64].hex())
        return signature

    _HiddenKey.sign = noted  # type: ignore[method-assign]
    _note_made(_HiddenKey, lambda given, _made: Handled.note(given[0]))
    _note_made(Kek, lambda _given, made: Handled.note(made.key))
    _note_made(ApiCredentials, lambda _given, made: (Handled.note(made.secret), Handled.note(made.passphrase)))


def _note_made(kind: Any, note: Callable[[Any, Any], object]) -> None:
    make = kind.__init__

    @wraps(make)
    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        note(args, self)

    kind.__init__ = made
