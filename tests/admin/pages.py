"""Where the admin's pages are, and reading them."""

from typing import Any

from django.db.models import Model
from django.test import Client
from django.urls import reverse

NO_LIMITS = dict.fromkeys(("hourly_limit_micros", "daily_limit_micros", "hourly_limit_count", "daily_limit_count"), "")
"""A form that sets no limit."""


def address(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def read(client: Client, model: type[Model], page: str = "changelist", *args: Any, **query: str) -> str:
    response = client.get(address(model, page, *args), query)
    assert response.status_code == 200
    return response.content.decode()


def act(client: Client, action: str, *rows: Model, why: str = "a reason") -> str:
    """Take an action on rows of one model and confirm it; returns the page that follows."""
    form = {"action": action, "_selected_action": [row.pk for row in rows], "confirmed": "yes", "why": why}
    return client.post(address(type(rows[0]), "changelist"), form, follow=True).content.decode()
