"""The addresses of all pages."""

from allauth.account.views import LogoutView
from django.urls import URLPattern, path, register_converter
from django.urls.converters import StringConverter
from django.views.generic import TemplateView

from accounts.middleware import before_own_password, before_second_factor
from accounts.names import USERNAME
from sessions_app.policy import references
from sessions_app.web.catalog import (
    clusters,
    command_sets,
    completions,
    history,
    policies,
    proposals,
    trust,
    webhooks,
)
from sessions_app.web.docs import guides
from sessions_app.web.grants import files, grants, holds, runs
from sessions_app.web.home import home, palette, welcome
from sessions_app.web.identities import account, device, factors, people, permissions, provider, sign_in
from sessions_app.web.layout import live
from sessions_app.web.notifications import notices
from sessions_app.web.record import insight, record, recordings, status, timeline
from sessions_app.web.requests import approvals, requests
from sessions_app.web.workflows import incidents, sources, workflows


class RequestRef(StringConverter):
    """Matches `REQ-1042`."""

    regex = references.REQUEST


class GrantRef(StringConverter):
    """Matches `GR-7F3K`."""

    regex = references.GRANT


class Username(StringConverter):
    """Matches `alice` and `deploy@ci`."""

    regex = USERNAME


class IncidentRef(StringConverter):
    """Matches `INC-101`."""

    regex = references.INCIDENT


class WorkflowRef(StringConverter):
    """Matches `CHG-7` and `pagerduty:Q1ABC`."""

    regex = references.WORKFLOW


register_converter(WorkflowRef, "workflow")
register_converter(IncidentRef, "inc")
register_converter(RequestRef, "req")
register_converter(Username, "username")
register_converter(GrantRef, "gr")

