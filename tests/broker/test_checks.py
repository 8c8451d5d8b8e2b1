"""Choices in settings by which whoever writes to the database or the queue could run code."""

import pytest

from broker.checks import unpickling_settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("CACHES", {"default": {"BACKEND": f"django.core.cache.backends.{backend}"}})
            for backend in (
                "db.DatabaseCache",
                "redis.RedisCache",
                "filebased.FileBasedCache",
                "locmem.LocMemCache",
            )
        ),
        (
            "CACHES",
            {
                "default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
                "own": {"BACKEND": "a.Cache"},
            },
        ),
        ("SESSION_ENGINE", "django.contrib.sessions.backends.cache"),
        ("SESSION_SERIALIZER", "django_pickle.PickleSerializer"),
        ("CELERY_TASK_SERIALIZER", "pickle"),
        ("CELERY_RESULT_SERIALIZER", "yaml"),
        ("CELERY_ACCEPT_CONTENT", ["json", "pickle"]),
        ("CELERY_RESULT_ACCEPT_CONTENT", ["pickle"]),
    ],
)
def test_what_would_be_unpickled_is_an_error(settings, name, value):
    assert unpickling_settings() == []
    setattr(settings, name, value)
    (found,) = unpickling_settings()
    assert (found.id, found.level) == ("stint.E008", 40)
    assert name in found.msg


def test_the_worker_takes_nothing_but_json():
    from broker.celery import app

    assert list(app.conf.accept_content) == ["json"]
    assert {app.conf[f"{what}_serializer"] for what in ("task", "result", "event")} == {"json"}
