"""The Django app of this package."""

from django.apps import AppConfig


class GuardrailsConfig(AppConfig):
    """Registers the package with Django."""

    name = "guardrails"
