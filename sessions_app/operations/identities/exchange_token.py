"""Exchange a token that an external issuer gave a machine for an API token of Stint (RFC 8693)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction

from accounts.locks import lock_active
from accounts.models import APIToken, Identity
from accounts.operations.create_token import create_token
from broker.audit.actor import Actor
from broker.audit.attempts import record_attempt
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import InvalidInput
from broker.kernel.networks import source_of
from broker.kernel.text import is_storable
from sessions_app.issuers.tokens import NoToken, Unproven, read_unproven
from sessions_app.models import TrustPolicy
from sessions_app.operations.grants.use_proof import use_proof
from sessions_app.operations.identities.prove_token import prove_token
from sessions_app.policy.trust import AHEAD, OLDEST, TrustPolicyDocument, text_of, workflow_key
from sessions_app.queries.requests import facts

EXCHANGE = Actor.system("exchange")
_LONGEST = 200
# These claims identify the run. The record does not need other claims, such as people's names.
_KEPT = (
    "repository_id",
    "repository_owner_id",
    "run_id",
    "run_attempt",
    "check_run_id",
    "project_id",
    "pipeline_id",
    "job_id",
    "environment",
    "ref",
    "sha",
)


class TokenNotAccepted(InvalidInput):
    """The token was not accepted. The reason is in the record, where administrators can read it."""

    code = "invalid_request"


class ScopeNotGiven(InvalidInput):
    """The trust policy does not allow the requested scope. Request another scope, or change the policy."""

    code = "invalid_scope"


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The result of an exchange: the token, its text (shown only once), and the trust policy that accepted
    it.
    """

    token: APIToken
    text: str
    policy: TrustPolicy

    def __repr__(self) -> str:
        return f"<a token of {self.token.identity} by {self.policy}>"


def exchange_token(
    *, subject_token: str, scopes: Iterable[str] = (), audience: str = "", address: str, now: dt.datetime
) -> Exchanged:
    """Issue a token to the machine that a trust policy names, bound to the run that the issuer's token is
    for.

    The token is checked against the issuer's trust policies in order of name, and the first policy whose
    conditions are all met applies; ``audience`` selects a specific policy. Each jti is accepted once. Every
    refusal has the same response; the record has the reason. Raises TokenNotAccepted, ScopeNotGiven.
    """
    try:
        unproven = read_unproven(subject_token)
    except NoToken as error:
        raise _refused("none", [str(error)], address, now) from error
    policies = list(_policies(unproven))
    if audience:
        policies = [policy for policy in policies if policy.name == audience]
    unmet: list[str] = []
    for policy in policies:
        try:
            document = facts.trust_document(policy)
        except facts.Unreadable:
            # A policy that can't be read accepts no token, but must not keep other policies from accepting
            # it.
            unmet.append(f"{policy.name}: can't be read")
            continue
        missing = [
            one.name for one in prove_token(document=document, token=subject_token, now=now) if not one.met
        ]
        if not missing:
            return _given(policy, document, unproven, set(scopes), address, now)
        unmet += [f"{policy.name}: {name}" for name in missing]
    raise _refused(policies[0].name if policies else "none", unmet or ["no trust policy"], address, now)


def _policies(unproven: Unproven) -> Iterable[TrustPolicy]:
    issuer = unproven.claims.get("iss")
    if not isinstance(issuer, str) or not is_storable(issuer):
        return ()
    return TrustPolicy.objects.live().filter(issuer=issuer).select_related("identity__owner").order_by("name")


def _given(
    policy: TrustPolicy,
    document: TrustPolicyDocument,
    unproven: Unproven,
    scopes: set[str],
    address: str,
    now: dt.datetime,
) -> Exchanged:
    if not scopes <= set(document.scopes):
        raise ScopeNotGiven(
            "This scope is not available.", hint=f"Request one or more of: {' '.join(document.scopes)}."
        )
    workflow = workflow_key(document, unproven.claims) or ""
    with transaction.atomic():
        # Locked, so that a machine that was disabled in the meantime gets no token.
        machine = lock_active(policy.identity_id).get(policy.identity_id)
        why = (
            "" if machine is not None and not machine.is_person else f"{policy.name}: the machine is disabled"
        )
        # The policy is also locked, because a change to it revokes only tokens that were already issued.
        same = TrustPolicy.objects.live().filter(pk=policy.pk, version=policy.version)
        if not why and not same.select_for_update(no_key=True).exists():
            why = f"{policy.name}: changed in the meantime"
        if not why and not _first_use(document, unproven, now):
            why = f"{policy.name}: already used"
        if machine is not None and not why:
            return _issue(
                policy, document, unproven, machine, sorted(scopes or set(document.scopes)), workflow, now
            )
    raise _refused(policy.name, [why], address, now)


def _first_use(document: TrustPolicyDocument, unproven: Unproven, now: dt.datetime) -> bool:
    # After this time, the token is too old for every trust policy of the issuer.
    kept = OLDEST + 2 * AHEAD
    return use_proof(jkt=document.issuer, jti=str(unproven.claims["jti"]), expires_at=now + kept, now=now)


def _issue(
    policy: TrustPolicy,
    document: TrustPolicyDocument,
    unproven: Unproven,
    machine: Identity,
    scopes: list[str],
    workflow: str,
    now: dt.datetime,
) -> Exchanged:
    TrustPolicy.objects.filter(pk=policy.pk).update(used_at=now)
    token, text = create_token(
        identity_id=machine.pk,
        label=f"{policy.name} {workflow}"[:100],
        scopes=scopes,
        workflow=workflow,
        lifetime=dt.timedelta(seconds=document.lifetime),
        actor=machine,
        now=now,
    )
    known = {name: text_of(unproven.claims.get(name)) for name in _KEPT}
    record(
        event=Event.IDENTITY_TOKEN_EXCHANGED,
        actor=EXCHANGE,
        object_type="identity",
        object_ref=machine.username,
        now=now,
        data={
            "trust_policy": policy.name,
            "issuer": document.issuer,
            "workflow": workflow,
            "token_id": token.pk,
            "claims": {name: value[:_LONGEST] for name, value in known.items() if value},
        },
    )
    return Exchanged(token, text, policy)


def _refused(policy: str, unmet: list[str], address: str, now: dt.datetime) -> TokenNotAccepted:
    record_attempt(
        event=Event.IDENTITY_TOKEN_REFUSED,
        actor=EXCHANGE,
        object_type="trust_policy",
        object_ref=policy,
        now=now,
        data={"unmet": [one[:_LONGEST] for one in unmet[:50]], "from": address},
        source=source_of(address),
    )
    return TokenNotAccepted(
        "The token was not accepted.", hint="An administrator can find the reason in the record."
    )
