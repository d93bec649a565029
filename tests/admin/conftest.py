"""What every test of the admin needs."""

import pytest
from django.contrib.auth import get_user_model


@pytest.fixture
def admin_user(db: None) -> object:
    """Whom `admin_client` logs in; without a password, whose hash would cost more than the pages."""
    return get_user_model().objects.create_superuser("admin")
