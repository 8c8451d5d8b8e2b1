"""The forms for administrators to add people and machines, and to change group membership."""

from __future__ import annotations

import json
import re
import secrets

from django.conf import settings
from django.http import HttpRequest, QueryDict

from accounts.actors import actor_of
from accounts.models import Identity, Kind
from accounts.names import canonical_username
from accounts.operations.create_identity import create_identity
from accounts.queries import members
from broker.kernel import clock
from broker.kernel.errors import InvalidInput
from broker.kernel.text import checked_text
from sessions_app.operations.catalog.document_state import state_of
from sessions_app.policy import references
from sessions_app.web.forms.saving import SaveResult, press
from sessions_app.web.layout.views import who


def add_identity(request: HttpRequest) -> tuple[Identity, str | None]:
    """Create the identity described by a form, and return it with its initial password, if any.

    People get an initial password, which only this response shows, unless passwords are only for
    administrators. People need an email address, which identifies them to the identity provider. Raises
    InvalidInput, NameTaken.
    """
    sent = request.POST
    kind = sent.get("kind", Kind.PERSON)
    password = secrets.token_urlsafe(15) if kind == Kind.PERSON and settings.PASSWORD_SIGN_IN else None
    made = create_identity(
        username=sent.get("username", ""),
        kind=kind,
        email=sent.get("email", "").strip(),
        password=password,
        name=checked_text(sent.get("name", ""), field="name", longest=200),
        owner=_owner(sent, kind),
        groups=group_names(sent.get("groups", "")),
        actor=actor_of(who(request)),
        now=clock.now(),
    )
    return made, password


def _owner(sent: QueryDict, kind: str) -> Identity | None:
    """Return the owner of a machine. Raises InvalidInput if a machine has no owner or a person has one."""
    if kind not in Kind.values:
        raise InvalidInput("Choose a kind.", fields={"kind": ["Choose person, service or agent."]})
    name = canonical_username(sent.get("owner", ""))
    if kind == Kind.PERSON:
        if name:
            raise InvalidInput("A person has no owner.", fields={"owner": ["Leave this field empty."]})
        return None
    owner = Identity.objects.active().filter(username=name, kind=Kind.PERSON).first()
    if owner is None:
        raise InvalidInput(
            "A machine needs an owner.", fields={"owner": ["Enter the username of an enabled person."]}
        )
    return owner


def group_names(text: str) -> list[str]:
    """Return the groups in a field. Raises InvalidInput for a name that is invalid in policies."""
    names = [word for word in re.split(r"[\s,]+", text) if word]
    if wrong := [name for name in names if not re.fullmatch(references.NAME, name)]:
        raise InvalidInput(
            f"{wrong[0][:100]} isn't a valid group name.",
            hint="Use lowercase letters, digits, hyphens and underscores, like on-call.",
            fields={"groups": ["Use lowercase letters, digits, hyphens and underscores."]},
        )
    return names


def group_name(text: str) -> str:
    """Return the only group in a field. Raises InvalidInput for none or several, and for invalid names."""
    names = group_names(text.strip().replace(" ", "-"))
    if len(names) != 1:
        raise InvalidInput(
            "Enter one group.", fields={"groups": ["Enter the name of a group, like on-call."]}
        )
    return names[0]


def press_group(request: HttpRequest, username: str) -> SaveResult:
    """Add an identity to the group in a form or, with ``out``, remove them. Nothing changes if grants would
    end that the form did not list. Raises InvalidInput.
    """
    name = group_name(request.POST.get("group", ""))
    based_on = state_of("groups", name)
    found = {*members(name)}
    found = found - {username} if request.POST.get("out") == "1" else found | {username}
    document = json.dumps({"name": name, "members": sorted(found)})
    return press(request, kind="groups", source=document, name=None, based_on=based_on)
