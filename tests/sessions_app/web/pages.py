"""Every page there is, with what its address needs; a page that is not listed here fails a test."""

import inspect

from django.urls import get_resolver, reverse

ALL = "alice bob charlie admin"
# By who may see them, as those who get an answer of 200: the names of the pages.
_READERS = {
    ALL: (
        """
        palette
        insight
        permissions
        home more search guides guide reference pulse notices requests request_new approvals workflows
        incidents grants clusters
        command_sets policies webhooks sources trust_policies account account_password account_confirm factors
        totp_add
        passkey_add device people who_can timeline record recordings status"""
    ),
    "alice bob admin": (
        """
        request approval incident incident_live grant grant_live cluster command_set policy grant_receipt
        run_output run_watch
        recording recording_cast"""
    ),
    "alice": "grant_transfer",
    "bob admin": "policy_simulate history webhook",
    "admin": (
        """
        completions
        cluster_new cluster_edit cluster_checks command_set_new command_set_edit policy_new policy_edit
        webhook_new
        webhook_edit source source_new source_edit welcome welcome_step trust_policy_new trust_policy_edit
        person person_new"""
    ),
}
READABLE = {name: who for who, names in _READERS.items() for name in names.split()}
# These say nothing about anybody, so that strangers read them as well.
PUBLIC = {"guides", "guide", "reference"}
# Reading these is itself an act that the record has.
WATCHED = {"recording", "recording_cast"}
OPEN = {
    "account_login",
    "mfa_authenticate",
    "passkey_ask",
    "passkey_sign_in",
    "account_logout",
    "account_inactive",
    "no_stream",
    "no_terminal",
    "provider_sign_in",
    "provider_answer",
}
ACTS_WITHOUT_AN_OBJECT = {
    "request_preview",
    "key_add",
    "token_add",
    "account_zone",
    "address_confirm",
    "question_save",
    "notices_read",
    "holds_decide",
    "codes_renew",
    "passkey_add_ask",
    "provider_confirm",
}
_ACTS_ON_AN_OBJECT = """
    request_withdraw request_remind request_comment bookmark_delete incident_access incident_close
    workflow_join
    approval_decide grant_end grant_suspend grant_credential grant_release grant_retry grant_extend
    grant_review grant_run grant_file grant_upload file_take
    grant_delegate
    approval_undo
    hold_decide hold_remind hold_withdraw
    run_stop cluster_check cluster_authority cluster_remove command_set_publish
    command_set_remove command_set_try policy_remove proposal_publish proposal_refuse proposal_withdraw
    source_remove
    source_rotate source_read webhook_remove webhook_try webhook_pause webhook_resume webhook_rotate
    webhook_replay
    trust_policy_try trust_policy_remove key_remove token_revoke factor_remove people_switch person_change
    person_factors
    person_groups person_end_all person_unlink record_verify question_delete notice_read"""
ACTS = {*ACTS_WITHOUT_AN_OBJECT, *_ACTS_ON_AN_OBJECT.split()}


def page_names() -> set[str]:
    """The names of all pages of the entry point."""
    from sessions_app.web.urls import urlpatterns

    assert get_resolver()
    return {pattern.name for pattern in urlpatterns}


def address(
    name: str, *, request, grant, run, recorded, key, token, identity, notice, incident, bookmark, transfer
) -> str:
    """The address of a page for these objects."""
    needed = {
        "request request_withdraw request_remind request_comment approval approval_decide approval_undo": [
            request.ref
        ],
        "bookmark_delete": [bookmark.pk],
        "incident incident_live incident_access incident_close workflow_join": [incident.ref],
        (
            "grant grant_live grant_end grant_suspend grant_credential grant_release grant_retry "
            "grant_extend grant_review grant_receipt grant_run grant_delegate grant_file grant_upload"
        ): [grant.ref],
        "run_output run_watch run_stop hold_decide hold_remind hold_withdraw": [grant.ref, run.pk],
        "grant_transfer file_take": [transfer.grant.ref, transfer.pk],
        "recording recording_cast": [recorded.pk],
        "cluster cluster_edit cluster_checks cluster_check cluster_authority cluster_remove": ["web"],
        "command_set command_set_edit command_set_publish command_set_remove command_set_try": [
            "restart-web"
        ],
        "policy policy_edit policy_simulate policy_remove": ["web-work"],
        "trust_policy_edit trust_policy_try trust_policy_remove": ["payments-deploy"],
        (
            "webhook webhook_edit webhook_remove webhook_try webhook_pause webhook_resume webhook_rotate "
            "webhook_replay"
        ): ["chat"],
        "source source_edit source_remove source_rotate source_read": ["desk"],
        "welcome_step": ["policy"],
        "completions": ["policies"],
        "history": ["policy", "web-work"],
        "guide": ["first-ssh-target"],
        "reference": ["settings"],
        "key_remove": [key.pk],
        "token_revoke": [token.pk],
        "people_switch": [identity.pk],
        "person person_change person_groups person_end_all person_unlink person_factors": [identity.username],
        "proposal_publish proposal_refuse proposal_withdraw factor_remove question_delete": [999_999],
        "notice_read": [notice.pk],
    }
    return reverse(name, args=next((found for names, found in needed.items() if name in names.split()), []))


def open_address(name: str) -> str:
    """The address of a page that needs no sign-in."""
    return reverse(name, args={"guide": ["first-ssh-target"], "reference": ["settings"]}.get(name, []))


# Further states of pages, as query strings; {…} is an attribute of the scene in which they are looked at.
STATES = {
    "search": ["q=web", "q=nothing-fits-this"],
    "palette": ["q=web", "q=nothing-fits-this"],
    "guides": ["q=host+key", "q=nothing-has-this-word"],
    "requests": [
        "show=all",
        "show=all&decided=1&outcome=denied&since=2020-01-01&until=2099-01-01&cluster=web",
        "show=all&state=denied",
        "state=lapsed",
    ],
    "request_new": [
        "kind=break_glass",
        "kind=quick",
        "cluster=checkout-eu&set=restart-web&for=8h",
        "cluster=web&set=restart-web&for=9h&ticket=CHG-1",
    ],
    "workflows": ["kind=change&state=all", "kind=pipeline"],
    "grants": [
        "show=all",
        "show=now",
        "show=all&q=alice",
        "q=nothing",
        "show=all&ended=1&revoked=1&late=1&since=2020-01-01&until=2099-01-01",
        "show=all&unused=1&risk=medium&review=done&overdue=1&break_glass=1",
    ],
    "grant": ["show=refused", "open={opened}"],
    "command_set": ["version=1"],
    "device": ["user_code=bcdf-ghjk"],
    "cluster_new": ["kind=http"],
    "command_set_new": ["start=http-ticket"],
    "history": ["from=0&to=1"],
    "permissions": [
        "q=web&rows=groups",
        "cluster=web&permission=all",
        "since_day=2020-01-01&since_hour=12:00",
        "day=2020-01-01&hour=12:00",
        "day=2020-01-01",
    ],
    "people": ["q=nobody-has-this-name", "state=unused", "state=password"],
    "record": ["event=grant", "actor=nobody", "cluster=web&since=2020-01-01&text=nginx"],
    "insight": ["days=7", "days=90"],
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
    """By name of the page, for the pages that somebody may see: its address in a scene, and its further
    states, with one object of each state that they may see.
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
    """As ``addresses``, for walks of several people: everybody sees each of their pages, and its further
    states and objects are seen by who shows most of it.
    """
    return {name: urls if reader(name) == who else urls[:1] for name, urls in addresses(scene, who).items()}
