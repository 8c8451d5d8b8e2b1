"""Every page there is, with what its address needs; a page that is not listed here fails a test."""

from __future__ import annotations

import inspect

from django.urls import get_resolver, reverse

ALL = "alice bob charlie admin"
# By name: who may see it, by whom it is about (own, approver, everybody), as those who get an answer of 200.
READABLE = {
    "home": ALL,
    "more": ALL,
    "search": ALL,
    "guides": ALL,
    "guide": ALL,
    "pulse": ALL,
    "notices": ALL,
    "requests": ALL,
    "request_new": ALL,
    "request": "alice bob admin",
    "approvals": ALL,
    "approval": "alice bob admin",
    "workflows": ALL,
    "incidents": ALL,
    "incident": "alice bob admin",
    "incident_live": "alice bob admin",
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
    "history": "bob admin",
    "rights": "admin",
    "webhooks": ALL,
    "webhook": "bob admin",
    "webhook_new": "admin",
    "webhook_edit": "admin",
    "sources": ALL,
    "source": "admin",
    "source_new": "admin",
    "source_edit": "admin",
    "welcome": "admin",
    "welcome_step": "admin",
    "trust_policies": ALL,
    "trust_policy_new": "admin",
    "trust_policy_edit": "admin",
    "account": ALL,
    "account_password": ALL,
    "account_confirm": ALL,
    "factors": ALL,
    "totp_add": ALL,
    "passkey_add": ALL,
    "device": ALL,
    "people": ALL,
    "person": "admin",
    "person_new": "admin",
    "who_can": ALL,
    "timeline": ALL,
    "record": ALL,
    "grant_receipt": "alice bob admin",
    "run_output": "alice bob admin",
    "recordings": ALL,
    "recording": "alice bob admin",
    "recording_cast": "alice bob admin",
}
# These say nothing about anybody, so that strangers read them as well.
PUBLIC = {"guides", "guide"}
# Reading these is itself an act that the record has.
WATCHED = {"recording", "recording_cast"}
ACTS = {
    "request_preview",
    "request_withdraw",
    "request_remind",
    "request_comment",
    "bookmark_delete",
    "incident_access",
    "incident_close",
    "workflow_join",
    "approval_decide",
    "grant_end",
    "grant_credential",
    "grant_release",
    "grant_retry",
    "grant_extend",
    "grant_review",
    "grant_run",
    "hold_decide",
    "hold_remind",
    "hold_withdraw",
    "cluster_check",
    "cluster_authority",
    "cluster_remove",
    "command_set_publish",
    "command_set_remove",
    "command_set_try",
    "policy_remove",
    "proposal_publish",
    "proposal_refuse",
    "proposal_withdraw",
    "source_remove",
    "source_rotate",
    "source_read",
    "webhook_remove",
    "webhook_try",
    "webhook_pause",
    "webhook_resume",
    "webhook_rotate",
    "webhook_replay",
    "trust_policy_try",
    "trust_policy_remove",
    "grant_delegate",
    "key_add",
    "key_remove",
    "token_add",
    "token_revoke",
    "account_zone",
    "codes_renew",
    "factor_remove",
    "passkey_add_ask",
    "people_switch",
    "address_confirm",
    "provider_confirm",
    "person_change",
    "person_factors",
    "person_groups",
    "person_end_all",
    "person_unlink",
    "record_verify",
    "question_save",
    "question_delete",
    "notice_read",
    "notices_read",
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
OF_WEBHOOK = (
    "webhook", "webhook_edit", "webhook_remove", "webhook_try", "webhook_pause", "webhook_resume", "webhook_rotate",
    "webhook_replay",
)  # fmt: skip
OF_SOURCE = ("source", "source_edit", "source_remove", "source_rotate", "source_read")
OF_TRUST = ("trust_policy_edit", "trust_policy_try", "trust_policy_remove")
OPEN = {
    "account_login",
    "mfa_authenticate",
    "passkey_ask",
    "passkey_sign_in",
    "account_logout",
    "account_inactive",
    "no_stream",
    "provider_sign_in",
    "provider_answer",
}
ACTS_WITHOUT_AN_OBJECT = {
    "request_preview", "key_add", "token_add", "account_zone", "address_confirm", "question_save", "notices_read",
    "codes_renew", "passkey_add_ask", "provider_confirm",
}  # fmt: skip


def page_names() -> set[str]:
    """The names of all pages of the door."""
    from sessions_app.web.urls import urlpatterns

    assert get_resolver()
    return {pattern.name for pattern in urlpatterns}


def address(
    name: str, *, request, grant, run, recorded, key, token, identity, notice, incident, bookmark
) -> str:
    """The address of a page for these objects."""
    arguments = {
        "request": [request.ref],
        "request_withdraw": [request.ref],
        "request_remind": [request.ref],
        "request_comment": [request.ref],
        "bookmark_delete": [bookmark.pk],
        "incident": [incident.ref],
        "incident_live": [incident.ref],
        "incident_access": [incident.ref],
        "incident_close": [incident.ref],
        "workflow_join": [incident.ref],
        "approval": [request.ref],
        "approval_decide": [request.ref],
        "grant": [grant.ref],
        "grant_live": [grant.ref],
        "grant_end": [grant.ref],
        "grant_credential": [grant.ref],
        "grant_release": [grant.ref],
        "grant_retry": [grant.ref],
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
        **{one: ["web"] for one in OF_CLUSTER},
        **{one: ["restart-web"] for one in OF_COMMAND_SET},
        **{one: ["web-work"] for one in OF_POLICY},
        **{one: ["payments-deploy"] for one in OF_TRUST},
        "grant_delegate": [grant.ref],
        **{one: ["chat"] for one in OF_WEBHOOK},
        **{one: ["desk"] for one in OF_SOURCE},
        "welcome_step": ["policy"],
        "history": ["policy", "web-work"],
        "guide": ["first-ssh-target"],
        "key_remove": [key.pk],
        "token_revoke": [token.pk],
        "people_switch": [identity.pk],
        "person": [identity.username],
        "person_change": [identity.username],
        "person_groups": [identity.username],
        "person_end_all": [identity.username],
        "person_unlink": [identity.username],
        "person_factors": [identity.username],
        **{f"proposal_{act}": [999_999] for act in ("publish", "refuse", "withdraw")},
        "factor_remove": [999_999],
        "question_delete": [999_999],
        "notice_read": [notice.pk],
    }
    return reverse(name, args=arguments.get(name, []))


def open_address(name: str) -> str:
    """The address of a page that needs no sign-in."""
    return reverse(name, args=["first-ssh-target"] if name == "guide" else [])


# Further states of pages, as query strings; {…} is an attribute of the scene in which they are looked at.
STATES = {
    "search": ["q=web", "q=nothing-fits-this"],
    "guides": ["q=host+key", "q=nothing-has-this-word"],
    "requests": ["show=all", "show=all&state=denied", "state=lapsed"],
    "request_new": [
        "kind=break_glass",
        "kind=quick",
        "cluster=checkout-eu&set=restart-web&for=8h",
        "cluster=web&set=restart-web&for=9h&ticket=CHG-1",
    ],
    "workflows": ["kind=change&state=all", "kind=pipeline"],
    "grants": ["show=all", "show=now"],
    "grant": ["show=refused", "open={opened}"],
    "command_set": ["version=1"],
    "device": ["user_code=bcdf-ghjk"],
    "cluster_new": ["kind=http"],
    "command_set_new": ["start=http-ticket"],
    "history": ["from=0&to=1"],
    "rights": ["q=web", "day=2020-01-01&hour=12:00", "day=2020-01-01"],
    "people": ["q=nobody-has-this-name", "state=unused", "state=password"],
    "record": ["event=grant", "actor=nobody", "cluster=web&since=2020-01-01&text=nginx"],
    "timeline": ["zoom=week", "by=person", "by=machine&view=table", "view=table"],
    "who_can": ["cluster=web&line=echo+restart+nginx", "cluster=web&set=restart-web", "cluster=web&line=id"],
}

# Further objects of pages, by their whole address.
OTHERS = {
    "cluster": ["/clusters/orders/", "/clusters/desk/"],
    "cluster_edit": ["/clusters/desk/edit/"],
    "command_set": ["/command-sets/agent-ticket/"],
    "guide": ["/docs/concepts/"],
    "command_set_edit": ["/command-sets/agent-ticket/edit/"],
    "request_new": ["/requests/new/?cluster=desk&set=agent-ticket"],
}

# Who shows most of a page, where that is not alice.
READERS = {"approval": "bob", "approvals": "bob", "people": "admin", "who_can": "bob"}


def reader(name: str) -> str:
    """Who shows most of a page."""
    who = READABLE[name].split()
    return READERS.get(name, "alice" if "alice" in who else who[0])


def addresses(scene, who: str) -> dict[str, list[str]]:
    """By name of the page, for the pages that somebody may see: its address in a scene, and its further states, with one
    object of each state that they may see.
    """
    wanted = inspect.signature(address).parameters
    things = {name: getattr(scene, name) for name in wanted if name != "name"}
    found = {}
    for name, readers in READABLE.items():
        if who not in readers.split():
            continue
        own = [address(name, **things)]
        own += [address(name, **{**things, kind: other}) for kind, other in scene.others(name, who)]
        own += OTHERS.get(name, [])
        own += [f"{own[0]}?{query.format(opened=scene.opened.pk)}" for query in STATES.get(name, [])]
        found[name] = list(dict.fromkeys(own))
    return found


def asking(scene, who: str) -> list[str]:
    """Pages that ask somebody for what they do not ask of who shows most of them."""
    return [reverse("grant", args=[scene.to_review.ref])] if who == "bob" else []


def walk(scene, who: str) -> dict[str, list[str]]:
    """As ``addresses``, for walks of several people: everybody sees each of their pages, and its further states and objects
    are seen by who shows most of it.
    """
    return {name: urls if reader(name) == who else urls[:1] for name, urls in addresses(scene, who).items()}
