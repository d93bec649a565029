"""The Django app of this package."""

from importlib import import_module

from django.apps import AppConfig
from django.core.checks import register
from django.db.models.signals import post_migrate

from copytrading.checks import (
    check_allowlist,
    check_breakers,
    check_commission_tiers,
    check_deployment,
    check_drawdown,
    check_left_on,
    check_numbers,
    check_real_trading,
    check_shards,
)
from copytrading.sources.checks import check_chain, check_hearing, check_lines, check_venue


class CopytradingConfig(AppConfig):
    """Registers the package with Django."""

    name = "copytrading"

    def ready(self) -> None:
        """Register the checks of the settings, and make the roles after every migration."""
        # The roles' module needs models, which are not loaded when this file is.
        post_migrate.connect(import_module("copytrading.roles").make_roles, dispatch_uid="copytrading.roles")
        register(check_numbers, "slipstream")
        register(check_allowlist, "slipstream")
        register(check_commission_tiers, "slipstream")
        register(check_breakers, "slipstream")
        register(check_chain, "slipstream")
        register(check_venue, "slipstream")
        register(check_real_trading, "slipstream")
        register(check_deployment, "slipstream", deploy=True)
        register(check_shards, "slipstream", deploy=True)
        register(check_left_on, "slipstream", deploy=True)
        register(check_drawdown, "slipstream", deploy=True)
        register(check_hearing, "slipstream", deploy=True)
        register(check_lines, "slipstream", deploy=True)
