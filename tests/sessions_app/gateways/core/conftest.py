"""Coroutine tests run in a loop whose time is frozen until they advance it."""

import contextlib
import inspect

import pytest

from tests.support.world.holders import play_out


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test. Fixtures that are asynchronous context managers are entered in its loop."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    given = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for name, fixture in given.items():
                if isinstance(fixture, contextlib.AbstractAsyncContextManager):
                    given[name] = await stack.enter_async_context(fixture)
            await test(**given)

    play_out(run)
    return True


@pytest.fixture
def world(lone_db, live_world):
    """People and a catalog in a database that threads of a gateway can reach."""
    return live_world
