"""A database that threads of the streams process can reach."""

from tests.sessions_app.gateways.conftest import lone_db  # noqa: F401
