"""How one document of the catalogue is written."""

from __future__ import annotations

import pytest
import yaml

from broker.audit.queries import last_number
from broker.kernel.errors import InvalidInput
from sessions_app.models import Cluster, CommandSet, Target, WebhookEndpoint, WorkflowSource
from sessions_app.operations.catalogue.catalogue_changes import (
    check_names,
    cluster_data,
    cluster_document,
    is_published,
    live_rows,
    plain,
    policy_data,
    unknown_names,
)
from sessions_app.policy.catalogue import ClusterDocument, read_catalogue
from sessions_app.queries.facts import Unreadable
from tests.support.acts import after, change, events
from tests.support.receiver import webhook_file
from tests.support.sources import SOURCE, speaking_for


def test_every_name_that_means_nothing_is_told_with_its_place(world):
    world.catalogue["groups/lost.yaml"] = "name: lost\nmembers: [nobody]\n"
    world.catalogue["policies/web-work.yaml"] = (
        world.catalogue["policies/web-work.yaml"]
        .replace("[web]", "[webb]")
        .replace("[restart-web]", "[restart-webb]")
        .replace("[operators]", "[operatorss]")
    )
    catalogue = read_catalogue(world.catalogue)
    found = {(one.place, one.what, one.name) for one in unknown_names(catalogue)}
    assert found == {
        ("groups/lost", "identity", "nobody"),
        ("policies/web-work", "cluster", "webb"),
        ("policies/web-work", "command set", "restart-webb"),
        ("policies/web-work", "group", "operatorss"),
    }
    with pytest.raises(InvalidInput) as refusal:
        check_names(catalogue)
    assert refusal.value.fields["policies/web-work"].count("there is no cluster webb") == 1
    assert "Nothing was changed" in str(refusal.value)


def test_what_stands_in_the_catalogue_already_means_something_unless_the_files_stand_alone(world):
    alone = {path: text for path, text in world.catalogue.items() if path.startswith("policies/")}
    catalogue = read_catalogue(alone)
    assert unknown_names(catalogue) == []
    assert {one.what for one in unknown_names(catalogue, alone=True)} == {"cluster", "command set", "group"}


def test_people_are_known_by_any_spelling_of_their_name(world):
    world.catalogue["groups/on-call.yaml"] = "name: on-call\nmembers: [Alice]\n"
    assert unknown_names(read_catalogue(world.catalogue)) == []


def test_a_cluster_is_shown_as_its_file_says_it(world):
    shown = cluster_data(Cluster.objects.get())
    given = yaml.safe_load(world.catalogue["clusters/web.yaml"])
    assert shown == plain(ClusterDocument.model_validate(shown))
    assert [target["name"] for target in shown["targets"]] == [target["name"] for target in given["targets"]]
    assert {target["account"] for target in shown["targets"]} == {"root"}
    # What its kind says anyway is left out.
    Target.objects.update(account="stint")
    assert all("account" not in target for target in cluster_data(Cluster.objects.get())["targets"])


def test_a_row_that_no_file_could_have_made_says_so_and_stops_nobody(world):
    Cluster.objects.update(environment="nowhere")
    cluster = Cluster.objects.get()
    with pytest.raises(Unreadable, match="apply its file again"):
        cluster_document(cluster)
    assert "can't be read" in cluster_data(cluster)["unreadable"]
    world.apply()
    assert "unreadable" not in cluster_data(Cluster.objects.get())


def test_a_policy_that_can_not_be_read_is_shown_as_that(world):
    from sessions_app.models import AccessPolicy

    assert policy_data(AccessPolicy.objects.get())["name"] == "web-work"
    AccessPolicy.objects.update(document={})
    assert set(policy_data(AccessPolicy.objects.get())) == {"unreadable"}


def test_order_that_means_nothing_is_no_difference():
    data = {"name": "web", "kind": "ssh", "environment": "production", "risk": "low",
            "targets": [{"name": name, "address": "10.0.0.1", "host_key": None} for name in ("b", "a")],
            "host_ca": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8gQ0Xl0m0Zr3w7d6cJ3z1v9y0u8i5Z6fQkq3yXo9pB",
            "viewers": {"groups": ["y", "x"]}}  # fmt: skip
    turned = {**data, "targets": data["targets"][::-1], "viewers": {"groups": ["x", "y"]}}
    assert plain(ClusterDocument.model_validate(data)) == plain(ClusterDocument.model_validate(turned))


def test_a_command_set_is_published_as_long_as_it_is_there_and_says_the_same(world):
    file = read_catalogue(world.catalogue).command_sets["restart-web"]
    command_set = CommandSet.objects.get()
    assert is_published(command_set, file)
    assert not is_published(None, file)
    command_set.removed_at = world.now
    assert not is_published(command_set, file)
    other = {path: text.replace("Restart one", "Restart a") for path, text in world.catalogue.items()}
    assert not is_published(CommandSet.objects.get(), read_catalogue(other).command_sets["restart-web"])


def test_a_new_webhook_is_told_of_what_happens_from_then_on_and_so_is_one_that_comes_back(world):
    files = webhook_file(None)
    world.request()
    world.apply(files)
    first = WebhookEndpoint.objects.get()
    # Its own making and that of the whole change are all that came after.
    assert last_number() - first.after == 2
    WebhookEndpoint.objects.update(
        failures=3, failing_since=world.now, paused_at=world.now, pause_reason="It fails."
    )
    world.apply(prune=True)
    world.request(reason="Another")
    world.apply(files)
    back = WebhookEndpoint.objects.get()
    assert (back.pk, back.removed_at, back.paused_at, back.failures, back.pause_reason) == (
        first.pk,
        None,
        None,
        0,
        "",
    )
    assert last_number() - back.after == 2


def test_saving_a_source_again_clears_what_went_wrong_and_only_when_it_says_something_else(world):
    with speaking_for():
        change(world, {"workflow-sources/pager.yaml": SOURCE})
        WorkflowSource.objects.update(last_error="It does not answer.")
        world.apply()
        assert WorkflowSource.objects.get().last_error == "It does not answer."
        world.apply({"workflow-sources/pager.yaml": SOURCE + "summary: Ours\n"}, now=after(world, minutes=1))
    source = WorkflowSource.objects.get()
    assert (source.last_error, source.changed_at) == ("", after(world, minutes=1))
    assert events("pager") == ["source.created", "source.changed"]


def test_what_stands_in_the_catalogue_is_listed_by_name_without_what_was_removed(world):
    text = world.catalogue["clusters/web.yaml"]
    world.apply({"clusters/db.yaml": text.replace("name: web\n", "name: db\n")})
    assert [row.name for row in live_rows("cluster")] == ["db", "web"]
    world.apply(prune=True)
    assert [row.name for row in live_rows("cluster")] == ["web"]
