"""The Django app of this package."""

from django.apps import AppConfig
from django.core.checks import register

from copytrading.checks import check_allowlist, check_deployment, check_numbers, check_real_trading


class CopytradingConfig(AppConfig):
    """Registers the package with Django."""

    name = "copytrading"

    def ready(self) -> None:
        """Register the checks of the settings."""
        register(check_numbers, "slipstream")
        register(check_allowlist, "slipstream")
        register(check_deployment, "slipstream", deploy=True)
        register(check_real_trading, "slipstream", deploy=True)
