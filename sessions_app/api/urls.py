"""URLs of the API."""

from __future__ import annotations

from django.urls import include, path, re_path

from sessions_app.api import converters, docs
from sessions_app.api.views import (
    catalog,
    gateways,
    grants,
    holds,
    identities,
    me,
    proposals,
    recordings,
    requests,
    webhooks,
    workflows,
)
from sessions_app.api.views.history import Difference, History, Permissions
from sessions_app.api.views.nowhere import Nowhere
from sessions_app.api.views.record import Record
from sessions_app.api.views.search import Search

converters.register()

ME = [
    path("", me.Me.as_view()),
    path("/ssh-keys", me.MyKeys.as_view()),
    path("/ssh-keys/<api_id:key_id>", me.MyKey.as_view()),
    path("/tokens", me.MyTokens.as_view()),
    path("/tokens/<api_id:token_id>", me.MyToken.as_view()),
    path("/time-zone", me.MyTimeZone.as_view()),
    path("/password", me.MyPassword.as_view()),
    path("/notices", me.Notices.as_view()),
    path("/notices/<api_id:notice_id>/read", me.NoticeRead.as_view()),
]
COMMAND_SETS = [
    path("", catalog.CommandSets.as_view()),
    path("/<api_name:name>", catalog.OneCommandSet.as_view()),
    path("/<api_name:name>/try", catalog.CommandTry.as_view()),
    path("/<api_name:name>/versions/<api_id:number>", catalog.OneVersion.as_view()),
    path("/<api_name:name>/versions/<api_id:number>/publish", catalog.VersionPublish.as_view()),
]
PROPOSALS = [
    path("", proposals.Proposals.as_view()),
    path("/<api_id:proposal_id>", proposals.OneProposal.as_view()),
    path("/<api_id:proposal_id>/publish", proposals.ProposalPublish.as_view()),
    path("/<api_id:proposal_id>/refuse", proposals.ProposalRefuse.as_view()),
    path("/<api_id:proposal_id>/withdraw", proposals.ProposalWithdraw.as_view()),
]
REQUESTS = [
    path("", requests.Requests.as_view()),
    path("/offers", requests.RequestOffers.as_view()),
    path("/preview", requests.RequestPreview.as_view()),
    path("/<api_request:ref>", requests.OneRequest.as_view()),
    path("/<api_request:ref>/verdicts", requests.RequestVerdicts.as_view()),
    path("/<api_request:ref>/withdraw", requests.RequestWithdraw.as_view()),
]
GRANTS = [
    path("", grants.Grants.as_view()),
    path("/<api_grant:ref>", grants.OneGrant.as_view()),
    path("/<api_grant:ref>/credential", grants.GrantCredential.as_view()),
    path("/<api_grant:ref>/suspend", grants.GrantSuspend.as_view()),
    path("/<api_grant:ref>/release", grants.GrantRelease.as_view()),
    path("/<api_grant:ref>/delegate", grants.GrantDelegate.as_view()),
    path("/<api_grant:ref>/heartbeat", grants.GrantHeartbeat.as_view()),
    path("/<api_grant:ref>/retry", grants.GrantRetry.as_view()),
    path("/<api_grant:ref>/end", grants.GrantEnd.as_view()),
    path("/<api_grant:ref>/extend", grants.GrantExtend.as_view()),
    path("/<api_grant:ref>/receipt", grants.GrantReceipt.as_view()),
    path("/<api_grant:ref>/review", grants.GrantReview.as_view()),
    path("/<api_grant:ref>/runs", grants.GrantRuns.as_view()),
    path("/<api_grant:ref>/sessions", grants.GrantSessions.as_view()),
]
WORKFLOWS = [
    path("", workflows.Workflows.as_view()),
    path("/<api_workflow:ref>", workflows.OneWorkflow.as_view()),
    path("/<api_workflow:ref>/join", workflows.WorkflowJoin.as_view()),
    path("/<api_workflow:ref>/close", workflows.WorkflowClose.as_view()),
]
WEBHOOKS = [
    path("", webhooks.Webhooks.as_view()),
    path("/<api_name:name>", webhooks.OneWebhook.as_view()),
    path("/<api_name:name>/messages", webhooks.WebhookMessages.as_view()),
    path("/<api_name:name>/try", webhooks.WebhookTry.as_view()),
    path("/<api_name:name>/pause", webhooks.WebhookPause.as_view()),
    path("/<api_name:name>/resume", webhooks.WebhookResume.as_view()),
    path("/<api_name:name>/secret", webhooks.WebhookSecret.as_view()),
    path("/<api_name:name>/replay", webhooks.WebhookReplay.as_view()),
]
IDENTITIES = [
    path("", identities.Identities.as_view()),
    path("/<api_user:username>", identities.OneIdentity.as_view()),
    path("/<api_user:username>/disable", identities.IdentityDisable.as_view()),
    path("/<api_user:username>/enable", identities.IdentityEnable.as_view()),
    path("/<api_user:username>/ssh-keys", identities.IdentityKeys.as_view()),
    path("/<api_user:username>/ssh-keys/<api_id:key_id>", identities.IdentityKey.as_view()),
    path("/<api_user:username>/tokens", identities.IdentityTokens.as_view()),
    path("/<api_user:username>/tokens/<api_id:token_id>", identities.IdentityToken.as_view()),
]

urlpatterns = [
    path("v1/me", include(ME)),
    path("v1/clusters", catalog.Clusters.as_view()),
    path("v1/clusters/<api_name:name>", catalog.OneCluster.as_view()),
    path("v1/command-sets", include(COMMAND_SETS)),
    path("v1/policies", catalog.Policies.as_view()),
    path("v1/policies/<api_name:name>", catalog.OnePolicy.as_view()),
    path("v1/catalog/plan", catalog.CatalogPlan.as_view()),
    path("v1/catalog/apply", catalog.CatalogApply.as_view()),
    path("v1/proposals", include(PROPOSALS)),
    path("v1/requests", include(REQUESTS)),
    path("v1/grants", include(GRANTS)),
    path("v1/workflows", include(WORKFLOWS)),
    path("v1/webhooks", include(WEBHOOKS)),
    path("v1/holds", holds.Holds.as_view()),
    path("v1/holds/decision", holds.HoldsDecision.as_view()),
    path("v1/runs", grants.Runs.as_view()),
    path("v1/runs/<api_id:run_id>/decision", holds.RunDecision.as_view()),
    path("v1/runs/<api_id:run_id>/earlier", holds.RunEarlier.as_view()),
    path("v1/runs/<api_id:run_id>/commit", grants.RunCommit.as_view()),
    path("v1/runs/<api_id:run_id>/file", grants.RunFile.as_view()),
    path("v1/runs/<api_id:run_id>/stop", grants.RunStopped.as_view()),
    path("v1/runs/<api_id:run_id>/output", recordings.RunOutput.as_view()),
    path("v1/runs/<api_id:run_id>/recording", recordings.RunRecording.as_view()),
    path("v1/identities", include(IDENTITIES)),
    path("v1/ssh-gateway", gateways.SshGateway.as_view()),
    path("v1/web-gateway", gateways.WebGateway.as_view()),
    path("v1/record", Record.as_view()),
    path("v1/history/<api_name:kind>/<api_user:name>", History.as_view()),
    path("v1/history/<api_name:kind>/<api_user:name>/difference", Difference.as_view()),
    path("v1/permissions", Permissions.as_view()),
    path("v1/search", Search.as_view()),
    path("schema/", docs.schema, name="api_schema"),
    path("docs/", docs.page, name="api_docs"),
    re_path("", Nowhere.as_view()),
]
