"""Every environment variable that Stint reads, declared once: name, values, default and meaning.

Settings and launchers read variables through these declarations. `manage.py production` writes them into the
environment file, and `/docs/reference/settings/` shows them. This package doesn't import Django.
"""

from __future__ import annotations

from broker.variables import gateways, people, record, service

GROUPS = (
    service.SERVERS,
    service.PAGES,
    people.SIGN_IN,
    people.LIMITS,
    gateways.SSH,
    gateways.GATEWAYS,
    gateways.POSTGRES,
    record.RECORDINGS,
    record.RECORD,
    service.MAIL,
    service.NETWORKS,
    service.LOGS,
)