urlpatterns: list[URLPattern] = [
    path("", home.home, name="home"),
    path("more/", home.more, name="more"),
    path("search/", record.find, name="search"),
    path("search/palette/", palette.palette, name="palette"),
    path("docs/", guides.index, name="guides"),
    path("docs/reference/<slug:name>/", guides.reference, name="reference"),
    path("docs/<slug:name>/", guides.detail, name="guide"),
    path("pulse/", live.pulse, name="pulse"),
    path("streams/changes", live.no_stream, name="no_stream"),
    path("streams/terminal", live.no_stream, name="no_terminal"),
    path("status/", status.index, name="status"),
    path("insight/", insight.index, name="insight"),
    path("notices/", notices.index, name="notices"),
    path("notices/read/", notices.read_all, name="notices_read"),
    path("notices/<int:notice>/read/", notices.read, name="notice_read"),
    # Only these pages of allauth exist. allauth looks them up by their names.
    path("sign-in/", provider.SignIn.as_view(), name="account_login"),
    path("sign-in/provider/", provider.begin, name="provider_sign_in"),
    path("sign-in/provider/answer/", provider.answer, name="provider_answer"),
    path(
        "sign-in/disabled/",
        TemplateView.as_view(template_name="identities/disabled.html"),
        name="account_inactive",
    ),
    path("sign-in/passkey/", sign_in.passkey, name="passkey_sign_in"),
    path("sign-in/passkey/ask/", sign_in.passkey_ask, name="passkey_ask"),
    path("sign-in/second-step/", sign_in.second_step, name="mfa_authenticate"),
    path(
        "sign-out/",
        before_own_password(
            before_second_factor(LogoutView.as_view(template_name="identities/sign_out.html"))
        ),
        name="account_logout",
    ),
    path("device/", device.device, name="device"),
    path("requests/", requests.index, name="requests"),
    path("requests/new/", requests.new, name="request_new"),
    path("requests/preview/", requests.preview, name="request_preview"),
    path("requests/saved/<int:bookmark>/delete/", requests.delete_saved, name="bookmark_delete"),
    path("requests/<req:ref>/", requests.detail, name="request"),
    path("requests/<req:ref>/withdraw/", requests.withdraw, name="request_withdraw"),
    path("requests/<req:ref>/remind/", requests.remind, name="request_remind"),
    path("requests/<req:ref>/comment/", requests.comment, name="request_comment"),
    # If two patterns have the same name, links use the last one that matches, so links to incidents begin
    # with `incidents/`.
    path("workflows/<workflow:ref>/", incidents.detail, name="incident"),
    path("workflows/", workflows.index, name="workflows"),
    path("workflows/<workflow:ref>/join/", workflows.join, name="workflow_join"),
    path("workflows/<workflow:ref>/live/", incidents.live, name="incident_live"),
    path("workflows/<workflow:ref>/access/", incidents.access, name="incident_access"),
    path("workflows/<workflow:ref>/close/", incidents.close, name="incident_close"),
    path("incidents/", incidents.index, name="incidents"),
    path("incidents/<inc:ref>/", incidents.detail, name="incident"),
    path("incidents/<inc:ref>/live/", incidents.live, name="incident_live"),
    path("incidents/<inc:ref>/access/", incidents.access, name="incident_access"),
    path("incidents/<inc:ref>/close/", incidents.close, name="incident_close"),
    path("approvals/", approvals.index, name="approvals"),
    path("approvals/holds/decide/", holds.decide_together, name="holds_decide"),
    path("approvals/<req:ref>/", approvals.detail, name="approval"),
    path("approvals/<req:ref>/decide/", approvals.decide, name="approval_decide"),
    path("approvals/<req:ref>/undo/", approvals.undo, name="approval_undo"),
    path("grants/", grants.index, name="grants"),
    path("grants/<gr:ref>/", grants.detail, name="grant"),
    path("grants/<gr:ref>/live/", grants.live, name="grant_live"),
    path("grants/<gr:ref>/credential/", grants.credential, name="grant_credential"),
    path("grants/<gr:ref>/suspend/", grants.suspend, name="grant_suspend"),
    path("grants/<gr:ref>/release/", grants.release, name="grant_release"),
    path("grants/<gr:ref>/retry/", grants.retry, name="grant_retry"),
    path("grants/<gr:ref>/end/", grants.end, name="grant_end"),
    path("grants/<gr:ref>/extend/", grants.extend, name="grant_extend"),
    path("grants/<gr:ref>/delegate/", grants.delegate, name="grant_delegate"),
    path("grants/<gr:ref>/review/", grants.review, name="grant_review"),
    path("grants/<gr:ref>/run/", grants.run, name="grant_run"),
    path("grants/<gr:ref>/files/", files.transfer, name="grant_file"),
    path("grants/<gr:ref>/upload/", files.upload, name="grant_upload"),
    path("grants/<gr:ref>/files/<int:order>/", files.detail, name="grant_transfer"),
    path("grants/<gr:ref>/files/<int:order>/take/", files.take, name="file_take"),
    path("grants/<gr:ref>/receipt.json", grants.receipt_file, name="grant_receipt"),
    path("grants/<gr:ref>/runs/<int:run>/watch/", runs.watch, name="run_watch"),
    path("grants/<gr:ref>/runs/<int:run>/stop/", runs.stop, name="run_stop"),
    path("grants/<gr:ref>/runs/<int:run>/output/", runs.output, name="run_output"),
    path("grants/<gr:ref>/runs/<int:run>/decide/", runs.decide, name="hold_decide"),
    path("grants/<gr:ref>/runs/<int:run>/remind/", runs.remind, name="hold_remind"),
    path("grants/<gr:ref>/runs/<int:run>/withdraw/", runs.withdraw, name="hold_withdraw"),
    path("recordings/", recordings.index, name="recordings"),
    path("recordings/<int:run>/", recordings.detail, name="recording"),
    path("recordings/<int:run>/recording.cast", recordings.cast, name="recording_cast"),
    path("clusters/", clusters.index, name="clusters"),
    path("new/cluster/", clusters.new, name="cluster_new"),
    path("clusters/<slug:name>/", clusters.detail, name="cluster"),
    path("clusters/<slug:name>/checks/", clusters.checks, name="cluster_checks"),
    path("clusters/<slug:name>/check/", clusters.check, name="cluster_check"),
    path("clusters/<slug:name>/authority/", clusters.authority, name="cluster_authority"),
    path("clusters/<slug:name>/edit/", clusters.edit, name="cluster_edit"),
    path("clusters/<slug:name>/remove/", clusters.remove, name="cluster_remove"),
    path("command-sets/", command_sets.index, name="command_sets"),
    path("command-sets/<slug:name>/", command_sets.detail, name="command_set"),
    path("new/command-set/", command_sets.new, name="command_set_new"),
    path("command-sets/<slug:name>/edit/", command_sets.edit, name="command_set_edit"),
    path("command-sets/<slug:name>/publish/", command_sets.publish, name="command_set_publish"),
    path("command-sets/<slug:name>/remove/", command_sets.remove, name="command_set_remove"),
    path("command-sets/<slug:name>/try/", command_sets.try_command, name="command_set_try"),
    path("policies/", policies.index, name="policies"),
    path("new/policy/", policies.new, name="policy_new"),
    path("policies/<slug:name>/simulate/", policies.simulate, name="policy_simulate"),
    path("policies/<slug:name>/edit/", policies.edit, name="policy_edit"),
    path("policies/<slug:name>/remove/", policies.remove, name="policy_remove"),
    path("policies/<slug:name>/", policies.detail, name="policy"),
    path("completions/<slug:kind>/", completions.completions, name="completions"),
    path("history/<slug:type_>/<str:name>/", history.history, name="history"),
    path("proposals/<int:proposal>/publish/", proposals.publish, name="proposal_publish"),
    path("proposals/<int:proposal>/refuse/", proposals.refuse, name="proposal_refuse"),
    path("proposals/<int:proposal>/withdraw/", proposals.withdraw, name="proposal_withdraw"),
    path("permissions/", permissions.index, name="permissions"),
    path("webhooks/", webhooks.index, name="webhooks"),
    path("new/webhook/", webhooks.new, name="webhook_new"),
    path("webhooks/<slug:name>/", webhooks.detail, name="webhook"),
    path("webhooks/<slug:name>/edit/", webhooks.edit, name="webhook_edit"),
    path("webhooks/<slug:name>/remove/", webhooks.remove, name="webhook_remove"),
    path("webhooks/<slug:name>/try/", webhooks.try_it, name="webhook_try"),
    path("webhooks/<slug:name>/pause/", webhooks.pause, name="webhook_pause"),
    path("webhooks/<slug:name>/resume/", webhooks.resume, name="webhook_resume"),
    path("webhooks/<slug:name>/secret/", webhooks.rotate, name="webhook_rotate"),
    path("webhooks/<slug:name>/replay/", webhooks.replay, name="webhook_replay"),
    path("sources/", sources.index, name="sources"),
    path("new/source/", sources.new, name="source_new"),
    path("sources/<slug:name>/", sources.detail, name="source"),
    path("sources/<slug:name>/edit/", sources.edit, name="source_edit"),
    path("sources/<slug:name>/remove/", sources.remove, name="source_remove"),
    path("sources/<slug:name>/rotate/", sources.rotate, name="source_rotate"),
    path("sources/<slug:name>/read/", sources.read, name="source_read"),
    path("welcome/", welcome.welcome, name="welcome"),
    path("welcome/<slug:step>/", welcome.welcome, name="welcome_step"),
    path("trust-policies/", trust.index, name="trust_policies"),
    path("new/trust-policy/", trust.new, name="trust_policy_new"),
    path("trust-policies/<slug:name>/", trust.edit, name="trust_policy_edit"),
    path("trust-policies/<slug:name>/try/", trust.try_token, name="trust_policy_try"),
    path("trust-policies/<slug:name>/remove/", trust.remove, name="trust_policy_remove"),
    path("account/", account.account, name="account"),
    path("account/keys/", account.key_add, name="key_add"),
    path("account/keys/<int:key>/remove/", account.key_remove, name="key_remove"),
    path("account/tokens/", account.token_add, name="token_add"),
    path("account/tokens/<int:token>/revoke/", account.token_revoke, name="token_revoke"),
    path("account/address/", account.confirm_address, name="address_confirm"),
    path("account/time-zone/", account.zone, name="account_zone"),
    path("account/password/", account.password, name="account_password"),
    path("account/factors/", factors.index, name="factors"),
    path("account/factors/app/", factors.add_app, name="totp_add"),
    path("account/factors/passkey/", factors.add_a_passkey, name="passkey_add"),
    path("account/factors/passkey/ask/", factors.ask_for_passkey, name="passkey_add_ask"),
    path("account/factors/codes/", factors.renew, name="codes_renew"),
    path("account/factors/<int:factor>/remove/", factors.remove, name="factor_remove"),
    path("account/confirm/", factors.confirm, name="account_confirm"),
    path("account/confirm/provider/", provider.confirm, name="provider_confirm"),
    path("people/", people.people, name="people"),
    path("new/identity/", people.new, name="person_new"),
    path("people/<int:identity>/switch/", people.switch, name="people_switch"),
    path("people/<username:username>/", people.person, name="person"),
    path("people/<username:username>/change/", people.change, name="person_change"),
    path("people/<username:username>/groups/", people.change_groups, name="person_groups"),
    path("people/<username:username>/unlink/", people.unlink, name="person_unlink"),
    path("people/<username:username>/factors/", people.reset, name="person_factors"),
    path("people/<username:username>/end/", people.end_all, name="person_end_all"),
    path("who-can/", people.can, name="who_can"),
    path("timeline/", timeline.index, name="timeline"),
    path("record/", record.record, name="record"),
    path("record/verify/", record.verify, name="record_verify"),
    path("record/questions/", record.save, name="question_save"),
    path("record/questions/<int:bookmark>/delete/", record.delete_question, name="question_delete"),
]
