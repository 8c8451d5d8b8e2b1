"""A request is read as the API server reads it, or refused."""

import os
import random

import pytest

from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.kubernetes.api_request import read_request
from tests.sessions_app.policy.commands.kubernetes.second_reader import info_of

# `URLS=1000000` reads a million.
COUNT = int(os.environ.get("URLS", "10000"))
METHODS = ("GET",) * 6 + ("POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "get", "CONNECT")
STARTS = (
    "/api/v1",
    "/apis/apps/v1",
    "/api/v1/namespaces/web",
    "/apis/apps/v1/namespaces/web",
    "/apis/a.example/v1beta1",
)
SEGMENTS = (
    "api",
    "apis",
    "v1",
    "apps",
    "namespaces",
    "web",
    "pods",
    "web-1",
    "exec",
    "log",
    "status",
    "finalize",
    "scale",
    "watch",
    "proxy",
    "deployments",
    "nodes",
    "openapi",
    "version",
    "",
    ".",
    "..",
    "%2e",
    "%2F",
    "po%64s",
    "a%",
    "a b",
    "é",
    "a;b",
    "*",
    "~",
    "system:node",
    "WEB",
    "https:web:443",
)
ODD = ("", "//", "/", "?", "#", "\\", "%00", ";", "+")
PAIRS = (
    "watch=true",
    "watch=false",
    "watch=1",
    "watch=0",
    "watch=",
    "watch",
    "watch=TRUE",
    "watch=no",
    "Watch=true",
    "wa%74ch=true",
    "fieldSelector=metadata.name%3Dweb-1",
    "fieldSelector=metadata.name=web-1",
    "fieldSelector=metadata.name%3D%3Dweb-1",
    "fieldSelector=metadata.name!%3Dweb-1",
    "fieldSelector=metadata.name%3Da,metadata.name%3Db",
    "fieldSelector=",
    "fieldSelector=metadata.name%3D..",
    "fieldSelector=metadata.name%3Da%2Fb",
    "fieldSelector=metadata.name%3D",
    "fieldSelector=status.phase%3DRunning%2Cmetadata.name%3Dweb-1",
    "fieldSelector=metadata.name%3Da%5C%2Cb",
    "fieldSelector=%20metadata.name%3Da",
    "fieldSelector=metadata.name%3Da%25",
    "limit=500",
    "labelSelector=a%3Db",
    "command=cat",
    "command=%2Fetc",
    "command=a+b",
    "a=1;watch=true",
    "fieldSelector=metadata.name%3Da%3Db",
    "x=%zz",
    "&",
    "=",
    "stdin=true",
    "resourceVersion=0",
    "é=1",
)


def requests(count: int, seed: int = 20):
    """Requests that a client could send: mostly sound, with something odd now and then."""
    some = random.Random(seed)
    for _ in range(count):
        segments = some.choices(SEGMENTS[:16] if some.random() < 0.7 else SEGMENTS, k=some.randrange(5))
        path = "/".join((some.choice(STARTS) if some.random() < 0.8 else "", *segments))
        if some.random() < 0.1:
            path += some.choice(ODD)
        yield (
            some.choice(METHODS),
            path or "/",
            "&".join(some.choices(PAIRS, k=some.choice((0, 0, 1, 1, 2, 3)))),
        )


def test_what_is_not_refused_is_read_by_a_second_reader_as_the_same():
    accepted = resources = 0
    for method, path, query in requests(COUNT):
        try:
            ours = read_request(method, path, query)
        except RuleRefused:
            continue
        accepted += 1
        resources += ours.is_resource
        theirs = info_of(method, path, query)
        assert theirs is not None, (method, path, query)
        one = (
            ours.verb,
            ours.is_resource,
            ours.group,
            ours.version,
            ours.namespace,
            ours.resource,
            ours.subresource,
            ours.name,
        )
        other = (
            theirs.verb,
            theirs.resource_request,
            theirs.group,
            theirs.version,
            theirs.namespace,
            theirs.resource,
            theirs.subresource,
            theirs.name,
        )
        assert one == other, (method, path, query)
    # Enough of both kinds went through for the comparison to mean something.
    assert resources > COUNT / 12
    assert accepted > COUNT / 10


@pytest.mark.parametrize(
    ("method", "path", "query", "read"),
    [
        ("GET", "/api/v1/namespaces/web/pods", "limit=500", "list pods in namespace web"),
        ("GET", "/api/v1/namespaces/web/pods", "watch=true&resourceVersion=5", "watch pods in namespace web"),
        (
            "GET",
            "/api/v1/namespaces/web/pods",
            "watch=1&fieldSelector=metadata.name%3Dp",
            "watch pods p in namespace web",
        ),
        ("GET", "/api/v1/namespaces/web/pods/p/log", "follow=true", "get pods/log p in namespace web"),
        ("GET", "/api/v1/namespaces/web", "", "get namespaces web in namespace web"),
        ("PUT", "/api/v1/namespaces/web/finalize", "", "update namespaces/finalize web in namespace web"),
        ("GET", "/api/v1/namespaces", "", "list namespaces"),
        ("GET", "/api/v1/pods", "", "list pods"),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/web/deployments/a/scale",
            "",
            "patch deployments/scale.apps a in namespace web",
        ),
        ("DELETE", "/api/v1/namespaces/web/pods", "", "deletecollection pods in namespace web"),
        ("POST", "/api/v1/namespaces/web/pods", "", "create pods in namespace web"),
        ("DELETE", "/api/v1/nodes/n", "", "delete nodes n"),
        ("GET", "/apis/apps/v1", "", "get /apis/apps/v1"),
        (
            "GET",
            "/api/v1/namespaces/web/services/https:a:443/proxy/x/y",
            "",
            "get services/proxy https:a:443 in namespace web",
        ),
        ("GET", "/", "", "get /"),
        ("GET", "/openapi/v3/apis/apps/v1", "hash=AB", "get /openapi/v3/apis/apps/v1"),
    ],
)
def test_a_request_is_about_what_its_url_says(method, path, query, read):
    assert str(read_request(method, path, query)) == read


