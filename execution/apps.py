"""The Django app of this package."""

from django.apps import AppConfig


class ExecutionConfig(AppConfig):
    """Registers the package with Django."""

    name = "execution"
