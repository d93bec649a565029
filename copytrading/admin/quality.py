"""The page that says how well one config is copied: prices, fees, delays, misses."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from copytrading.explain import progress
from copytrading.explain.summaries import summary_of
from copytrading.models import CopyConfig
from copytrading.quality.queries import COPIES_MAX, WINDOWS, looked_at_config
from copytrading.quality.summaries import quality_of
from ledger.sql import database_now

NEEDS = ("copytrading.view_copyconfig", "copytrading.view_copytrade")


class QualityPage:
    """Gives the page of a config a link to its quality, and the quality its address."""

    change_form_before_template = "admin/copytrading/quality_link.html"
    model: Any
    admin_site: Any

    def get_urls(self) -> list[URLPattern]:
        """With the quality."""
        view = self.admin_site.admin_view(self.quality)
        own = path("<int:config_id>/quality/", view, name="copytrading_copyconfig_quality")
        return [own, *super().get_urls()]  # type: ignore[misc]  # of the admin beside it

    def quality(self, request: HttpRequest, config_id: int) -> HttpResponse:
        """The page; `?window=24h|7d|30d|all`."""
        if not request.user.has_perms(NEEDS):
            raise PermissionDenied
        config = CopyConfig.objects.select_related("follower", "leader").filter(pk=config_id).first()
        if config is None:
            raise Http404(f"No config {config_id}.")
        window = request.GET.get("window", "24h")
        window = window if window in WINDOWS else "24h"
        looked = looked_at_config(config_id, window=window, now=database_now())
        quality = quality_of(looked.copies)
        context = {
            **self.admin_site.each_context(request),
            "title": f"{config.follower} after {config.leader}",
            "opts": self.model._meta,
            "config": config,
            "in_words": summary_of(config, str(config.leader)),
            "window": window,
            "window_words": WINDOWS[window][0],
            "windows": [(name, words) for name, (words, _span) in WINDOWS.items()],
            "quality": quality,
            "missed": progress.counted(quality.missed),
            "cut": looked.cut,
            "copies_max": COPIES_MAX,
        }
        return TemplateResponse(request, "admin/copytrading/config_quality.html", context)
