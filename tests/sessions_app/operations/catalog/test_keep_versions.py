"""What the catalog says from now on is kept."""

from broker.audit.actor import Actor
from sessions_app.models import DocumentVersion
from sessions_app.operations.catalog.keep_versions import keep_versions

ROBOT = Actor.system("test")


def test_versions_of_one_thing_are_numbered_and_one_without_a_document_says_that_it_is_gone(db, now):
    keep_versions(
        documents=[("group", "crew", {"members": ["a"]}), ("group", "other", {"members": []})],
        actor=ROBOT,
        now=now,
    )
    (gone,) = keep_versions(documents=[("group", "crew", None)], actor=ROBOT, now=now)
    assert (gone.number, gone.document, gone.digest, gone.by) == (2, None, "", "system:test")
    assert list(DocumentVersion.objects.filter(name="other").values_list("number", flat=True)) == [1]
