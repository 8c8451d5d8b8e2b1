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
    "grant_receipt": "alice bob admin",
    "run_output": "alice bob admin",
    "recordings": ALL,
    "recording": "alice bob admin",
    "recording_cast": "alice bob admin",
}
# Reading these is itself an act that the record has.
WATCHED = {"recording", "recording_cast"}
ACTS = {
    "request_preview",
    "request_withdraw",
    "approval_decide",
    "grant_end",
    "grant_extend",
    "grant_review",
    "grant_run",
    "hold_decide",
    "hold_remind",
    "hold_withdraw",
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


def address(name: str, *, request, grant, run, recorded, key, token, identity) -> str:
    """The address of a page for these objects."""
    arguments = {
        "request": [request.ref],
        "request_withdraw": [request.ref],
        "approval": [request.ref],
        "approval_decide": [request.ref],
        "grant": [grant.ref],
        "grant_live": [grant.ref],
        "grant_end": [grant.ref],
        "grant_extend": [grant.ref],
        "grant_review": [grant.ref],
        "grant_receipt": [grant.ref],
        "grant_run": [grant.ref],
        "run_output": [grant.ref, run.pk],
        "hold_decide": [grant.ref, run.pk],
        "hold_remind": [grant.ref, run.pk],
        "hold_withdraw": [grant.ref, run.pk],
        "recording": [recorded.pk],
        "recording_cast": [recorded.pk],
        "cluster": ["web"],
        "command_set": ["restart-web"],
        "command_set_try": ["restart-web"],
        "policy": ["web-work"],
        "key_remove": [key.pk],
        "token_revoke": [token.pk],
        "people_switch": [identity.pk],
    }
    return reverse(name, args=arguments.get(name, []))
