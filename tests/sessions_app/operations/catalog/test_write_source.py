"""A source of workflows, as its document says."""

from sessions_app.models import WorkflowSource
from tests.support.world.acts import after, change, events
from tests.support.world.sources import SOURCE, speaking_for


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
