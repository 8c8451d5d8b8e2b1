"""The web process, which serves pages, the API and authorization decisions."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from broker.edge import Edge
from broker.kernel.database import name_process
from broker.kernel.garbage import freeze_loaded
from broker.processes.watchdog import report_server

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "broker.settings")

django_application = get_wsgi_application()
name_process("web")
# Load every view now, while the other processes start, instead of during the first request.
get_resolver().url_patterns  # noqa: B018
# Models can be imported only after Django is set up. Decision requests from proxies and API servers are
# answered here, before they reach Django.
from sessions_app.gateways.http.application import HTTPGateway  # noqa: E402
from sessions_app.gateways.kubernetes.webhook import AuthorizationWebhook  # noqa: E402

application = Edge(AuthorizationWebhook(HTTPGateway(django_application)))
freeze_loaded()
report_server()
