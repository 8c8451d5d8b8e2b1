"""What is taken out of use is listed no more."""

from sessions_app.operations.catalog.remove_row import live_rows


def test_what_stands_in_the_catalog_is_listed_by_name_without_what_was_removed(world):
    text = world.catalog["clusters/web.yaml"]
    world.apply({"clusters/db.yaml": text.replace("name: web\n", "name: db\n")})
    assert [row.name for row in live_rows("cluster")] == ["db", "web"]
    world.apply(prune=True)
    assert [row.name for row in live_rows("cluster")] == ["web"]
