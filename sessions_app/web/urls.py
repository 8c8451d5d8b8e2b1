"""Pages."""

from allauth.account.views import LoginView, LogoutView
from django.urls import URLPattern, path, register_converter
from django.urls.converters import StringConverter
from django.views.generic import TemplateView

from sessions_app.web.views import account, approvals, catalogue, grants, home, incidents, record, requests


class RequestRef(StringConverter):
    """`REQ-1042`."""

    regex = "REQ-[0-9]{1,9}"


class GrantRef(StringConverter):
    """`GR-7F3K`."""

    regex = "GR-[0-9A-Z]{4,12}"


class IncidentRef(StringConverter):
    """`INC-101`."""

    regex = "INC-[0-9]{1,9}"


register_converter(IncidentRef, "inc")
register_converter(RequestRef, "req")
register_converter(GrantRef, "gr")

urlpatterns: list[URLPattern] = [
    path("", home.home, name="home"),
    path("more/", home.more, name="more"),
    path("search/", record.find, name="search"),
    # Of allauth's pages these alone; its names are those that it looks for.
    path("sign-in/", LoginView.as_view(template_name="accounts/sign_in.html"), name="account_login"),
    path(
        "sign-in/disabled/",
        TemplateView.as_view(template_name="accounts/disabled.html"),
        name="account_inactive",
    ),
    path("sign-out/", LogoutView.as_view(template_name="accounts/sign_out.html"), name="account_logout"),
    path("requests/", requests.index, name="requests"),
    path("requests/new/", requests.new, name="request_new"),
    path("requests/preview/", requests.preview, name="request_preview"),
    path("requests/saved/<int:bookmark>/delete/", requests.forget, name="request_forget"),
    path("requests/<req:ref>/", requests.detail, name="request"),
    path("requests/<req:ref>/withdraw/", requests.withdraw, name="request_withdraw"),
    path("requests/<req:ref>/remind/", requests.remind, name="request_remind"),
    path("requests/<req:ref>/comment/", requests.comment, name="request_comment"),
    path("incidents/", incidents.index, name="incidents"),
    path("incidents/<inc:ref>/", incidents.detail, name="incident"),
    path("incidents/<inc:ref>/live/", incidents.live, name="incident_live"),
    path("incidents/<inc:ref>/access/", incidents.access, name="incident_access"),
    path("incidents/<inc:ref>/close/", incidents.close, name="incident_close"),
    path("approvals/", approvals.index, name="approvals"),
    path("approvals/<req:ref>/", approvals.detail, name="approval"),
    path("approvals/<req:ref>/decide/", approvals.decide, name="approval_decide"),
    path("grants/", grants.index, name="grants"),
    path("grants/<gr:ref>/", grants.detail, name="grant"),
    path("grants/<gr:ref>/live/", grants.live, name="grant_live"),
    path("grants/<gr:ref>/end/", grants.end, name="grant_end"),
    path("grants/<gr:ref>/extend/", grants.extend, name="grant_extend"),
    path("grants/<gr:ref>/review/", grants.review, name="grant_review"),
    path("grants/<gr:ref>/runs/<int:run>/decide/", grants.hold, name="hold_decide"),
    path("clusters/", catalogue.clusters, name="clusters"),
    path("clusters/<slug:name>/", catalogue.cluster, name="cluster"),
    path("command-sets/", catalogue.command_sets, name="command_sets"),
    path("command-sets/<slug:name>/", catalogue.command_set, name="command_set"),
    path("command-sets/<slug:name>/try/", catalogue.try_command, name="command_set_try"),
    path("policies/", catalogue.policies, name="policies"),
    path("policies/<slug:name>/", catalogue.policy, name="policy"),
    path("account/", account.account, name="account"),
    path("account/keys/", account.key_add, name="key_add"),
    path("account/keys/<int:key>/remove/", account.key_remove, name="key_remove"),
    path("account/tokens/", account.token_add, name="token_add"),
    path("account/tokens/<int:token>/revoke/", account.token_revoke, name="token_revoke"),
    path("account/time-zone/", account.zone, name="account_zone"),
    path("people/", account.people, name="people"),
    path("people/<int:identity>/switch/", account.switch, name="people_switch"),
    path("record/", record.record, name="record"),
]
