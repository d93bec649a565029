"""The page, what it fetches, and the one action it has: the pause. Staff only.

The fetches run on the database door's own threads: a page that polls must not open a connection for each request.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from django import forms
from django.contrib.admin.views.decorators import staff_member_required
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache

from copytrading.dashboard import queries
from guardrails.operations import set_switch
from ledger.clock import Clock
from ledger.db import Database

SWITCH_PERMISSION = "guardrails.change_switch"

CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing inline and nothing from elsewhere: a market's title cannot become a script."""

SEQUENCE_MAX = 2**63 - 1


class Why(forms.Form):
    """The operator's words on a pause; they stay with the switch."""

    why = forms.CharField(max_length=200, required=False)


@never_cache
@staff_member_required
def dashboard(request: HttpRequest) -> HttpResponse:
    """The page; its numbers come by fetches."""
    may_switch = request.user.has_perm(SWITCH_PERMISSION)
    response = render(request, "dashboard/dashboard.html", {"may_switch": may_switch})
    response["Content-Security-Policy"] = CONTENT_POLICY
    return response


@dataclass(frozen=True, slots=True)
class LiveReads:
    """What an open page fetches, as JSON."""

    database: Database

    async def state(self, request: HttpRequest) -> HttpResponse:
        """Everything to begin with."""
        return await self._answer(request, queries.state)

    async def status(self, request: HttpRequest) -> HttpResponse:
        """Who runs and what is switched off."""
        return await self._answer(request, queries.status)

    async def events(self, request: HttpRequest) -> HttpResponse:
        """What came after `?after=N`."""
        text = request.GET.get("after", "")
        if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= SEQUENCE_MAX):
            return JsonResponse({"error": "`after` must be the sequence of an event."}, status=400)
        return await self._answer(request, lambda: queries.events_after(int(text)))

    async def _answer(self, request: HttpRequest, read: Callable[[], Any]) -> HttpResponse:
        if request.method != "GET":
            return HttpResponse(status=405, headers={"Allow": "GET"})
        try:
            found = await self.database.run(_for_staff, request.session.session_key, read)
        except (OperationalError, InterfaceError):
            return _json({"error": "The database does not answer."}, status=503)
        return _json({"error": "Sign in as staff."}, status=403) if found is None else _json(asdict(found))


@dataclass(frozen=True, slots=True)
class PauseSwitch:
    """The pause of everything; engines read it before every send."""

    clock: Clock

    def pause(self, request: HttpRequest) -> HttpResponse:
        """Stop sending."""
        return self._set(request, on=True)

    def resume(self, request: HttpRequest) -> HttpResponse:
        """Send again."""
        return self._set(request, on=False)

    def _set(self, request: HttpRequest, *, on: bool) -> HttpResponse:
        if request.method != "POST":
            return HttpResponse(status=405, headers={"Allow": "POST"})
        if not (request.user.is_active and request.user.is_staff and request.user.has_perm(SWITCH_PERMISSION)):
            raise PermissionDenied
        form = Why(request.POST)
        if not form.is_valid():
            return _json({"error": "The reason may have 200 characters."}, status=400)
        who, why = request.user.get_username(), form.cleaned_data["why"]
        set_switch(kind="PAUSE", scope="GLOBAL", key="", on=on, who=who, why=why, now=self.clock.now())
        if request.accepts("text/html"):
            return HttpResponseRedirect(reverse("dashboard"))
        return _json(asdict(queries.status()))


def _for_staff(session_key: str | None, read: Callable[[], Any]) -> Any:
    return read() if queries.is_staff_session(session_key) else None


def _json(content: dict[str, Any], *, status: int = 200) -> JsonResponse:
    return JsonResponse(content, status=status, headers={"Cache-Control": "no-store"})
