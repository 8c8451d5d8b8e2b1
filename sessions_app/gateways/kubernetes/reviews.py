"""SubjectAccessReviews: an API server's queries to an authorization webhook, and the responses.

Source: https://kubernetes.io/docs/reference/access-authn-authz/webhook/; k8s.io/api/authorization/v1,
types.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sessions_app.policy.commands.kubernetes.rights import Request

VERSION, KIND = "authorization.k8s.io/v1", "SubjectAccessReview"


class BadReview(ValueError):
    """A body that is not a review. The message says what to change."""


@dataclass(frozen=True, slots=True)
class PathAsked:
    """A request for a path that is not a resource: its method in lowercase, and its path."""

    verb: str
    path: str

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"


@dataclass(frozen=True, slots=True)
class Review:
    """A user, and the request that the user makes.

    ``said`` is the whole document, which the answer repeats.
    """

    said: Mapping[str, Any]
    user: str
    groups: frozenset[str]
    asked: Request | PathAsked


def read_review(said: object) -> Review:
    """Return the review in a parsed body. Raises BadReview."""
    if not isinstance(said, Mapping) or said.get("kind") != KIND:
        raise BadReview(f"send a {KIND}")
    if said.get("apiVersion") != VERSION:
        raise BadReview(
            f"the apiVersion must be {VERSION}: set --authorization-webhook-version=v1, or"
            " subjectAccessReviewVersion: v1"
        )
    spec = _mapping(said, "spec")
    of_resource, of_path = (name in spec for name in ("resourceAttributes", "nonResourceAttributes"))
    if of_resource is of_path:
        raise BadReview("spec must have either resourceAttributes or nonResourceAttributes, but not both")
    asked = _resource(_mapping(spec, "resourceAttributes")) if of_resource else _path(spec)
    return Review(said, _text(spec, "user"), _groups(spec), asked)


def _resource(said: Mapping[str, Any]) -> Request:
    verb, group, resource, name, namespace, sub = (
        _text(said, key) for key in ("verb", "group", "resource", "name", "namespace", "subresource")
    )
    if not verb or not resource:
        raise BadReview("resourceAttributes must have a verb and a resource")
    return Request(verb, group, f"{resource}/{sub}" if sub else resource, name, namespace)


def _path(spec: Mapping[str, Any]) -> PathAsked:
    said = _mapping(spec, "nonResourceAttributes")
    verb, path = _text(said, "verb"), _text(said, "path")
    if not verb or not path:
        raise BadReview("nonResourceAttributes must have a verb and a path")
    return PathAsked(verb, path)


def _groups(spec: Mapping[str, Any]) -> frozenset[str]:
    groups = spec.get("groups")
    if groups is None:
        return frozenset()
    if not isinstance(groups, list) or not all(isinstance(one, str) for one in groups):
        raise BadReview("spec.groups must be a list of strings")
    return frozenset(groups)


def _mapping(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = said.get(name)
    if not isinstance(found, Mapping):
        raise BadReview(f"{name} must be an object")
    return found


def _text(said: Mapping[str, Any], name: str) -> str:
    found = said.get(name, "")
    if not isinstance(found, str):
        raise BadReview(f"{name} must be a string")
    return found


def allowed(review: Review) -> dict[str, Any]:
    """Return the answer that allows the request."""
    return _answer(review, {"allowed": True})


def denied(review: Review, reason: str) -> dict[str, Any]:
    """Return the answer that denies the request, regardless of other authorizers."""
    return _answer(review, {"allowed": False, "denied": True, "reason": reason})


def no_opinion(review: Review) -> dict[str, Any]:
    """Return the answer that leaves the decision to the API server's other authorizers."""
    return _answer(review, {"allowed": False})


def _answer(review: Review, status: dict[str, Any]) -> dict[str, Any]:
    return {**review.said, "status": status}
