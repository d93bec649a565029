"""Keys and credentials for tests, and the plugin that fails every test during which one of them was printed or logged.

A test that needs a private key, API credentials or a key-encryption key takes them from here, so that what the suite
prints can be searched for them: stdout, stderr and logs of each test, what it read back of them, what commands wrote,
pages that Django answered with, and the texts of failures.
"""

import base64
import hashlib
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from _pytest.capture import CaptureFixture
from django.core.management.base import OutputWrapper
from django.test import Client

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

    OutputWrapper.write = heard_write  # type: ignore[method-assign]
    CaptureFixture.readouterr = heard_read  # type: ignore[method-assign]
    Client.request = heard_ask  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test of which something read a secret; what is then shown of it shows none."""
    report = yield
    sections = "\n".join(text for _title, text in report.sections)
    leaked = leaks_in("\n".join((sections, report.longreprtext, Heard.take())))
    if leaked:
        # Each report repeats what was captured before it: told once, and shown never.
        report.sections = []
        if item.stash.get(TOLD, False):
            return report
        item.stash[TOLD] = True
        report.outcome = "failed"
        report.longrepr = f"Printed, logged, shown or raised: {', '.join(leaked)}. The output is left out here."
    return report
