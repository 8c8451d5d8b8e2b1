"""Every page there is, with what its address needs; a page that is not listed here fails a test."""

from __future__ import annotations

from django.urls import get_resolver, reverse

ALL = "alice bob charlie admin"
# By name: who may see it, by whom it is about (own, approver, everybody), as those who get an answer of 200.
READABLE = {
    "home": ALL,
    "more": ALL,
    "search": ALL,
    "requests": ALL,
    "request_new": ALL,
    "request": "alice bob admin",
    "approvals": ALL,
    "approval": "alice bob admin",
    "incidents": ALL,
    "incident": "alice bob admin",
    "incident_live": "alice bob admin",
    "grants": ALL,
    "grant": "alice bob admin",
    "grant_live": "alice bob admin",
    "clusters": ALL,
    "cluster": "alice bob admin",
    "command_sets": ALL,
    "command_set": "alice bob admin",
    "policies": ALL,
    "policy": "alice bob admin",
    "account": ALL,
    "people": "admin",
    "record": ALL,
}
ACTS = {
    "request_preview",
    "request_withdraw",
    "request_remind",
    "request_comment",
    "request_forget",
    "incident_access",
    "incident_close",
    "approval_decide",
    "grant_end",
    "grant_extend",
    "grant_review",
    "hold_decide",
    "command_set_try",
    "key_add",
    "key_remove",
    "token_add",
    "token_revoke",
    "account_zone",
    "people_switch",
}
OPEN = {"account_login", "account_logout", "account_inactive"}
ACTS_WITHOUT_AN_OBJECT = {"request_preview", "key_add", "token_add", "account_zone"}


def page_names() -> set[str]:
    """The names of all pages of the door."""
    from sessions_app.web.urls import urlpatterns

    assert get_resolver()
    return {pattern.name for pattern in urlpatterns}


def address(name: str, *, request, grant, run, key, token, identity, incident, bookmark) -> str:
    """The address of a page for these objects."""
    arguments = {
        "request": [request.ref],
        "request_withdraw": [request.ref],
        "request_remind": [request.ref],
        "request_comment": [request.ref],
        "request_forget": [bookmark.pk],
        "incident": [incident.ref],
        "incident_live": [incident.ref],
        "incident_access": [incident.ref],
        "incident_close": [incident.ref],
        "approval": [request.ref],
        "approval_decide": [request.ref],
        "grant": [grant.ref],
        "grant_live": [grant.ref],
        "grant_end": [grant.ref],
        "grant_extend": [grant.ref],
        "grant_review": [grant.ref],
        "hold_decide": [grant.ref, run.pk],
        "cluster": ["web"],
        "command_set": ["restart-web"],
        "command_set_try": ["restart-web"],
        "policy": ["web-work"],
        "key_remove": [key.pk],
        "token_revoke": [token.pk],
        "people_switch": [identity.pk],
    }
    return reverse(name, args=arguments.get(name, []))
