"""What every test of the admin needs: somebody who may everything, and a row of every model."""

from importlib import import_module

import pytest
from django.contrib.auth import get_user_model


@pytest.fixture
def admin_user(db: None) -> object:
    """Whom `admin_client` logs in; without a password, whose hash would cost more than the pages."""
    return get_user_model().objects.create_superuser("admin")


@pytest.fixture
def world(db: None) -> None:
    """A row of every model; its module needs Django, which is set up after this file is read."""
    import_module("tests.admin.rows").make_rows()
