"""What `manage.py check` says about keys and sealed secrets. Keys are never made here: a new one opens nothing."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004  (Django's name)
from django.db import DatabaseError, connection

from execution.ports import SignerRefused
from execution.signing import private_key_from
from execution.vault.keks import HOW_TO_GET_ONE, KekError, KekProvider, NoKeks, kek_provider
from execution.vault.vault import API_CREDENTIALS, Vault
from ledger.system import SystemEntropy

BRING_BACK = "Bring the key back from where it is kept; `manage.py rotatekeys` moves secrets to another one in time."


def check_keys(**_apps: Any) -> list[CheckMessage]:
    """The key-encryption keys and the single trader's key, as far as they are set; real money needs the first."""
    found: list[CheckMessage] = []
    try:
        keks = kek_provider(settings.SLIPSTREAM_KEK, settings.SLIPSTREAM_KEK_PATH)
        if settings.ENABLE_REAL_TRADING:
            keks.current()
    except KekError as error:
        hint = "Real money needs one: API credentials are stored sealed."
        found.append(Error(str(error), hint=hint, id="slipstream.E040"))
    if settings.TRADING_PRIVATE_KEY:
        try:
            private_key_from(settings.TRADING_PRIVATE_KEY.reveal())
        except SignerRefused as refused:
            hint = "Write 0x and 64 hexadecimal digits, best in a file that TRADING_PRIVATE_KEY_FILE names."
            found.append(Error(f"TRADING_PRIVATE_KEY: {refused}", hint=hint, id="slipstream.E041"))
    return found


def check_key_files(**_apps: Any) -> list[CheckMessage]:
    """The files that NAME_FILE names: container platforms show secrets to everybody inside, so this only warns."""
    open_to_all = [name for name, path in settings.SECRET_FILES.items() if _all_can_read(Path(path))]
    hint = "`chmod o= FILE`; for a secret of a container platform give it a mode such as 0400."
    found: list[CheckMessage] = [
        Warning(f"Every user of this machine can read the file of {name}_FILE.", hint=hint, id="slipstream.W043")
        for name in open_to_all
    ]
    return found + [
        Warning(f"{name} and {name}_FILE are both set; the file holds.", hint=f"Unset {name}.", id="slipstream.W044")
        for name in settings.SECRETS_TWICE
    ]


def _all_can_read(path: Path) -> bool:
    try:
        return bool(stat.S_IMODE(path.stat().st_mode) & stat.S_IROTH)
    except OSError:
        return False  # It was read when the settings were; since then it has gone.


def check_sealed(**_apps: Any) -> list[CheckMessage]:
    """That the keys of all stored secrets are there; a database that does not answer is somebody else's trouble."""
    try:
        keks: KekProvider = kek_provider(settings.SLIPSTREAM_KEK, settings.SLIPSTREAM_KEK_PATH)
    except KekError:
        keks = NoKeks()  # Why is said above.
    return list(_lost(Vault(keks, SystemEntropy())))


def _lost(vault: Vault) -> Iterator[CheckMessage]:
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite" and not Path(str(name)).is_file():
        return  # Asking would make the file.
    try:
        # Beside a signer process the private keys' wrapping keys may be kept from this one.
        lost = vault.lost_versions(API_CREDENTIALS if settings.SIGNER_SOCKET else "")
    except DatabaseError:
        return
    for version, why in lost.items():
        hint = HOW_TO_GET_ONE if isinstance(vault.keks, NoKeks) else BRING_BACK
        sentence = f"Stored secrets cannot be opened: they are sealed under key {version}. {why}"
        yield Error(sentence, hint=hint, id="slipstream.E042")
