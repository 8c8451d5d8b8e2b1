"""`manage.py gateway_ca`: list and rotate the certificate authorities that clients of the web
gateways trust.
"""

from __future__ import annotations

from sessions_app.management.authority_command import AuthorityCommand
from sessions_app.queries.gateways.keys import GATEWAY_CA


class Command(AuthorityCommand):
    """List, prepare, rotate or retire certificate authorities of the web gateways."""

    purpose = GATEWAY_CA
    help = (
        "List the certificate authorities of the web gateways. To rotate: `prepare` creates the next "
        "authority; have clients fetch all listed authorities (`stint gateway --ca`, `stint "
        "kubectl-config`); `rotate` makes the next authority sign, within seconds also in running "
        "gateways; `retire FINGERPRINT` removes the old one."
    )
