"""Catalog files: strict, with every problem named at its place."""

import jsonschema
import pytest
import yaml

from sessions_app.policy.catalog import (
    FOLDERS,
    bodies_unseen,
    holds_for_nobody,
    read_catalog,
    read_command_set,
    schemas,
)
from sessions_app.policy.documents import DocumentError
from tests.support.world.world import CATALOG

CLUSTER = CATALOG["clusters/web.yaml"]
SET = CATALOG["command-sets/restart-web.yaml"]


def problems(files: dict[str, str]) -> str:
    with pytest.raises(DocumentError) as refusal:
        read_catalog(files)
    return str(refusal.value)


def test_a_folder_is_read_by_name():
    catalog = read_catalog(CATALOG)
    assert set(catalog.groups) == {"operators", "approvers", "on-call"}
    assert [target.name for target in catalog.clusters["web"].targets] == ["web-1", "web-2"]
    assert catalog.policies["web-work"][0].max_duration == 4 * 3600
    assert len(catalog.command_sets["restart-web"].document.commands) == 5


def test_every_problem_of_every_file_is_told_at_once_with_file_and_line():
    text = problems(
        {
            "clusters/web.yaml": CLUSTER + "color: red\n",
            "policies/web-work.yaml": CATALOG["policies/web-work.yaml"].replace("4h", "long"),
            "groups/operators.yaml": "members: [alice]\n",
        }
    )
    assert "clusters/web.yaml" in text
    assert "color" in text
    assert "policies/web-work.yaml" in text
    assert "is not a duration" in text
    assert "groups/operators.yaml" in text
    assert "line " in text


@pytest.mark.parametrize("path", ["web.yaml", "hosts/web.yaml", "../clusters/web.yaml", "CLUSTERS/web.yaml"])
def test_a_file_in_no_known_folder_is_refused(path):
    assert "folder" in problems({path: CLUSTER})


def test_two_files_that_name_the_same_thing_are_refused():
    assert "another file" in problems({"clusters/a.yaml": CLUSTER, "clusters/b.yaml": CLUSTER})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("host_key: ", "hostkey: "),
        ("kind: ssh", "kind: [ssh]"),
        ("environment: production", "environment: prod"),
        ("risk: medium", "risk: none"),
        ("port: 2201", "port: 0"),
        ("port: 2201", "port: 65536"),
        ("address: 127.0.0.1, port: 2201", 'address: "-oProxyCommand=id", port: 2201'),
        ("address: 127.0.0.1, port: 2201", 'address: "a b", port: 2201'),
        ("account: root", "account: -l"),
        ("name: web-2", "name: web-1"),
        ("name: web\n", "name: Web\n"),
        ("name: web\n", "name: &x web\n"),
        ("name: web\n", "name: web\nname: db\n"),
        ("name: web\n", "name: !!python/name:os.system web\n"),
    ],
)
def test_a_cluster_file_that_is_not_plain_and_complete_is_refused(old, new):
    assert old in CLUSTER
    problems({"clusters/web.yaml": CLUSTER.replace(old, new, 1)})


def with_address(address: str) -> dict[str, str]:
    return {"clusters/web.yaml": CLUSTER.replace("address: 127.0.0.1", f'address: "{address}"', 1)}


@pytest.mark.parametrize(
    "address",
    [
        "web..example.com",
        ".example.com",
        "example.com.",
        "-web",
        "web-.example.com",
        "x" * 64,
        "a." * 126 + "com",
        "256.0.0.1",
        "10.1",
        "1",
        "::g",
        ":",
        "1:2",
        "2001:db8::1::2",
        "fe80::1%eth0",
        "127.0.0.1:22",
        "[::1]",
        "",
    ],
)
def test_an_address_that_nothing_can_have_is_refused_at_its_place(address):
    assert "targets[0].address" in problems(with_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "::1",
        "2001:db8::1",
        "::ffff:192.0.2.1",
        "192.0.2.1",
        "web",
        "x" * 63 + ".example.com",
        "3com.example",
        "xn--bcher-kva.example",
        "WEB-1.example.com",
    ],
)
def test_names_and_addresses_of_both_kinds_are_taken(address):
    cluster = read_catalog(with_address(address)).clusters["web"]
    assert cluster.targets[0].address == address
    jsonschema.validate(yaml.safe_load(with_address(address)["clusters/web.yaml"]), schemas()["clusters"])


