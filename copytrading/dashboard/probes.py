"""For machines: is the process alive, may it take traffic, and its Prometheus metrics."""

from dataclasses import dataclass
from ipaddress import ip_address

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django_prometheus.exports import ExportToDjangoView

from copytrading.readiness import Examination

FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED_HOST", "HTTP_VIA")


def healthz(_request: HttpRequest) -> HttpResponse:
    """200 while the process answers; asks nobody else."""
    return HttpResponse("ok\n", content_type="text/plain", headers={"Cache-Control": "no-store"})


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the web process may take traffic; needs no login and tells no secret."""

    examination: Examination

    async def readyz(self, _request: HttpRequest) -> HttpResponse:
        """200 when the database answers and has every migration, 503 otherwise; JSON with a line for each part."""
        report = await self.examination.report()
        return HttpResponse(
            report.body,
            status=200 if report.ready else 503,
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )


@dataclass(frozen=True, slots=True)
class Metrics:
    """The web process's metrics, for staff and for a Prometheus on this machine."""

    behind_proxy: bool
    """All callers are the proxy then, so that only staff may look."""

    def export(self, request: HttpRequest) -> HttpResponse:
        """The metrics in Prometheus' text format."""
        if not ((not self.behind_proxy and from_this_machine(request)) or _is_staff(request)):
            raise PermissionDenied
        response: HttpResponse = ExportToDjangoView(request)
        return response


def from_this_machine(request: HttpRequest) -> bool:
    """True for a loopback peer that nobody forwarded."""
    try:
        peer = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    return peer.is_loopback and not any(name in request.META for name in FORWARDED)


def _is_staff(request: HttpRequest) -> bool:
    return request.user.is_active and request.user.is_staff