@pytest.mark.parametrize(
    ("method", "path", "query", "says"),
    [
        ("HEAD", "/api/v1/pods", "", "the method `HEAD`"),
        ("get", "/api/v1/pods", "", "the method `get`"),
        ("GET", "/api/v1//pods", "", "the segment ``"),
        ("GET", "/api/v1/pods/", "", "the segment ``"),
        ("GET", "/api/v1/namespaces/web/../kube-system/secrets", "", "the segment `..`"),
        ("GET", "/api/v1/namespaces/web%2F..%2Fkube-system/secrets", "", "without escapes"),
        ("GET", "/api/v1/pod%73", "", "without escapes"),
        ("GET", "api/v1/pods", "", "must begin with"),
        ("GET", "/api/v1/watch/pods", "", "old prefix /watch/"),
        ("GET", "/api/v1/proxy/nodes/a", "", "old prefix /proxy/"),
        ("GET", "/api/v1/namespaces/web/pods", "watch=true&watch=false", "watch twice"),
        ("GET", "/api/v1/namespaces/web/pods", "watch=", "watch must be true or false"),
        ("GET", "/api/v1/namespaces/web/pods", "watch=yes", "watch must be true or false"),
        ("GET", "/api/v1/namespaces/web/pods/p", "watch=true", "only for lists"),
        ("GET", "/api/v1/namespaces/web/pods", "a=1;watch=true", "key=value"),
        ("GET", "/api/v1/namespaces/web/pods", "wa%74ch=true", "key=value"),
        ("GET", "/api/v1/namespaces/web/pods", "limit", "key=value"),
        ("GET", "/api/v1/namespaces/web/pods", "a=%ff", "not UTF-8"),
        ("GET", "/api/v1/namespaces/web/pods", "a=%zz", "key=value"),
        ("GET", "/api/v1/namespaces/web/pods", "a=%0A", "invisible character"),
        (
            "GET",
            "/api/v1/namespaces/web/pods",
            "fieldSelector=metadata.name%3Da,metadata.name%3Db",
            "each field once",
        ),
        ("GET", "/api/v1/namespaces/web/pods", "fieldSelector=metadata.name%3D..", "plain name"),
        ("GET", "/api/v1/namespaces/web/pods", "fieldSelector=metadata.name%3Da%5C,b", "each field once"),
        ("GET", "/api/v1/namespaces/web/pods/p/log/x", "", "continues after `log`"),
        ("GET", "/" + "a" * 70000, "", "longer than 64 KiB"),
    ],
)
def test_what_two_readers_could_read_as_two_things_is_refused(method, path, query, says):
    with pytest.raises(RuleRefused) as caught:
        read_request(method, path, query)
    assert says in caught.value.reason


def test_only_the_words_of_a_program_may_repeat_a_key_and_keep_their_order():
    read = read_request(
        "GET", "/api/v1/namespaces/web/pods/p/exec", "command=cp&container=a&command=%2Fa+b&command=c"
    )
    assert read.values("command") == ("cp", "/a b", "c")
