# ruff: noqa: E402  # the settings are changed before Django reads them
"""The decision and other implementations of it, in one server: `granian tests.bench.http_app:application`.

Each gets the same token, proxy key, target and request, and finds the same grants.
"""

import hashlib
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "broker.settings")

import django
from django.conf import settings
from django.db import connection

settings.ROOT_URLCONF = "tests.bench.http_app"
settings.ALLOWED_HOSTS = ["*"]
django.setup()
# A minimal Django: without the cost of middleware.
settings.MIDDLEWARE = []
connection.settings_dict["CONN_HEALTH_CHECKS"] = False

from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from broker.kernel import clock
from broker.kernel.garbage import freeze_loaded
from sessions_app.gateways.core.tally import Tally
from sessions_app.gateways.http.application import HTTPGateway
from sessions_app.models import Grant
from sessions_app.operations.sessions.proofs import proxy as authorizing
from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.http.decide import decide_request

# The same statement, for a plain cursor.
SQL = authorizing._OF_PROXY.sql.replace("$1::text", "%s").replace("$2::text", "%s")


_tally = Tally()


def _note(use, decision):
    """Record the allowed request, in the same way as Stint."""
    if isinstance(decision, Allowed):
        _tally.add(use.session_id, use, decision, clock.now())


def _row(digest, target):
    with connection.cursor() as cursor:
        cursor.execute(SQL, [digest, target])
        return cursor.fetchone()


def _use(grant_id, ref, target_id, credential_id=0, session_id=None, jkt=""):
    found = authorizing._approved((ref.encode(), grant_id, target_id))
    return authorizing.RequestUse(
        **found, expires_at=None, credential_id=credential_id, session_id=session_id, jkt=jkt
    )


def raw(request):
    """Decide in a minimal Django view."""
    said = request.headers
    row = _row(hashlib.sha256(said["Authorization"][7:].encode()).hexdigest(), said["Stinttarget"])
    proxy = hashlib.sha256(said["Stintproxy"].encode()).digest()
    if row is None or authorizing._proxy_digest(bytes(row[6])) != proxy:
        return HttpResponse(status=401)
    use = _use(*row[:6])
    decision = decide_request(use.compiled, said["Stintmethod"], said["Stinturi"])
    _note(use, decision)
    return HttpResponse(status=200 if isinstance(decision, Allowed) else 403)


class Verdict(serializers.ModelSerializer):
    class Meta:
        model = Grant
        fields = ("ref", "state", "expires_at")


class ByDRF(APIView):
    """The same in idiomatic Django REST framework: the ORM, and a serializer for the response."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    def get(self, request):
        from django.db.models import Q
        from django.utils import timezone

        said = request.headers
        now = timezone.now()
        digest = hashlib.sha256(said["Authorization"][7:].encode()).hexdigest()
        grant = (
            Grant.objects.select_related("holder", "cluster")
            .filter(
                credentials__digest=digest,
                credentials__revoked_at__isnull=True,
                state="active",
                starts_at__lte=now,
                expires_at__gt=now,
                targets__name=said["Stinttarget"],
                targets__removed_at__isnull=True,
                cluster__kind="http",
                cluster__removed_at__isnull=True,
                holder__is_active=True,
            )
            .filter(Q(holder__owner__isnull=True) | Q(holder__owner__is_active=True))
            .first()
        )
        if grant is None:
            return Response(status=401)
        use = _use(grant.pk, grant.ref, grant.targets.values_list("pk", flat=True)[0])
        decision = decide_request(use.compiled, said["Stintmethod"], said["Stinturi"])
        return Response(Verdict(grant).data, status=200 if isinstance(decision, Allowed) else 403)


urlpatterns = [path("bench/raw", raw), path("bench/drf", ByDRF.as_view())]

_django = get_wsgi_application()


def _others(environ, start):
    if environ["PATH_INFO"] == "/readyz":
        start("200 OK", [("content-length", "0")])
        return []
    return _django(environ, start)


application = HTTPGateway(_others)
freeze_loaded()
