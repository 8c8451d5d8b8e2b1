"""The web process as in production, for browsers."""

import contextlib
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from playwright.sync_api import Browser, Page, Playwright, expect

from broker.demo.ports import free_port
from tests.support.servers.running import start
from tests.support.world.world import PASSWORD

CHROMIUM = Path(__file__).with_name("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def start_chromium(playwright: Playwright) -> Browser:
    """Start Debian's Chromium, with the priority of any other process."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


@contextlib.contextmanager
def serve(
    env: Mapping[str, str], folder: Path, *, streams: bool = False, host: str = "127.0.0.1"
) -> Iterator[str]:
    """Yield the address of a running web process with this environment. A traceback in its log is an error.

    With ``streams`` the streams process runs beside it, without a proxy, as in a local installation.
    """
    web, other = free_port(), free_port()
    here = {**env, "STINT_PUBLIC_URL": f"http://{host}:{web}"}
    with contextlib.ExitStack() as stack:
        if streams:
            here["STINT_STREAMS_DIRECT_PORT"] = str(other)
            stack.enter_context(
                _process(
                    folder / "streams.log", other, "/healthz", here, "uvicorn", "broker.asgi:application"
                )
            )
        stack.enter_context(_process(folder / "web.log", web, "/readyz", here, *_WEB))
        yield here["STINT_PUBLIC_URL"]


_WEB = (
    "granian",
    "broker.wsgi:application",
    "--interface",
    "wsgi",
    "--workers",
    "1",
    "--no-ws",
    "--blocking-threads",
    "4",
)


@contextlib.contextmanager
def serve_and_kill(env: Mapping[str, str], folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the address of a running web process, and a function that kills it."""
    port = free_port()
    here = {**env, "STINT_PUBLIC_URL": f"http://127.0.0.1:{port}"}
    with _process(folder / "web.log", port, "/readyz", here, *_WEB) as process:

        def kill() -> None:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
            for pid in (process.pid, *map(int, children.split())):
                os.kill(pid, signal.SIGKILL)

        yield here["STINT_PUBLIC_URL"], kill


@contextlib.contextmanager
def _process(
    log: Path, port: int, url: str, env: Mapping[str, str], *command: str
) -> Iterator[subprocess.Popen[bytes]]:
    log.unlink(missing_ok=True)
    process = start_server(log, port, env, *command)
    try:
        wait_for(f"http://127.0.0.1:{port}{url}", process, log)
        yield process
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        process.terminate()
        process.wait(60)


def start_server(log: Path, port: int, env: Mapping[str, str], *command: str) -> subprocess.Popen[bytes]:
    """Start a web server's process, which appends its output to a log."""
    with log.open("ab") as out:
        words = ("-m", *command, "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning")
        return start(*words, env=env, stdout=out, stderr=out)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server responds."""
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


def settle(page: Page) -> None:
    """Leave the field, and wait until the form's preview includes everything that was typed.

    A button in a preview that is replaced between press and release would not be clicked.
    """
    page.evaluate("document.activeElement.blur()")
    # The preview is requested 400 ms after the last key.
    page.wait_for_timeout(500)
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


def sign_in(page: Page, name: str) -> None:
    """Sign in as a person of the world."""
    page.goto("/sign-in/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/")
