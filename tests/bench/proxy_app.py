# ruff: noqa: E402  # the settings are changed before Django reads them
"""A Django view that does what the HTTP gateway does for a small GET: `granian
tests.bench.proxy_app:application`.

It finds the grant by its token, decides by the same compiled command set, counts the request in the record by
the same tally, and passes it on with the target's credential. BENCH_UPSTREAM is the target's port.
"""

import hashlib
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "broker.settings")

import django
import urllib3
from django.conf import settings

settings.ROOT_URLCONF = "tests.bench.proxy_app"
settings.ALLOWED_HOSTS = ["*"]
django.setup()
# A minimal Django: without the cost of middleware.
settings.MIDDLEWARE = []

from django.core.wsgi import get_wsgi_application
from django.db.models import Q
from django.http import HttpResponse
from django.urls import path
from django.utils import timezone

from broker.kernel import clock
from broker.kernel.garbage import freeze_loaded
from sessions_app.gateways.core.tally import Tally
from sessions_app.models import Grant
from sessions_app.operations.sessions.proofs.proxy import RequestUse, approved
from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.http.decide import decide_request
from tests.support.servers.http_target import SECRET

_tally, _pool = Tally(), urllib3.PoolManager(maxsize=16)
_upstream = f"http://127.0.0.1:{os.environ.get('BENCH_UPSTREAM', '')}"


def _grant(digest):
    now = timezone.now()
    return (
        Grant.objects.select_related("holder", "cluster")
        .filter(
            credentials__digest=digest,
            credentials__revoked_at__isnull=True,
            state="active",
            starts_at__lte=now,
            expires_at__gt=now,
            cluster__kind="http",
            cluster__removed_at__isnull=True,
            holder__is_active=True,
        )
        .filter(Q(holder__owner__isnull=True) | Q(holder__owner__is_active=True))
        .first()
    )


def passed(request, rest):
    """Forward one request, if its grant allows it."""
    digest = hashlib.sha256(request.headers["Authorization"][7:].encode()).hexdigest()
    grant = _grant(digest)
    if grant is None:
        return HttpResponse(status=401)
    target, session = grant.targets.first(), grant.sessions.first()
    fields = approved((grant.ref.encode(), grant.pk, target.pk))
    use = RequestUse(**fields, expires_at=grant.expires_at, credential_id=0, session_id=session.pk, jkt="")
    decision = decide_request(use.compiled, request.method, f"/{rest}")
    if not isinstance(decision, Allowed):
        return HttpResponse(status=403)
    _tally.add(session.pk, use, decision, clock.now())
    there = _pool.request("GET", f"{_upstream}/{rest}", headers={"Authorization": f"Bearer {SECRET}"})
    return HttpResponse(there.data, status=there.status, content_type=there.headers["Content-Type"])


urlpatterns = [path("http/prices/<path:rest>", passed)]
application = get_wsgi_application()
freeze_loaded()
