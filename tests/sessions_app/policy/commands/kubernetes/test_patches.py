"""A patch that is allowed changes only what its line says: what it makes of an object is compared with the
object.
"""

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.kinds import compile_set, parse_document
from sessions_app.policy.commands.kubernetes.api_request import Sent, read_request
from sessions_app.policy.commands.kubernetes.bodies import JSON_PATCH, MERGE, STRATEGIC
from sessions_app.policy.commands.kubernetes.decide import decide_request
from tests.support.breadth import examples
from tests.support.servers.kubernetes.patches import patched
from tests.support.servers.kubernetes.store import Refusal

OBJECT = {
    "metadata": {"name": "web", "labels": {"app": "web"}, "annotations": {"team": "shop", "note": "kept"}},
    "spec": {
        "replicas": 1,
        "paused": False,
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "hostNetwork": False,
                "containers": [
                    {"name": "app", "image": "a:0", "env": [{"name": "A", "value": "1"}]},
                    {"name": "side", "image": "b:0"},
                ],
            },
        },
    },
}
URL = "/apis/apps/v1/namespaces/shop/deployments/web"
COMMANDS = [
    {"run": "set image deployment/web -n shop app=a:1"},
    {"run": "set image deployment/web -n shop new=a:1"},
    {"run": "rollout pause deployment/web -n shop"},
    {"run": "label deployment/web -n shop tier={t}", "where": {"t": {"choice": ["gold", "silver"]}}},
    {"run": "annotate deployment/web -n shop team-"},
    {
        "apply": {
            "kind": "Deployment",
            "apiVersion": "apps/v1",
            "namespaces": ["shop"],
            "fields": {
                "spec.replicas": {"int": [1, 3]},
                "spec.template.spec.containers[side].image": "b:1",
                "spec.template.spec.containers[new].image": "b:1",
                "spec.template.spec.initContainers[new].image": "b:1",
                "spec.template.spec.containers[app].env[A].value": {"choice": ["1", "2"]},
            },
        }
    },
]
COMPILED = compile_set(
    parse_document(
        {
            "name": "a",
            "kind": "kubernetes",
            "summary": "s",
            "risk": "low",
            "commands": [{"effect": "change", **one} for one in COMMANDS],
        }
    ),
    {},
)
# What all of these commands together may change, and to what.
MAY_BECOME = {
    ("spec", "template", "spec", "containers", "app", "image"): {"a:1"},
    ("spec", "paused"): {True},
    ("metadata", "labels", "tier"): {"gold", "silver"},
    ("metadata", "annotations", "team"): {None},
    ("spec", "replicas"): {1, 2, 3},
    ("spec", "template", "spec", "containers", "side", "image"): {"b:1"},
    ("spec", "template", "spec", "containers", "app", "env", "A", "value"): {"1", "2"},
}

