"""The page, what it fetches, and the one action it has: the pause. For staff who may look at copies.

The fetches run on the database door's own threads: a page that polls must not open a connection for each request.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from django import forms
from django.contrib.admin.views.decorators import staff_member_required
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect, HttpResponseRedirect
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.cache import never_cache

from copytrading.dashboard import queries
from copytrading.dashboard.feed import Feed
from copytrading.dashboard.quality import OFFERED, QualityTables
from copytrading.dashboard.status import status
from copytrading.dashboard.telling import tell
from copytrading.explain.reasons import EXPLANATIONS
from guardrails.models import Scope, Switch
from guardrails.pauses import SwitchName, throw_switches
from guardrails.permissions import may_throw
from ledger.clock import Clock
from ledger.db import Database

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

NO_TRADE = object()
"""The answer for a copy that is not there; None is the answer for somebody who may not ask."""


NOT_ALLOWED = "Sign in as staff who may look at copies."
NO_ROLE = "Your account has no role yet, so it may not see what is copied. An administrator can give it one."


def _nothing() -> None:
    """For what no feed keeps."""


class Why(forms.Form):
    """The operator's words on a pause; they stay with the switch."""

    why = forms.CharField(max_length=200, required=False)


@never_cache
@staff_member_required
def dashboard(request: HttpRequest) -> HttpResponse:
    """The page; its numbers come by fetches. Raises PermissionDenied with a sentence for staff who may not look."""
    if not queries.may_look(request.user):
        raise PermissionDenied(NO_ROLE)
    content = {
        "may_pause": may_throw(request.user, scope=Scope.GLOBAL, on=True),
        "may_resume": may_throw(request.user, scope=Scope.GLOBAL, on=False),
        "explanations": dict(EXPLANATIONS),
    }
    response = render(request, "dashboard/dashboard.html", content)
    response["Content-Security-Policy"] = CONTENT_POLICY
    return response


def favicon(_request: HttpRequest) -> HttpResponse:
    """Where browsers ask for an icon when a page names none."""
    return HttpResponsePermanentRedirect(static("dashboard/mark.svg"))


@dataclass(frozen=True, slots=True)
class LiveReads:
    """What an open page fetches, as JSON: from what the feed keeps, or from the database while it keeps nothing."""

    database: Database
    feed: Feed
    tables: QualityTables

    async def state(self, request: HttpRequest) -> HttpResponse:
        """Everything to begin with."""
        return await self._answer(request, queries.state, kept=self.feed.state)

    async def status(self, request: HttpRequest) -> HttpResponse:
        """Who runs and what is switched off, read now."""
        return await self._answer(request, status)

    async def events(self, request: HttpRequest) -> HttpResponse:
        """What came after `?after=N`."""
        text = request.GET.get("after", "")
        if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= SEQUENCE_MAX):
            return _json({"error": "`after` must be the sequence of an event."}, status=400)
        after = int(text)
        return await self._answer(
            request, lambda: queries.events_after(after), kept=lambda: self.feed.events_after(after)
        )

    async def quality(self, request: HttpRequest) -> HttpResponse:
        """How well copies were made in `?window=24h|7d|30d`."""
        window = request.GET.get("window", OFFERED[0])
        if window not in OFFERED:
            return _json({"error": f"`window` must be one of {', '.join(OFFERED)}."}, status=400)
        return await self._answer(request, lambda: self.tables.table(window))

    async def trade(self, request: HttpRequest, trade_id: int) -> HttpResponse:
        """The story of one copy."""
        return await self._answer(request, lambda: tell(trade_id) or NO_TRADE)

    async def _answer(
        self, request: HttpRequest, read: Callable[[], Any], *, kept: Callable[[], Any] = _nothing
    ) -> HttpResponse:
        if request.method != "GET":
            return HttpResponse(status=405, headers={"Allow": "GET"})
        try:
            known = kept()
            found = await self.database.run(_for_those_who_may, request.session.session_key, lambda: known or read())
        except (OperationalError, InterfaceError):
            return _json({"error": "The database does not answer."}, status=503)
        if found is NO_TRADE:
            return _json({"error": "This copy is not in the database any more."}, status=404)
        return _json({"error": NOT_ALLOWED}, status=403) if found is None else _json(found)


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
        if not (queries.may_look(request.user) and may_throw(request.user, scope=Scope.GLOBAL, on=on)):
            raise PermissionDenied
        form = Why(request.POST)
        if not form.is_valid():
            return _json({"error": "The reason may have 200 characters."}, status=400)
        who, why = request.user.get_username(), form.cleaned_data["why"]
        everything = SwitchName(Switch.Kind.PAUSE, Scope.GLOBAL)
        throw_switches([everything], on=on, who=who, why=why, now=self.clock.now())
        if request.accepts("text/html"):
            return HttpResponseRedirect(reverse("dashboard"))
        return _json(status())


def _for_those_who_may(session_key: str | None, read: Callable[[], Any]) -> Any:
    return read() if queries.session_may_look(session_key) else None


def _json(content: object, *, status: int = 200) -> HttpResponse:
    # A hundred pages fetch a page of events twenty times a second: `asdict` and `json` were most of its cost.
    encoded = msgspec.json.encode(content)
    headers = {"Cache-Control": "no-store"}
    return HttpResponse(encoded, content_type="application/json", status=status, headers=headers)
