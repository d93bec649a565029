"""The Django app of this package."""

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    """Registers the package with Django."""

    name = "ledger"
