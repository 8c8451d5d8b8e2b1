"""Which tests run when. `make test` runs the groups quick and smoke; `make test-all` runs all of them.

A test belongs to the first group that it is marked with, or whose fixture it uses, directly or not; otherwise
to `quick`. A quick test that starts a process fails.
"""

import sys
from collections import Counter
from collections.abc import Generator, Iterator

import pytest

from tests.support import pace

# In the order in which they are checked. pyproject.toml describes each, with its mark.
GROUPS = ("smoke", "timing", "browsers", "guides", "slow", "processes", "quick")
MOST_SECONDS = 3
# Shorter stalls of the machine can't fail a test: no test measures shorter times.
STALL_SECONDS = 0.1
# The key in pytest's cache for tests that failed while the machine stalled.
INCONCLUSIVE = "stint/inconclusive"
STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}

group_of_tests = pytest.StashKey[dict[str, str]]()
_quick_test: str | None = None


@pytest.fixture(scope="session")
def processes() -> None:
    """Put every test that uses this fixture into the group. Fixtures that start processes depend on it."""


@pytest.fixture(scope="session")
def browsers() -> None:
    """Put every test that uses this fixture into the group. Fixtures that start browsers depend on it."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with its group, before `-m` selects by marks."""
    groups = {item: _group(item) for item in items}
    for item, group in groups.items():
        item.add_marker(group)
    config.stash[group_of_tests] = {item.nodeid: group for item, group in groups.items()}


def _group(item: pytest.Item) -> str:
    used = getattr(item, "fixturenames", ())
    return next((one for one in GROUPS if item.get_closest_marker(one) or one in used), "quick")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Remember which quick test runs."""
    global _quick_test
    _quick_test = item.nodeid if item.get_closest_marker("quick") else None
    try:
        return (yield)
    finally:
        _quick_test = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report a timing test that failed while the machine stalled as inconclusive."""
    report = yield
    stalled = pace.stalled(call.duration)
    if report.failed and item.get_closest_marker("timing") and stalled > STALL_SECONDS:
        report.sections.append((f"inconclusive: the machine stalled for {stalled:.1f} s", ""))
        if (cache := getattr(item.config, "cache", None)) is not None:
            cache.set(INCONCLUSIVE, [*cache.get(INCONCLUSIVE, []), item.nodeid])
    return report


def _refuse(event: str, _: object) -> None:
    if event in STARTS and _quick_test:
        raise RuntimeError(f"{_quick_test} starts a process: mark it with pytest.mark.processes")


# Audit hooks can't be removed.
sys.addaudithook(_refuse)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the quick tests that take long, so that they are sped up or moved."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and "quick" in report.keywords:
                seconds[report.nodeid] += report.duration
    slow = [(name, taken) for name, taken in seconds.most_common() if taken > MOST_SECONDS]
    if slow:
        terminalreporter.section(
            f"quick tests that take over {MOST_SECONDS} s: make them quicker, or mark them slow"
        )
        for name, taken in slow:
            terminalreporter.line(f"{taken:6.1f} s  {name}")
