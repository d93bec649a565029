"""Puts vault and signer together from the settings, for the engine, `runsigner` and the commands of keys."""

from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from execution.approvals import MoneyApproval, SharesApproval, needed_approvals
from execution.deployments import CONTRACTS, Deployment, DeploymentError, deployment_on
from execution.ports import Signer, SignerRefused
from execution.signer.accounts import AccountPolicies
from execution.signer.hardening import leave_no_core
from execution.signer.keys import KeyRing, SingleKey, VaultKeys
from execution.signer.local import LocalKeySigner
from execution.signer.policy import SigningPolicy
from execution.signer.remote import RemoteSigner
from execution.signer.transaction_policy import WEI_OF_MILLIPOL, TransactionTerms
from execution.signing import address_of, private_key_from
from execution.vault.keks import FileKeks, KekError, kek_provider
from execution.vault.vault import API_CREDENTIALS, Vault
from ledger.clock import Clock
from ledger.db import Database
from ledger.system import SystemEntropy
from ledger.units import ONE


def build_vault() -> Vault:
    """The vault under the keys of the settings. Raises ImproperlyConfigured when those cannot be used at all."""
    try:
        return Vault(kek_provider(settings.SLIPSTREAM_KEK, settings.SLIPSTREAM_KEK_PATH), SystemEntropy())
    except KekError as error:
        raise ImproperlyConfigured(str(error)) from None


def build_signer(database: Database, clock: Clock) -> Signer:
    """The signer of the settings: the process behind SIGNER_SOCKET, or this one. Raises ImproperlyConfigured."""
    if settings.SIGNER_SOCKET:
        return RemoteSigner(Path(settings.SIGNER_SOCKET), answer_s=settings.SIGNER_ANSWER_MS / 1_000)
    return build_local_signer(database, clock)


def expect_of(signer: Signer) -> None:
    """Tell a signer in this process that orders are being prepared; one behind a socket looks by itself."""
    if isinstance(signer, LocalKeySigner):
        signer.expect()


def build_local_signer(database: Database, clock: Clock) -> LocalKeySigner:
    """A signer with the keys in this process. Raises ImproperlyConfigured."""
    leave_no_core()
    policies = AccountPolicies(database, clock, terms=signing_terms())
    return LocalKeySigner(_key_ring(database, clock), policies, clock)


def signing_terms() -> SigningPolicy:
    """The policy of the settings, still without accounts. Raises ImproperlyConfigured."""
    deployment = chosen_deployment()
    return SigningPolicy(
        chain_id=settings.CHAIN_ID,
        contracts=frozenset(deployment.filling_exchanges),
        max_order_micros=settings.SIGNER_MAX_ORDER_USD * ONE,
        transactions=_transaction_terms(deployment),
    )


def chosen_deployment() -> Deployment:
    """The contracts of the settings. Raises ImproperlyConfigured."""
    overrides = {name: getattr(settings, f"CONTRACT_{name.upper()}") for name in CONTRACTS}
    try:
        return deployment_on(settings.CHAIN_ID, overrides)
    except DeploymentError as error:
        raise ImproperlyConfigured(f"CHAIN_ID and CONTRACT_*: {error}") from None


def _transaction_terms(deployment: Deployment) -> TransactionTerms:
    """The approvals that trading needs are all that is signed; taking one of them back needs no other terms."""
    needed = needed_approvals(deployment, amount=0).values()
    return TransactionTerms(
        spenders=frozenset((each.token, each.spender) for each in needed if isinstance(each, MoneyApproval)),
        operators=frozenset((each.ledger, each.operator) for each in needed if isinstance(each, SharesApproval)),
        amount_max=settings.SIGNER_MAX_APPROVAL_USD * ONE,
        fee_max_wei=settings.SIGNER_MAX_FEE_MILLIPOL * WEI_OF_MILLIPOL,
    )


def trading_address() -> str:
    """The address of TRADING_PRIVATE_KEY, in lower case; empty without one. Raises ImproperlyConfigured."""
    if not settings.TRADING_PRIVATE_KEY:
        return ""
    try:
        return address_of(private_key_from(settings.TRADING_PRIVATE_KEY.reveal())).lower()
    except SignerRefused as refused:
        raise ImproperlyConfigured(f"TRADING_PRIVATE_KEY: {refused}") from None


def needed_secrets() -> str:
    """What the names of an engine's secrets begin with: beside a signer process its credentials, otherwise all."""
    return API_CREDENTIALS if settings.SIGNER_SOCKET else ""


def refuse_lost_keys(vault: Vault, prefix: str) -> None:
    """Raise ImproperlyConfigured when these secrets need keys that are missing: a boot never makes keys anew."""
    lost = vault.lost_versions(prefix)
    for version, why in lost.items():
        raise ImproperlyConfigured(f"Stored secrets cannot be opened: they are sealed under key {version}. {why}")


def key_file() -> FileKeks:
    """The key file of the settings. Raises ImproperlyConfigured where they name none."""
    if not settings.SLIPSTREAM_KEK_PATH or settings.SLIPSTREAM_KEK:
        raise ImproperlyConfigured("Name the key file with SLIPSTREAM_KEK_PATH, and leave SLIPSTREAM_KEK out.")
    return FileKeks(Path(settings.SLIPSTREAM_KEK_PATH))


def _key_ring(database: Database, clock: Clock) -> KeyRing:
    ring = VaultKeys(build_vault(), database, clock)
    if not settings.TRADING_PRIVATE_KEY:
        return ring
    try:
        return SingleKey(settings.TRADING_PRIVATE_KEY, ring)
    except SignerRefused as refused:
        raise ImproperlyConfigured(f"TRADING_PRIVATE_KEY: {refused}") from None
