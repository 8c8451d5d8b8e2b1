"""`python -m tests.conformance`: run both suites, and exit with 1 if a result is not as expected.

What the gateway leaves out is in expected-2025.yaml and expected-2026.yaml, with the reasons. The details of
all checks are in .cache/conformance/results afterwards.
"""

import contextlib
import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PACKAGES = HERE.parent.parent / ".cache" / "conformance"
SUITES = {
    "2025-11-25": ("conformance-2025", "expected-2025.yaml"),
    "2026-07-28": ("conformance-2026", "expected-2026.yaml"),
}


def main() -> int:
    """Install the suites, start the gateway, and run each suite against it."""
    _install()
    shutil.rmtree(PACKAGES / "results", ignore_errors=True)
    os.environ["DJANGO_SETTINGS_MODULE"] = "broker.settings"
    importlib.import_module("tests.environment")
    import django

    django.setup()
    importlib.import_module("sessions_app.operations.targets.connect")  # registers the cluster kinds
    with tempfile.TemporaryDirectory(prefix="stint-conformance-") as name, _gateway(Path(name)) as url:
        return max([_run(url, version) for version in SUITES])


def _install() -> None:
    """Install the pinned packages from npm, unless they are there."""
    lock, installed = HERE / "package-lock.json", PACKAGES / "installed.json"
    if installed.exists() and installed.read_bytes() == lock.read_bytes():
        return
    PACKAGES.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "package.json", PACKAGES)
    shutil.copy(lock, PACKAGES)
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm is missing. Install it, for example with: apt-get install npm")
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    subprocess.run([npm, "ci", *options], cwd=PACKAGES, check=True, stdout=subprocess.DEVNULL)
    shutil.copy(lock, installed)


@contextlib.contextmanager
def _gateway(folder: Path) -> Iterator[str]:
    """Run the gateway with the server behind it, and yield the address that the suites call."""
    from broker.demo.ports import free_port
    from broker.kernel import clock
    from tests.bench.database import database
    from tests.bench.place import environment
    from tests.support.browser.site import start_server, wait_for
    from tests.support.world.mcp_site import add_desk, grant_on_desk, token_of

    port = free_port()
    with database() as (name, world), _server() as server_port:
        add_desk(world, server_port, _files())
        world.now = clock.now()
        token = token_of(grant_on_desk(world, command_set="conformance", parameters={}), world)
        env = {
            **environment(name, folder),
            "STINT_PUBLIC_URL": f"http://127.0.0.1:{free_port()}",
            "STINT_STREAMS_DIRECT_PORT": str(port),
            "CONFORMANCE_TOKEN": token,
        }
        log = folder / "gateway.log"
        process = start_server(log, port, env, "uvicorn", "tests.conformance.gateway:application")
        try:
            wait_for(f"http://127.0.0.1:{port}/healthz", process, log)
            yield f"http://127.0.0.1:{port}/mcp/desk"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            print(log.read_text(), end="", file=sys.stderr)


@contextlib.contextmanager
def _server() -> Iterator[int]:
    """Serve the suites' tools, and yield the port."""
    import uvicorn

    from broker.demo.ports import free_port
    from tests.conformance.server import application
    from tests.support.waits import eventually

    port = free_port()
    config = uvicorn.Config(application(), host="127.0.0.1", port=port, log_level="error", ws="none")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    try:
        eventually(lambda: running.started)
        yield port
    finally:
        running.should_exit = True
        thread.join(10)


def _files() -> dict[str, str]:
    """Return the catalog's files for a grant on all tools, prompts and resources of the server."""
    from tests.conformance.server import NAMES, PROMPTS, RESOURCES
    from tests.support.world.mcp_site import files

    anything = '{region: {pattern: ".{0,200}"}}'
    commands = [
        f"  - {{tool: {name}, arguments: {anything if name == 'test_headers' else '{}'}, effect: read}}"
        for name in NAMES
    ]
    commands += [f"  - {{resource: '{uri}'}}" for uri in RESOURCES]
    for name, (given, _) in PROMPTS.items():
        limits = ", ".join(f'{one}: {{pattern: ".{{0,200}}"}}' for one in given)
        commands.append(f"  - {{prompt: {name}, arguments: {{{limits}}}}}")
    head = ("name: conformance", "kind: mcp", "summary: Call every tool", "risk: low", "commands:")
    policy = files(0)["policies/desk-work.yaml"].replace("[agent-ticket]", "[agent-ticket, conformance]")
    # The suites call tools that nobody may, and the grant must not end because of that.
    policy = policy.replace("limit: 20", "limit: 1000")
    examples = "examples: {allow: [test_simple_text], refuse: ['test_simple_text {\"also\": 1}']}\n"
    return {
        "command-sets/conformance.yaml": "\n".join((*head, *commands, examples)),
        "policies/desk-work.yaml": policy,
    }


def _run(url: str, version: str) -> int:
    """Run the suite of one version of the protocol, print its summary, and return its exit status."""
    package, expected = SUITES[version]
    modules = PACKAGES / "node_modules"
    words: list[Any] = [
        *(modules / ".bin" / "node", modules / package / "dist" / "index.js", "server"),
        *("--url", url, "--suite", "all", "--spec-version", version),
        *("--expected-failures", HERE / expected, "--output-dir", PACKAGES / "results" / version),
    ]
    ran = subprocess.run(words, cwd=PACKAGES, env=os.environ, check=False, capture_output=True, text=True)
    head, marker, summary = ran.stdout.partition("=== SUMMARY ===")
    print(f"{version}\n{summary if marker else head}{ran.stderr}", flush=True)
    return ran.returncode


if __name__ == "__main__":
    sys.exit(main())