values = st.sampled_from([1, 2, 9, True, None, "a:1", "b:1", "gold", "team", "2", "evil", {}, []])
containers = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["app", "side", "new"])},
        optional={
            "image": st.sampled_from(["a:1", "b:1", "evil"]),
            "$patch": st.just("delete"),
            "env": st.lists(
                st.fixed_dictionaries({"name": st.sampled_from(["A", "B"]), "value": values}), max_size=2
            ),
        },
    ),
    max_size=2,
)
orders = st.lists(st.fixed_dictionaries({"name": st.sampled_from(["app", "side"])}), max_size=2)
pods = st.fixed_dictionaries(
    {},
    optional={
        "containers": containers,
        "$setElementOrder/containers": orders,
        "hostNetwork": values,
        "$patch": st.just("replace"),
    },
)
templates = st.fixed_dictionaries({}, optional={"spec": pods, "$retainKeys": st.just(["spec"])})
specs = st.fixed_dictionaries({}, optional={"replicas": values, "paused": values, "template": templates})
tags = st.dictionaries(st.sampled_from(["tier", "team", "app"]), values, max_size=2)
metadata = st.fixed_dictionaries(
    {}, optional={"labels": tags, "annotations": tags, "name": st.sampled_from(["web", "api"])}
)
bodies = st.fixed_dictionaries({}, optional={"spec": specs, "metadata": metadata})
# Patches that are allowed, and what may be added to them unseen.
SOUND: list[dict[str, Any]] = [
    {"spec": {"replicas": 2}},
    {"spec": {"paused": True}},
    {"metadata": {"labels": {"tier": "gold"}}},
    {"metadata": {"annotations": {"team": None}}},
    {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "a:1"}]}}}},
    {"spec": {"template": {"spec": {"containers": [{"name": "new", "image": "a:1"}]}}}},
    {"spec": {"template": {"spec": {"initContainers": [{"name": "new", "image": "b:1"}]}}}},
    {
        "spec": {
            "replicas": 3,
            "template": {
                "spec": {
                    "containers": [
                        {"name": "side", "image": "b:1"},
                        {"name": "app", "env": [{"name": "A", "value": "2"}]},
                    ]
                }
            },
        }
    },
]
EXTRAS: list[dict[str, Any]] = [
    {},
    {},
    {"$patch": "replace"},
    {"$patch": "delete"},
    {"$retainKeys": ["replicas"]},
    {"paused": None},
    {"name": "side"},
    {"a": {}},
    {"$setElementOrder/containers": [{"name": "side"}, {"name": "app"}]},
    {"$deleteFromPrimitiveList/args": ["a"]},
    {"image": "evil"},
    {"hostNetwork": True},
    {"containers": []},
    {"env": None},
    {"containers": [{"name": "side", "$patch": "delete"}]},
]


@st.composite
def changed(draw) -> dict[str, Any]:
    """A sound patch, with something more in one of its objects."""
    made = json.loads(json.dumps(draw(st.sampled_from(SOUND))))
    places = list(objects(made))
    draw(st.sampled_from(places)).update(draw(st.sampled_from(EXTRAS)))
    return made


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a value, itself first."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(inner)


@st.composite
def operations(draw) -> list[dict[str, Any]]:
    """A sound patch as operations, each on a value or on an object around it."""
    made: list[dict[str, Any]] = []
    body = draw(st.one_of(st.sampled_from(SOUND), changed()))
    for path, value in leaves_or_objects(draw, "", body):
        made.append(
            {
                "op": draw(st.sampled_from(["add", "replace", "replace", "remove"])),
                "path": path,
                "value": value,
            }
        )
        if draw(st.integers(0, 9)) > 0:
            made[-1]["op"] = "add"
    return made or [{"op": "add", "path": "", "value": body}]


def leaves_or_objects(draw, path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value and (not path or draw(st.integers(0, 3)) > 0):
        for key, inner in value.items():
            yield from leaves_or_objects(draw, f"{path}/{key}", inner)
    else:
        yield path, value


def leaves(path: tuple[str, ...], value: Any) -> dict[tuple[str, ...], Any]:
    if isinstance(value, list) and value and all(isinstance(one, dict) and "name" in one for one in value):
        value = {one["name"]: {key: inner for key, inner in one.items() if key != "name"} for one in value}
    if isinstance(value, dict) and value:
        return {at: one for key, inner in value.items() for at, one in leaves((*path, key), inner).items()}
    return {path: value}


@settings(max_examples=examples(3000))
@given(
    st.one_of(
        st.tuples(st.sampled_from([MERGE, STRATEGIC]), st.one_of(changed(), bodies)),
        st.tuples(st.just(STRATEGIC), changed()),
        st.tuples(st.just(JSON_PATCH), operations()),
    )
)
def test_an_allowed_patch_makes_of_an_object_only_what_the_lines_say(sent):
    media_type, body = sent
    verdict = decide_request(COMPILED, read_request("PATCH", URL, ""), Sent(media_type, body, OBJECT))
    if not isinstance(verdict, Allowed):
        event("refused")
        return
    try:
        made = patched(OBJECT, body, media_type)
    except Refusal:
        event("allowed, and no patch of this object")
        return
    event(f"allowed as {verdict.argv[0]}")
    before, after = leaves((), OBJECT), leaves((), made)
    for path in before.keys() | after.keys():
        if before.get(path) != after.get(path):
            assert path in MAY_BECOME, (path, body)
            assert after.get(path) in MAY_BECOME[path], (path, body)
