"""The Django app of this package."""

from importlib import import_module

from django.apps import AppConfig
from django.core.checks import register


class ExecutionConfig(AppConfig):
    """Registers the package with Django."""

    name = "execution"

    def ready(self) -> None:
        """Register the checks of keys and secrets."""
        # Their module needs models, which are not loaded when this file is.
        checks = import_module("execution.vault.checks")
        register(checks.check_keys, "slipstream")
        register(checks.check_key_files, "slipstream", "key-files")
        register(checks.check_sealed, "secrets")
