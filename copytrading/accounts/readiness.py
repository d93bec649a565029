"""What an account lacks to trade, and the next step, in sentences. Pure: everything that was looked at is a value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NotRequired, TypedDict

from execution.orders import ExchangeDomain

SKEW_MAX_S = 10.0
"""A clock that is further off gets requests refused as unauthorised, which looks like a revoked key."""

RENEW_BEFORE = timedelta(days=10)
"""A session key lasts 180 days; it should be renewed after about 170 (polymarket.md 7)."""

EOA, DEPOSIT_WALLET = 0, 3


class Part(StrEnum):
    """What readiness looks at, in the order in which it is put right."""

    REAL_TRADING = "REAL_TRADING"
    MODE = "MODE"
    STATE = "STATE"
    SESSION = "SESSION"
    CLOCK = "CLOCK"
    PLACE = "PLACE"
    KEY = "KEY"
    CREDENTIALS = "CREDENTIALS"
    STANDING = "STANDING"
    WALLET = "WALLET"
    BALANCE = "BALANCE"
    ALLOWANCE = "ALLOWANCE"
    SHARES = "SHARES"


class MissingRow(TypedDict):
    """One lack as the account's row keeps it."""

    part: str
    sentence: str
    next: str
    blocks: bool
    no_exit: NotRequired[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """One lack with the step that ends it. Without `blocks` the account trades: its orders meet it themselves.

    `no_exit` names the exchange where nothing is bought, because it could not be sold again.
    """

    part: Part
    sentence: str
    next: str
    blocks: bool = True
    no_exit: str = ""

    def as_json(self) -> MissingRow:
        """As the row keeps it."""
        row: MissingRow = {
            "part": self.part.value,
            "sentence": self.sentence,
            "next": self.next,
            "blocks": self.blocks,
        }
        return {**row, "no_exit": self.no_exit} if self.no_exit else row


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """Everything that was looked at; None is what could not be.

    `key_trouble` and `credentials_trouble` are sentences, empty when all is well. `skew_s` is how far the venue's
    clock is ahead. `sellable` says of the exchanges of which it is known whether they may move the wallet's shares.
    `real_trading` and `mode` are None where the engine itself asks: it only looks at what may trade.
    """

    now: datetime
    wallet: str
    signer: str
    signature_type: int
    stopped_why: str | None = None
    session_valid_until: datetime | None = None
    real_trading: bool | None = None
    mode: str | None = None
    key_trouble: str = ""
    credentials_trouble: str = ""
    skew_s: float | None = None
    place_blocked: bool | None = None
    closed_only: bool | None = None
    deployed: bool | None = None
    balance_micros: int | None = None
    allowances: Mapping[ExchangeDomain, int] | None = field(default=None)
    sellable: Mapping[ExchangeDomain, bool] = field(default_factory=dict)


def missing(seen: Examined) -> tuple[Missing, ...]:
    """Everything the account lacks, the first to be put right first; empty for one that trades."""
    parts = (*_choices(seen), *_moments(seen), *_access(seen), *_wallet(seen))
    return tuple(each for each in parts if each is not None)


def blocking(lacks: Sequence[Missing]) -> tuple[Missing, ...]:
    """Those without which nothing is sent."""
    return tuple(each for each in lacks if each.blocks)


def stopping(why: str) -> Missing:
    """The lack of an account that is stopped, or that the next look stops."""
    return Missing(
        part=Part.STATE,
        sentence=f"The account is stopped: {why.rstrip('.')}.",
        next="Put the reason right, then start the account again in the admin, saying why.",
    )


def _choices(seen: Examined) -> list[Missing | None]:
    off = Missing(
        part=Part.REAL_TRADING,
        sentence="Real trading is off for everybody.",
        next="Set ENABLE_REAL_TRADING=true where the supervisor runs, and start it again.",
    )
    mode = Missing(
        part=Part.MODE,
        sentence=f"The follower trades in mode {seen.mode}, not from its own account.",
        next="Set the follower's mode to EXCHANGE in the admin.",
    )
    return [
        off if seen.real_trading is False else None,
        mode if seen.mode not in (None, "EXCHANGE") else None,
        stopping(seen.stopped_why) if seen.stopped_why is not None else None,
    ]


def _moments(seen: Examined) -> list[Missing | None]:
    return [_session(seen), _clock(seen), _place(seen)]


def _session(seen: Examined) -> Missing | None:
    until = seen.session_valid_until
    if until is None or until - seen.now > RENEW_BEFORE:
        return None
    day = f"{until:%Y-%m-%d %H:%M} UTC"
    over = until <= seen.now
    return Missing(
        part=Part.SESSION,
        sentence=f"The session key expired on {day}." if over else f"The session key expires on {day}.",
        next="The wallet's owner authorises a new session key in the browser.",
        blocks=over,
    )


def _clock(seen: Examined) -> Missing | None:
    if seen.skew_s is None or abs(seen.skew_s) <= SKEW_MAX_S:
        return None
    return Missing(
        part=Part.CLOCK,
        sentence=f"This machine's clock is {abs(seen.skew_s):.0f} s {'behind' if seen.skew_s > 0 else 'ahead of'} "
        "the venue's.",
        next="Set the clock: let chrony or systemd-timesyncd keep it.",
    )


def _place(seen: Examined) -> Missing | None:
    if not seen.place_blocked:
        return None
    return Missing(
        part=Part.PLACE,
        sentence="The venue takes no orders from where this machine is.",
        next="Run the supervisor where the venue's terms allow its user and its operator to trade.",
    )


def _access(seen: Examined) -> list[Missing | None]:
    key = Missing(
        part=Part.KEY,
        sentence=f"The key {seen.signer} cannot sign: {seen.key_trouble}",
        next="Store it with `manage.py addaccount`, or set TRADING_PRIVATE_KEY_FILE for a single trader.",
    )
    credentials = Missing(
        part=Part.CREDENTIALS,
        sentence=f"There are no API credentials: {seen.credentials_trouble}",
        next="The supervisor gets them by itself as soon as key, clock and network are right.",
    )
    closed = Missing(
        part=Part.STANDING,
        sentence="The venue lets the account only close what it has.",
        next="Ask the venue why; until then its owner sells on the venue's own site.",
    )
    return [
        key if seen.key_trouble else None,
        # Without a key there is no way to them: one step at a time.
        credentials if seen.credentials_trouble and not seen.key_trouble else None,
        closed if seen.closed_only else None,
    ]


def _wallet(seen: Examined) -> list[Missing | None]:
    undeployed = Missing(
        part=Part.WALLET,
        sentence=f"There is no contract at the wallet {seen.wallet} yet.",
        next="Its owner makes a first deposit or trade on the venue's site, which deploys it.",
    )
    return [
        undeployed if seen.deployed is False and seen.signature_type != EOA else None,
        _balance(seen),
        *_allowances(seen),
        *_share_approvals(seen),
    ]


def _balance(seen: Examined) -> Missing | None:
    if seen.balance_micros is None:
        return Missing(
            part=Part.BALANCE,
            sentence="The balance on the venue could not be read.",
            next="It is read again within a minute; see the other steps first.",
            blocks=False,
        )
    if seen.balance_micros > 0:
        return None
    return Missing(
        part=Part.BALANCE,
        sentence="The wallet holds no pUSD.",
        next=f"Deposit on the venue's site, or wrap USDC.e into pUSD for {seen.wallet}.",
        blocks=False,
    )


def _allowances(seen: Examined) -> list[Missing | None]:
    if seen.allowances is None:
        return []
    step = _step(seen, f"{_own_command(seen)} sends the approve of pUSD")
    return [
        Missing(
            part=Part.ALLOWANCE,
            sentence=f"The exchange {domain.value} may not take the wallet's pUSD.",
            next=f"Allow it: {step}.",
            blocks=False,
        )
        for domain in ExchangeDomain
        if seen.allowances.get(domain, 0) <= 0
    ]


def _share_approvals(seen: Examined) -> list[Missing | None]:
    return [
        Missing(
            part=Part.SHARES,
            sentence=f"The exchange {domain.value} may not move the wallet's shares: nothing is bought there, because "
            "it could not be sold.",
            next=f"Allow it: {_step(seen, _own_leave(seen, domain))}.",
            blocks=False,
            no_exit=domain.value,
        )
        for domain in ExchangeDomain
        if seen.sellable.get(domain) is False
    ]


def _step(seen: Examined, own: str) -> str:
    """What a person does here for a wallet that is its own key; any other's owner does it on the venue's site."""
    return own if seen.signature_type == EOA else "its owner enables trading on the venue's site"


def _own_leave(seen: Examined, domain: ExchangeDomain) -> str:
    return f"{_own_command(seen)} sends the setApprovalForAll of {_LEDGERS[domain]}"


def _own_command(seen: Examined) -> str:
    return f"`manage.py approveaccount --wallet {seen.wallet}`"


_LEDGERS: Mapping[ExchangeDomain, str] = {
    ExchangeDomain.CTF_V2: "ConditionalTokens",
    ExchangeDomain.NEG_RISK_V2: "ConditionalTokens",
    ExchangeDomain.V3: "PositionManager",
}
"""The contract that keeps the shares of each exchange's markets (polymarket.md 1)."""
