"""Where the venue's contracts are, by chain: published addresses, each of which a setting may replace. Pure.

Source: shared/reference/polymarket.md section 1. An unknown chain is refused; it never borrows another's addresses.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

POLYGON, AMOY = 137, 80002

ZERO_ADDRESS = "0x" + "00" * 20

NOT_PUBLISHED = ""
"""Stands for a contract that the chain has not, or whose address nobody has published."""

_ADDRESS = re.compile(r"0x[0-9a-f]{40}")


class DeploymentError(ValueError):
    """The chain or an address cannot be used; the message is a sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The contracts of one chain, in lower case; NOT_PUBLISHED where there is none."""

    chain_id: int
    exchange_v2: str = NOT_PUBLISHED
    neg_risk_exchange_v2: str = NOT_PUBLISHED
    exchange_v3: str = NOT_PUBLISHED
    exchange_v1: str = NOT_PUBLISHED
    neg_risk_exchange_v1: str = NOT_PUBLISHED
    conditional_tokens: str = NOT_PUBLISHED
    position_manager: str = NOT_PUBLISHED
    collateral: str = NOT_PUBLISHED
    usdc_e: str = NOT_PUBLISHED
    ctf_collateral_adapter: str = NOT_PUBLISHED
    neg_risk_collateral_adapter: str = NOT_PUBLISHED
    neg_risk_adapter: str = NOT_PUBLISHED
    router: str = NOT_PUBLISHED
    auto_redeemer: str = NOT_PUBLISHED

    @property
    def filling_exchanges(self) -> tuple[str, ...]:
        """Those whose OrderFilled has the layout of V2, which V3 shares."""
        return _known(self.exchange_v2, self.neg_risk_exchange_v2, self.exchange_v3)

    @property
    def exchanges(self) -> frozenset[str]:
        """Every exchange there was: a transfer that one of them operates is a trade."""
        return frozenset((*self.filling_exchanges, *_known(self.exchange_v1, self.neg_risk_exchange_v1)))

    @property
    def emitters(self) -> frozenset[str]:
        """Whose logs are read; anybody else may emit anything."""
        ledgers = _known(self.conditional_tokens, self.position_manager, self.neg_risk_adapter)
        return frozenset((*self.filling_exchanges, *ledgers))

    @property
    def intermediaries(self) -> frozenset[str]:
        """Adapters, router and redeemer: who moves tokens through them splits, merges, redeems or converts."""
        return frozenset(
            _known(
                self.ctf_collateral_adapter,
                self.neg_risk_collateral_adapter,
                self.neg_risk_adapter,
                self.router,
                self.auto_redeemer,
            )
        )

    @property
    def collaterals(self) -> frozenset[str]:
        """The money that the venue's own positions are made of when a wallet splits it itself."""
        return frozenset(_known(self.collateral, self.usdc_e))


PUBLISHED: Mapping[int, Deployment] = {
    POLYGON: Deployment(
        chain_id=POLYGON,
        exchange_v2="0xe111180000d2663c0091e4f400237545b87b996b",
        neg_risk_exchange_v2="0xe2222d279d744050d28e00520010520000310f59",
        exchange_v3="0xe3333700ca9d93003f00f0f71f8515005f6c00aa",
        exchange_v1="0x4bfb41d5b3570defd03c39a9a4d8de6bd8b8982e",
        neg_risk_exchange_v1="0xc5d563a36ae78145c45a50134d48a1215220f80a",
        conditional_tokens="0x4d97dcd97ec945f40cf65f87097ace5ea0476045",
        position_manager="0x006f54f7f9a22e0000cc2ab60031000000ae9fef",
        collateral="0xc011a7e12a19f7b1f670d46f03b03f3342e82dfb",
        usdc_e="0x2791bca1f2de4661ed88a30c99a7a9449aa84174",
        ctf_collateral_adapter="0xada100db00ca00073811820692005400218fce1f",
        neg_risk_collateral_adapter="0xada2005600dec949baf300f4c6120000bdb6eaab",
        neg_risk_adapter="0xd91e80cf2e7be2e162c6513ced06f1dd0da35296",
        router="0x12121212006e4cd160d18e3f00711da5c3372600",
        auto_redeemer="0xa1200000d0002264c9a1698e001292d00e1b00af",
    ),
    AMOY: Deployment(
        chain_id=AMOY,
        exchange_v2="0xe111180000d2663c0091e4f400237545b87b996b",
        neg_risk_exchange_v2="0xe2222d279d744050d28e00520010520000310f59",
        exchange_v3="0x9fe6e61422adb6f610d8597f9684b16912d50c3d",
        exchange_v1="0xdfe02eb6733538f8ea35d585af8de5958ad99e40",
        conditional_tokens="0x69308fb512518e39f9b16112fa8d994f4e2bf8bb",
    ),
}

CONTRACTS: tuple[str, ...] = tuple(field.name for field in fields(Deployment) if field.name != "chain_id")
"""The names that `deployment_on` lets a setting replace."""


def deployment_on(chain_id: int, overrides: Mapping[str, str] | None = None) -> Deployment:
    """The published contracts of a chain, with these addresses in place of theirs; empty texts replace nothing.

    Raises DeploymentError for a chain without published contracts, a name that is none of CONTRACTS, a text that is
    no address, and an exchange address that is also another contract's.
    """
    published = PUBLISHED.get(chain_id)
    if published is None:
        known = " and ".join(str(each) for each in sorted(PUBLISHED))
        raise DeploymentError(f"Chain id {chain_id} is unknown: contracts are published for {known} only.")
    wanted: dict[str, Any] = {name: _address(name, text) for name, text in (overrides or {}).items() if text}
    deployment = replace(published, **wanted)
    _refuse_twice(deployment)
    return deployment


def _address(name: str, text: str) -> str:
    if name not in CONTRACTS:
        raise DeploymentError(f"There is no contract named {name[:40]!r}.")
    address = text.strip().lower()
    if not _ADDRESS.fullmatch(address) or address == ZERO_ADDRESS:
        raise DeploymentError(f"The address {text[:50]!r} of {name} is not 0x and 40 hex digits, or is zero.")
    return address


def _refuse_twice(deployment: Deployment) -> None:
    owners: dict[str, str] = {}
    for name in CONTRACTS:
        address = getattr(deployment, name)
        if address and (other := owners.setdefault(address, name)) != name:
            raise DeploymentError(f"The contracts {other} and {name} have the same address {address}.")


def _known(*addresses: str) -> tuple[str, ...]:
    return tuple(address for address in addresses if address)
