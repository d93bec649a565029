"""The pages that answer "How is it going?" for one follower or leader."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from copytrading.explain import accounts, progress
from copytrading.models import Follower, Leader
from copytrading.quality.queries import COPIES_MAX, WINDOWS
from guardrails.models import Scope
from guardrails.permissions import SET_LIMITS
from ledger.sql import database_now

NEEDS = "copytrading.view_copytrade"


def story_url(who: str, person_id: int) -> str:
    """Where the page of a follower or leader is."""
    return reverse(f"admin:copytrading_{who}_story", args=[person_id])


@admin.display(description="how is it going?")
def story_link(row: Follower | Leader) -> str:
    """A link to the person's page."""
    return format_html('<a class="link" href="{}">Look</a>', story_url(row._meta.model_name or "", row.pk))


class StoryPages:
    """Gives the list and the page of people a link to their story, and the story its address."""

    change_form_before_template = "admin/copytrading/story_link.html"
    model: Any
    admin_site: Any

    def get_urls(self) -> list[URLPattern]:
        """With the story."""
        who = self.model._meta.model_name
        view = self.admin_site.admin_view(self.story)
        own = path("<int:person_id>/story/", view, name=f"copytrading_{who}_story")
        return [own, *super().get_urls()]  # type: ignore[misc]  # of the admin beside it

    def story(self, request: HttpRequest, person_id: int) -> HttpResponse:
        """The page; `?window=24h|7d|30d|all`."""
        who = self.model._meta.model_name
        if not request.user.has_perms((f"copytrading.view_{who}", NEEDS)):
            raise PermissionDenied
        person = accounts.person_of(who, person_id)
        if person is None:
            raise Http404(f"No {who} {person_id}.")
        window = request.GET.get("window", "24h")
        window = window if window in WINDOWS else "24h"
        now = database_now()
        context = {
            **self.admin_site.each_context(request),
            "title": str(person),
            "opts": self.model._meta,
            "who": who,
            "person": person,
            "window": window,
            "window_words": WINDOWS[window][0],
            "windows": [(name, words) for name, (words, _span) in WINDOWS.items()],
            "copies": progress.copies_of(who, person_id, window=window, now=now),
            "copies_max": COPIES_MAX,
            "configs": accounts.configs_of(**{f"{who}_id": person_id}),
            "configs_max": accounts.CONFIGS_MAX,
            "spending": accounts.spending_of(Scope[who.upper()], str(person_id), person, now=now),
            "holds": accounts.holds_on(Scope[who.upper()], str(person_id)),
            "may_set_limits": request.user.has_perm(SET_LIMITS),
            "now": now,
            **(self._of_follower(person_id) if who == "follower" else self._of_leader(person_id)),
        }
        return TemplateResponse(request, f"admin/copytrading/{who}_story.html", context)

    def _of_follower(self, follower_id: int) -> dict[str, Any]:
        return {"money": accounts.money_of(follower_id), "positions_max": accounts.POSITIONS_MAX}

    def _of_leader(self, leader_id: int) -> dict[str, Any]:
        profit, measured = accounts.profit_of_leader(leader_id)
        realised, fees = accounts.realised_by_leader(leader_id)
        return {
            "realised_micros": realised,
            "fees_micros": fees,
            "profit_micros": profit,
            "measured": measured,
            "signals": accounts.newest_signals(leader_id),
            "holdings": accounts.holdings_of(leader_id),
        }
