"""Asking how a piece of work stands that somebody names."""

import pytest

from sessions_app.operations.workflows.read_named_workflow import read_named_workflow
from sessions_app.operations.workflows.read_workflow import UnknownWorkflow
from tests.support.world.acts import after, change
from tests.support.world.sources import SOURCE, is_open, speaking_for


@pytest.fixture
def pager(world):
    with speaking_for() as adapter:
        adapter.workflows["INC-1"] = is_open()
        change(world, {"workflow-sources/pager.yaml": SOURCE})
        yield adapter


def read(world, ref="pager:INC-1", who=None, *, now=None):
    return read_named_workflow(reader=who or world.alice, ref=ref, now=now or world.now)


def test_who_may_see_a_cluster_of_its_work_has_the_source_asked(world, pager):
    workflow = read(world)
    assert (workflow.ref, workflow.state, workflow.read_at) == ("pager:INC-1", "open", world.now)
    assert pager.asked == ["INC-1"]


def test_who_may_see_none_lets_nothing_be_asked_until_it_is_their_work(world, pager):
    with pytest.raises(UnknownWorkflow, match="such as desk:TKT-9"):
        read(world, who=world.charlie)
    assert pager.asked == []
    read(world).members.add(world.charlie)
    assert read(world, who=world.charlie, now=after(world, seconds=30)).read_at == after(world, seconds=30)


def test_work_of_stints_own_is_nobody_elses_to_ask_about(world, pager):
    workflow = world.workflow()
    assert read(world, workflow.ref) == workflow
    with pytest.raises(UnknownWorkflow):
        read(world, workflow.ref, world.charlie)
    assert pager.asked == []


@pytest.mark.parametrize("ref", ["", "TKT-0", "nobody:INC-1", ":INC-1", "pager:"])
def test_a_reference_that_means_nothing_is_unknown_work(world, pager, ref):
    with pytest.raises(UnknownWorkflow):
        read(world, ref)
