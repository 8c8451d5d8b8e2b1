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
    "cluster_new": "admin",
    "cluster_edit": "admin",
    "cluster_checks": "admin",
    "command_sets": ALL,
    "command_set_new": "admin",
    "command_set_edit": "admin",
    "command_set": "alice bob admin",
    "policies": ALL,
    "policy": "alice bob admin",
    "policy_new": "admin",
    "policy_edit": "admin",
    "policy_simulate": "bob admin",
    "welcome": "admin",
    "welcome_step": "admin",
    "account": ALL,
    "people": "admin",
    "record": ALL,
}
ACTS = {
    "request_preview",
    "request_withdraw",
    "approval_decide",
    "grant_end",
    "grant_extend",
    "grant_review",
    "hold_decide",
    "cluster_check",
    "cluster_authority",
    "cluster_remove",
    "command_set_publish",
    "command_set_remove",
    "command_set_try",
    "policy_remove",
    "key_add",
    "key_remove",
    "token_add",
    "token_revoke",
    "account_zone",
    "people_switch",
}
OF_CLUSTER = (
    "cluster",
    "cluster_edit",
    "cluster_checks",
    "cluster_check",
    "cluster_authority",
    "cluster_remove",
)
OF_COMMAND_SET = (
    "command_set", "command_set_edit", "command_set_publish", "command_set_remove", "command_set_try",
)  # fmt: skip
OF_POLICY = ("policy", "policy_edit", "policy_simulate", "policy_remove")
OPEN = {"account_login", "account_logout", "account_inactive"}
ACTS_WITHOUT_AN_OBJECT = {"request_preview", "key_add", "token_add", "account_zone"}


def page_names() -> set[str]:
    """The names of all pages of the door."""
    from sessions_app.web.urls import urlpatterns

    assert get_resolver()
    return {pattern.name for pattern in urlpatterns}


def address(name: str, *, request, grant, run, key, token, identity) -> str:
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
        "hold_decide": [grant.ref, run.pk],
        **{one: ["web"] for one in OF_CLUSTER},
        **{one: ["restart-web"] for one in OF_COMMAND_SET},
        **{one: ["web-work"] for one in OF_POLICY},
        "welcome_step": ["policy"],
        "key_remove": [key.pk],
        "token_revoke": [token.pk],
        "people_switch": [identity.pk],
    }
    return reverse(name, args=arguments.get(name, []))
