"""The accessibility checker (axe), run in an open page."""

import functools
import hashlib
from typing import Any

from playwright.sync_api import Page

from tests.environment import ROOT

FOLDER = ROOT / "tests" / "vendor" / "axe"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Rules that depend on the color scheme; all others give the same result in light and dark.
COLORS = ["color-contrast", "link-in-text-block"]


@functools.cache
def source() -> str:
    """Return the checker's source. Raises AssertionError if one of its files is not the vendored one."""
    for line in (FOLDER / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest, name
    return (FOLDER / "axe.min.js").read_text()


def load(page: Page) -> None:
    """Load the checker into the page, past its Content-Security-Policy, as a debugger may."""
    # A click that leads to another page returns when the response starts, before there is a document.
    page.wait_for_load_state()
    page.evaluate(f"{source()};0")


def violations(page: Page, *, rules: list[str] | None = None) -> list[str]:
    """Return the checker's violations, one a line, in a page into which it was loaded."""
    only = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": TAGS}
    found: list[dict[str, Any]] = page.evaluate(
        # Style sheets are local and loaded; fetching them again only serves rules that are not used.
        "only => axe.run(document, {runOnly: only, resultTypes: ['violations'], elementRef: false, preload:"
        " false}).then(result => result.violations)",
        only,
    )
    return [
        f"{rule['id']} ({rule['help']}): {node['html'][:160]} | {node.get('failureSummary', '')[:200]}"
        for rule in found
        for node in rule["nodes"][:4]
    ]
