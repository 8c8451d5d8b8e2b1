"""No quick test depends on the speed of the machine: it doesn't sleep, and its result doesn't depend on a
measured time or a timeout.

This checks the test function, its fixtures, and the functions and classes of `tests/` that these name. They
wait with `tests/support/waits.py`, whose limit is long enough for any machine.
"""

import ast
import inspect
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import pytest

from tests.environment import ROOT

TESTS = str(ROOT / "tests")
# These wait with limits that are long enough for any machine, or are servers that are slow on purpose.
EXEMPT = tuple(
    str(ROOT / "tests/support" / name)
    for name in (
        "waits.py",
        "databases.py",
        "servers/http_target.py",
        "servers/kubernetes/",
        "servers/nginx.py",
    )
)
CLOCKS = {"monotonic", "perf_counter", "process_time", "thread_time"}
TAKE_A_LIMIT = {"wait", "join", "result", "timeout", "settimeout", "acquire"}
LIMITS = {"timeout", "within"}


def faults(source: str) -> dict[int, str]:
    """Yield the lines whose result depends on the machine's speed, with the reason."""
    return {node.lineno: why for node in ast.walk(ast.parse(source)) if (why := _fault(node))}


def _fault(node: ast.AST) -> str:
    match node:
        case ast.Attribute(value=ast.Name(id="time"), attr="sleep"):
            return "sleeps"
        case ast.Attribute(value=ast.Name(id="time"), attr=name) if name in CLOCKS:
            return "measures time"
        case ast.Call(func=ast.Attribute(value=ast.Name(id="asyncio"), attr="sleep"), args=[wait]):
            return "" if isinstance(wait, ast.Constant) and wait.value == 0 else "sleeps"
        case ast.Constant(value=str(text)) if re.search(r"pg_sleep\(", text):
            return "sleeps in the database"
        case ast.Call() if any(map(_is_number, _limits(node))):
            return "allows so many seconds"
    return ""


def _limits(call: ast.Call) -> Iterator[ast.expr]:
    yield from (word.value for word in call.keywords if word.arg in LIMITS)
    match call.func:
        case ast.Attribute(value=ast.Constant()):
            return  # text that is joined
        case ast.Attribute(value=ast.Name(id="asyncio"), attr="wait" | "wait_for"):
            yield from call.args[1:]
        case ast.Attribute(attr=name) if name in TAKE_A_LIMIT:
            yield from call.args


def _is_number(limit: ast.expr) -> bool:
    match limit:
        case ast.Constant(value=int() | float()):
            return limit.value > 0
        case ast.BinOp():
            return _is_number(limit.left) or _is_number(limit.right)
        case ast.Call():
            return "allow" in ast.unparse(limit.func)
    return False


@cache
def _faults_of(path: Path) -> dict[int, str]:
    return {} if str(path).startswith(EXEMPT) else faults(path.read_text(encoding="utf-8"))


def made_of(items: Iterable[pytest.Function]) -> set[FunctionType]:
    """Return the functions of `tests/` that the tests use."""
    found: set[FunctionType] = set()
    todo = list({part for item in items for part in (item.function, *_fixtures(item))})
    while todo:
        part = _inner(todo.pop())
        if isinstance(part, type) and part.__module__.startswith("tests."):
            todo += vars(part).values()
        elif (
            isinstance(part, FunctionType)
            and part.__code__.co_filename.startswith(TESTS)
            and part not in found
        ):
            found.add(part)
            todo += _named(part)
    return found


def _fixtures(item: pytest.Function) -> list[object]:
    return [one.func for found in item._fixtureinfo.name2fixturedefs.values() for one in found]


def _inner(part: object) -> object:
    part = getattr(part, "fget", part) if isinstance(part, property) else part
    part = getattr(getattr(part, "hypothesis", None), "inner_test", part)
    return inspect.unwrap(part) if callable(part) else part


def _named(function: FunctionType) -> list[object]:
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    things = [function.__globals__[name] for name in names & function.__globals__.keys()]
    modules = [
        thing for thing in things if isinstance(thing, ModuleType) and thing.__name__.startswith("tests.")
    ]
    return things + [vars(module)[name] for module in modules for name in names & vars(module).keys()]


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield a function's code object, and those of its nested functions."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def found_in(function: FunctionType) -> Iterator[str]:
    """Yield where a function depends on the machine's speed."""
    path = Path(function.__code__.co_filename)
    lines = {line for code in _codes(function.__code__) for *_, line in code.co_lines()}
    for line in lines & _faults_of(path).keys():
        yield f"{path.relative_to(ROOT)}:{line}: {_faults_of(path)[line]}"


def test_no_quick_test_depends_on_how_fast_the_machine_is(request):
    quick = [item for item in request.session.items if item.get_closest_marker("quick")]
    found = {one for function in made_of(quick) for one in found_in(function)}
    assert not found, "\n".join(["wait with tests/support/waits.py, or mark it timing:", *sorted(found)])


@pytest.mark.parametrize(
    "line",
    [
        "time.sleep(1)",
        "asyncio.to_thread(time.sleep, 0.1)",
        "asyncio.sleep(0.1)",
        "a.execute('SELECT pg_sleep(1)')",
        "assert time.monotonic() - began < 1",
        "event.wait(5)",
        "thread.join(timeout=5)",
        "asyncio.wait_for(a, 2)",
        "pool.submit(a).result(allow(30))",
        "eventually(a, within=2 * SECONDS)",
        "asyncio.timeout(0.5)",
    ],
)
def test_what_the_speed_of_the_machine_decides_is_found(line):
    assert list(faults(f"\n{line}")) == [2]


@pytest.mark.parametrize(
    "line",
    [
        "asyncio.sleep(0)",
        "', '.join(str(n) for n in range(9))",
        "event.wait(PATIENCE)",
        "event.wait()",
        "at_once(1)",
        "asyncio.wait(tasks[1:])",
        "hook.wait_for(3)",
        "eventually(a)",
        "happens(event)",
        "reports.wait(0)",
    ],
)
def test_what_it_does_not_decide_is_left_alone(line):
    assert faults(line) == {}