def test_a_command_that_nobody_could_allow_is_told_with_its_policy():
    text = CATALOG["policies/web-work.yaml"]
    alone = text.replace("approvals:\n  - {count: 1, from: [approvers]}", "approvals: none")
    assert alone != text
    (told,) = holds_for_nobody(read_catalog({**CATALOG, "policies/web-work.yaml": alone}))
    assert (
        "policies/web-work: commands of restart-web need a second person's approval, but no one can approve"
        " them on web" in told
    )
    assert holds_for_nobody(read_catalog(CATALOG)) == []
    for path, old, new in (
        ("clusters/web.yaml", "risk: medium", "risk: medium\napprovers: {groups: [approvers]}"),
        ("command-sets/restart-web.yaml", "    hold: true\n", ""),
    ):
        changed = CATALOG[path].replace(old, new)
        assert changed != CATALOG[path]
        files = {**CATALOG, "policies/web-work.yaml": alone, path: changed}
        assert holds_for_nobody(read_catalog(files)) == []


def test_a_proxy_that_sends_no_body_is_told_which_requests_it_refuses():
    files = {
        "clusters/pay.yaml": (
            "name: pay\nkind: http\nenvironment: staging\nrisk: low\nconnection: {proxy: nginx, proxy_key:"
            f" {'k' * 40}}}\ntargets: [{{name: pay, address: pay.example.com}}]\n"
        ),
        "command-sets/pay.yaml": (
            "name: pay\nkind: http\nsummary: Pay\nrisk: low\ncommands: [{request: POST /pay, body: {to: me},"
            " effect: change}, {request: GET /pay, effect: read}]\n"
        ),
        "policies/pay.yaml": (
            "name: pay\nsummary: Pay\nclusters: [pay]\ncommand_sets: [pay]\n"
            "requesters: {groups: [staff]}\napprovals: none\nmax_duration: 1h\n"
        ),
    }
    (told,) = bodies_unseen(read_catalog(files))
    assert told.startswith("policies/pay: the proxy of pay does not send bodies, so it refuses POST /pay: ")
    own = files["clusters/pay.yaml"].replace(f"{{proxy: nginx, proxy_key: {'k' * 40}}}", "{proxy: stint}")
    assert bodies_unseen(read_catalog({**files, "clusters/pay.yaml": own})) == []


def test_a_host_that_can_not_be_recognized_is_refused_unless_the_cluster_has_an_authority():
    unknown = yaml.safe_load(CLUSTER)
    del unknown["targets"][0]["host_key"]
    assert "host_key" in problems({"clusters/web.yaml": yaml.safe_dump(unknown)})
    unknown["host_ca"] = unknown["targets"][1]["host_key"]
    assert read_catalog({"clusters/web.yaml": yaml.safe_dump(unknown)}).clusters["web"].host_ca


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "a", "- a\n- b\n", "a: 1\n---\nb: 2\n", "a: &b [*b]\n", "\0"]
)
@pytest.mark.parametrize("folder", FOLDERS)
def test_a_file_that_is_no_mapping_is_refused_in_each_folder(folder, text):
    problems({f"{folder}/x.yaml": text})


def test_deep_and_huge_files_are_refused():
    problems({"groups/x.yaml": "members: " + "[" * 5000 + "]" * 5000})
    assert "KiB" in problems({"groups/x.yaml": "name: x\nmembers: [" + "a, " * 200_000 + "a]\n"})


@pytest.mark.parametrize("accept", ["[]", "yes", '{"a b": ""}', '{"a b": 1}', "{1: reason}", "null"])
def test_an_accepted_warning_needs_a_reason(accept):
    with pytest.raises(DocumentError):
        read_command_set(SET + f"accept: {accept}\n")


def test_accepted_warnings_are_kept_apart_from_what_is_allowed():
    plain, accepting = read_command_set(SET), read_command_set(SET + 'accept: {"code where": because}\n')
    assert accepting.accept == {"code where": "because"}
    assert accepting.document == plain.document


@pytest.mark.parametrize("path", sorted(CATALOG))
def test_the_published_schemas_accept_what_the_reader_accepts(path):
    schema = schemas()[path.split("/")[0]]
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(CATALOG[path]), schema)


@pytest.mark.parametrize("path", sorted(CATALOG))
def test_the_published_schemas_refuse_unknown_keys(path):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**yaml.safe_load(CATALOG[path]), "color": "red"}, schemas()[path.split("/")[0]])
