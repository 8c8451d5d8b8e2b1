"""AuthZEN: decisions for enforcement points that support the standard, which can include the request body.

The subject is the grant's token, ``{"type": "grant_token", "id": "sgt_…"}``. The action's name is the method.
Its property ``body`` is the JSON body if the enforcement point has it, and ``accept`` is the request's
header. The resource's id is the request target, and its property ``target`` names the cluster's target. The
enforcement point authenticates with the proxy key as its bearer token.

Source: OpenID AuthZEN Authorization API 1.0 (final). Denials have the form of the Access Request and Approval
Profile, draft 1. The access request itself goes through Stint's own API, so the profile is not announced as a
capability.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings

from sessions_app.gateways.core.calls import BEARER, BadCall, Environ, Start, answered, answered_badly
from sessions_app.gateways.http.deciding import TOKEN, Answer, Asked, Decider, NoToken, Passed, Shut
from sessions_app.policy.commands.http.contents import UNSEEN
from sessions_app.policy.commands.json_values.bodies import MAX_BODY, BodyRefused, read_body

EVALUATION = "/access/v1/evaluation"
EVALUATIONS = "/access/v1/evaluations"
METADATA = "/.well-known/authzen-configuration"
AUTHZEN_PATHS = frozenset((EVALUATION, EVALUATIONS, METADATA))
MOST = 100
_STOPS = {"deny_on_first_deny": False, "permit_on_first_permit": True}
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,200}")


class AuthZEN:
    """The endpoints, as a WSGI application."""

    def __init__(self, decider: Decider) -> None:
        self.decider = decider

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Respond to one call: with 200 for any decision, and an error for an invalid call."""
        request_id = environ.get("HTTP_X_REQUEST_ID", "")
        headers = [("x-request-id", request_id)] if _REQUEST_ID.fullmatch(request_id) else []
        try:
            return answered(start, 200, self._answer(environ), headers)
        except BadCall as error:
            return answered_badly(start, error, headers)

    def _answer(self, environ: Environ) -> dict[str, Any]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path == METADATA:
            if method not in ("GET", "HEAD"):
                raise BadCall(405, "use GET")
            return metadata()
        if method != "POST":
            raise BadCall(405, "use POST")
        key = BEARER.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
        if key is None:
            raise BadCall(401, "authenticate with Authorization: Bearer and the cluster's proxy key")
        said = _body(environ)
        if path == EVALUATION:
            return self._evaluate(said, key[1])
        return self._evaluations(said, key[1])

    def _evaluations(self, said: Mapping[str, Any], key: str) -> dict[str, Any]:
        items = said.get("evaluations")
        if items is None or items == []:
            return self._evaluate(said, key)
        if not isinstance(items, list) or len(items) > MOST:
            raise BadCall(400, f"evaluations must be a list of at most {MOST}")
        stop = _STOPS.get(_semantic(said))
        defaults = {name: said[name] for name in ("subject", "action", "resource", "context") if name in said}
        answers = []
        for item in items:
            answers.append(self._evaluate_item(defaults, item, key))
            if stop is not None and answers[-1]["decision"] is stop:
                break
        return {"evaluations": answers}

    def _evaluate_item(self, defaults: Mapping[str, Any], item: Any, key: str) -> dict[str, Any]:
        """Decide one item of a list. An invalid item is denied; the other items are still decided."""
        try:
            if not isinstance(item, dict):
                raise BadCall(400, "each evaluation must be an object")
            return self._evaluate({**defaults, **item}, key)
        except BadCall as error:
            if error.status != 400:
                raise
            return {
                "decision": False,
                "context": {"error": {"status": error.status, "message": error.message}},
            }

    def _evaluate(self, said: Mapping[str, Any], key: str) -> dict[str, Any]:
        try:
            return _decision(self.decider.decide(_asked(said, key)))
        except _Foreign as error:
            return _denied("unknown_entity", str(error))


def metadata() -> dict[str, Any]:
    """Return the addresses of the endpoints, at the configured URL."""
    return {
        "policy_decision_point": settings.PUBLIC_URL,
        "access_evaluation_endpoint": settings.PUBLIC_URL + EVALUATION,
        "access_evaluations_endpoint": settings.PUBLIC_URL + EVALUATIONS,
    }


def _decision(answer: Answer) -> dict[str, Any]:
    if isinstance(answer, Passed):
        use = answer.use
        return {"decision": True, "context": {"grant": use.grant_ref, "holder": use.holder}}
    if isinstance(answer, NoToken):
        return _denied(answer.error, answer.message)
    if isinstance(answer, Shut):
        raise BadCall(503, answer.message)
    return {"decision": False, "context": answer.context}


def _denied(code: str, message: str) -> dict[str, Any]:
    context = {"reason": "policy_denied", "code": code, "message": message, "next_action": "none"}
    return {"decision": False, "context": context}


def _body(environ: Environ) -> dict[str, Any]:
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/json":
        raise BadCall(400, "the call must be application/json")
    try:
        data = read_body(environ["wsgi.input"].read(MAX_BODY + 1))
    except BodyRefused as error:
        raise BadCall(400, str(error)) from error
    if not isinstance(data, dict):
        raise BadCall(400, "the call must be a JSON object")
    return data


def _semantic(said: Mapping[str, Any]) -> str:
    options = said.get("options", {})
    wanted = options.get("evaluations_semantic", "execute_all") if isinstance(options, dict) else None
    if wanted not in ("execute_all", *_STOPS):
        raise BadCall(400, "evaluations_semantic is not a valid AuthZEN value")
    return str(wanted)


class _Foreign(Exception):
    """A valid evaluation of something that Stint does not decide. It is denied."""


def _asked(said: Mapping[str, Any], key: str) -> Asked:
    """Return the request to decide.

    Raises BadCall for an invalid call, and _Foreign for a valid one that is not Stint's to decide.
    """
    subject, action, resource = (_entity(said, name) for name in ("subject", "action", "resource"))
    of_subject, seen, properties = (
        _entity(one, "properties", needed=False) for one in (subject, action, resource)
    )
    _entity(said, "context", needed=False)
    token, method, uri = (
        _text(subject, "id", "subject"),
        _text(action, "name", "action"),
        _text(resource, "id", "resource"),
    )
    if _text(subject, "type", "subject") != "grant_token" or TOKEN.fullmatch(token) is None:
        raise _Foreign('the subject must be {"type": "grant_token", "id": "sgt_…"}')
    if _text(resource, "type", "resource") != "http_request":
        raise _Foreign('resource.type must be "http_request"')
    if not isinstance(target := properties.get("target"), str):
        raise _Foreign("resource.properties.target must name the target")
    proof = of_subject.get("dpop", "")
    return Asked(
        proxy_key=key,
        target=target,
        method=method,
        uri=uri,
        token=token,
        bound=bool(proof),
        proof=proof if isinstance(proof, str) else "",
        origin=str(properties.get("origin", "")),
        # The caller is the enforcement point, not the client.
        client="",
        body=seen.get("body", UNSEEN),
        accept=str(seen.get("accept", "")),
    )


def _entity(said: Mapping[str, Any], name: str, *, needed: bool = True) -> dict[str, Any]:
    found = said.get(name, None if needed else {})
    if not isinstance(found, dict):
        raise BadCall(400, f"{name} must be an object")
    return found


def _text(said: Mapping[str, Any], name: str, where: str) -> str:
    found = said.get(name)
    if not isinstance(found, str) or not found:
        raise BadCall(400, f"{where}.{name} must be a string")
    return found
