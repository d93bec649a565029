"""The Django app of this package."""

from django.apps import AppConfig


class CopytradingConfig(AppConfig):
    """Registers the package with Django."""

    name = "copytrading"
