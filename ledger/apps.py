"""The Django app of this package."""

from django.apps import AppConfig

from ledger import lookups, timestamps


class LedgerConfig(AppConfig):
    """Registers the package with Django."""

    name = "ledger"

    def ready(self) -> None:
        """Make the lookup `among` known to every field, and read timestamps quickly."""
        lookups.register()
        timestamps.register()
