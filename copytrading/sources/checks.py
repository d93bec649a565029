"""What `manage.py check` says about the settings of the live sources; see `copytrading.checks`.

No sentence shows an address of RPC_URLS: most of them hold a key.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004  (Django's name)

from execution.deployments import CONTRACTS, POLYGON, PUBLISHED, DeploymentError, deployment_on
from execution.rpc import NodeUrls, read_urls

PAGES, STREAMS = ("http", "https"), ("ws", "wss")
CLEAR = ("http", "ws")

VENUE = {
    "DATA_API_URL": PAGES,
    "GAMMA_URL": PAGES,
    "CLOB_URL": PAGES,
    "COPY_TRADING_WS_URL": STREAMS,
    "COPY_TRADING_MARKET_WS_URL": STREAMS,
}
"""Where the venue is asked and heard, and how such an address may begin."""

NODES = "https:// for calls, wss:// for subscriptions, with commas between them."


def check_chain(**_apps: Any) -> list[CheckMessage]:
    """A chain or a contract that nobody has published, and nodes that cannot be meant."""
    found: list[CheckMessage] = []
    try:
        deployment_on(settings.CHAIN_ID)
    except DeploymentError as error:
        found.append(Error(f"CHAIN_ID: {error}", id="slipstream.E005"))
    overrides = {name: getattr(settings, _setting_of(name)) for name in CONTRACTS}
    alone = [(_setting_of(name), {name: text}) for name, text in overrides.items() if text]
    malformed = [*_contracts(alone)]
    # Whether two are the same is asked of all together, once each can be read.
    found += malformed or _contracts([("CONTRACT_*", overrides)])
    try:
        read_urls(settings.RPC_URLS)
    except ValueError as error:
        found.append(Error(f"RPC_URLS: {error}", hint=f"Write {NODES}", id="slipstream.E007"))
    return found


def check_venue(**_apps: Any) -> list[CheckMessage]:
    """Addresses of the venue that are none."""
    return [
        Error(f"{name} begins with neither {first}:// nor {second}://, or names no host.", id="slipstream.E008")
        for name, (first, second) in VENUE.items()
        if (parts := _parts(getattr(settings, name))) is None or parts.scheme not in (first, second)
    ]


def check_hearing(**_apps: Any) -> list[CheckMessage]:
    """What the sources that are switched on need and have not."""
    logs: bool | None = settings.COPY_TRADING_CHAIN_LOGS
    hears_logs = bool(settings.RPC_URLS) if logs is None else logs
    found = [*_missing_nodes(hears_logs=hears_logs), *_upside_down()]
    if settings.COPY_TRADING_SIGNAL_MODE == "WS_ONLY" and not hears_logs:
        sentence = "The activity stream is all that is heard: what it leaves out is missed."
        hint = "Set RPC_URLS, or COPY_TRADING_SIGNAL_MODE=HYBRID."
        found.append(Warning(sentence, hint=hint, id="slipstream.W034"))
    return found


def check_lines(**_apps: Any) -> list[CheckMessage]:
    """Lines that somebody on the way could write on, and a sandbox that somebody has forgotten."""
    return [*_clear_nodes(), *_clear_venue()]


def _contracts(asked: list[tuple[str, dict[str, str]]]) -> Iterator[CheckMessage]:
    chain_id = settings.CHAIN_ID if settings.CHAIN_ID in PUBLISHED else POLYGON
    for setting, overrides in asked:
        try:
            deployment_on(chain_id, overrides)
        except DeploymentError as error:
            yield Error(f"{setting}: {error}", id="slipstream.E006")


def _missing_nodes(*, hears_logs: bool) -> Iterator[CheckMessage]:
    nodes, hint, mempool = _nodes(), f"Write {NODES}", settings.COPY_TRADING_MEMPOOL
    if (hears_logs or mempool) and not nodes.calls:
        name = "COPY_TRADING_CHAIN_LOGS" if hears_logs else "COPY_TRADING_MEMPOOL"
        yield Error(f"{name} needs an http(s) address in RPC_URLS.", hint=hint, id="slipstream.E024")
    if mempool and not nodes.sockets:
        yield Error("COPY_TRADING_MEMPOOL needs a ws(s) address in RPC_URLS.", hint=hint, id="slipstream.E025")


def _upside_down() -> Iterator[CheckMessage]:
    for pace in ("COPY_TRADING_POLL", "COPY_TRADING_POLL_FAST"):
        if getattr(settings, f"{pace}_ACTIVE_MS") > getattr(settings, f"{pace}_QUIET_MS"):
            hint = "Who traded lately is looked at more often than who did not."
            yield Error(f"{pace}_ACTIVE_MS is above {pace}_QUIET_MS.", hint=hint, id="slipstream.E026")


def _clear_nodes() -> Iterator[CheckMessage]:
    nodes = _nodes()
    for number, url in enumerate(dict.fromkeys(settings.RPC_URLS.replace(",", " ").split()), start=1):
        parts = _parts(url)
        if parts is not None and url in (*nodes.calls, *nodes.sockets) and _open_to_others(parts):
            sentence = f"Address {number} of RPC_URLS is not encrypted: whoever is on the way reads its key and can"
            sentence += " make up trades."
            yield Warning(sentence, hint="Write https:// and wss://.", id="slipstream.W031")


def _clear_venue() -> Iterator[CheckMessage]:
    for name in VENUE:
        parts = _parts(getattr(settings, name))
        if parts is None:
            continue
        if _open_to_others(parts):
            sentence = f"{name} is not encrypted: whoever is on the way can make up trades."
            yield Warning(sentence, hint="Write https:// or wss://.", id="slipstream.W032")
        if is_here(parts):
            sentence = f"{name} leads to this machine: a sandbox makes its trades up."
            yield Warning(sentence, hint=f"Leave {name} out.", id="slipstream.W033")


def _nodes() -> NodeUrls:
    try:
        return read_urls(settings.RPC_URLS)
    except ValueError:
        return NodeUrls(calls=(), sockets=())


def _setting_of(contract: str) -> str:
    return f"CONTRACT_{contract.upper()}"


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    return parts if parts.hostname else None


def _open_to_others(parts: SplitResult) -> bool:
    return parts.scheme in CLEAR and not is_here(parts)


def is_here(parts: SplitResult) -> bool:
    """Whether an address is of this machine itself."""
    host = parts.hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
