"""The web process: pages, API, decisions."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from broker.kernel.garbage import keep_for_good

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "broker.settings")

django_application = get_wsgi_application()
# Loads every view now, while the other processes start as well, instead of during the first request.
get_resolver().url_patterns  # noqa: B018
# Models can be imported only now. Decisions for proxies are answered before Django sees them.
from sessions_app.gateways.http.application import HTTPGateway  # noqa: E402

application = HTTPGateway(django_application)
keep_for_good()
