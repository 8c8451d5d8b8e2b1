"""The web process: pages, API, decisions."""

import os

from django.core.wsgi import get_wsgi_application

from broker import gate

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "broker.settings")

application = get_wsgi_application()
gate.wait()
