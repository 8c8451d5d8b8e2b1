"""`manage.py ssh_ca`: list and rotate the SSH certificate authorities that targets trust."""

from __future__ import annotations

from sessions_app.management.authority_command import AuthorityCommand
from sessions_app.queries.gateways.keys import SSH_USER_CA


class Command(AuthorityCommand):
    """List, prepare, rotate or retire certificate authorities for SSH."""

    purpose = SSH_USER_CA
    help = (
        "List the SSH certificate authorities. To rotate: `prepare` creates the next authority; "
        "install all listed authorities on every target (`ssh_target_setup`); `rotate` makes the next "
        "authority sign; `retire FINGERPRINT` removes the old one."
    )
