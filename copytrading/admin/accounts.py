"""Users and roles: who may sign in and what they may do. Every change stands in the audit log, passwords never."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from ledger.admin import AuditedAdmin

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class AuditedUserAdmin(AuditedAdmin, UserAdmin):  # type: ignore[type-arg, misc]  # as Django's, published without types
    """Who may sign in."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    # The theme's admin comes first and has none.
    add_fieldsets = UserAdmin.add_fieldsets
    list_filter = ("is_staff", "is_superuser", "is_active")

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002  (Django's own)
        """The page that sets a password; the change and its entry stand together."""
        with transaction.atomic():
            return super().user_change_password(request, id, form_url)


@admin.register(Group)
class AuditedGroupAdmin(AuditedAdmin, GroupAdmin):  # type: ignore[misc]
    """Roles: groups of permissions. Those of `copytrading.roles` are put back after every migration."""
