"""Serializers share their plain fields, and nothing that belongs to one object."""

from rest_framework import serializers

from sessions_app.api.fields import Shape


class Inner(Shape):
    """A nested shape."""

    name = serializers.CharField()


class Outer(Shape):
    """A shape with each kind of field."""

    plain = serializers.CharField()
    inner = Inner()
    many = Inner(many=True)
    computed = serializers.SerializerMethodField()

    def get_computed(self, thing):
        """Return what only this object knows."""
        return self.context["who"], thing["plain"]


def rendered(name: str):
    thing = {"plain": name, "inner": {"name": name}, "many": [{"name": name}] * 2}
    return Outer(thing, context={"who": name})


def test_each_object_renders_its_own_content():
    one, other = rendered("one"), rendered("other")
    assert dict(one.fields)["plain"] is dict(other.fields)["plain"]
    for shape, name in ((one, "one"), (other, "other"), (rendered("third"), "third")):
        assert shape.data == {
            "plain": name,
            "inner": {"name": name},
            "many": [{"name": name}] * 2,
            "computed": (name, name),
        }


def test_no_shared_field_refers_to_an_object_with_data():
    shape = rendered("one")
    assert shape.data
    for field in shape.fields.values():
        assert field.parent is shape or field.parent.instance is None
