"""`python -m tests.screenshots`: screenshots of every page with the scene, from the web process as in
production.

They are saved in ``.cache/screenshots``; with README=1, reduced copies for the README are saved in
``.readme``.
"""

import importlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SIZES = {"1280": {"width": 1280, "height": 800}, "390": {"width": 390, "height": 844}}
SCHEMES = ("light", "dark")
# By file: the reader, the page, the screen and the color scheme.
README = {
    "approval": ("bob", "approval", "1280", "light"),
}
MOST_BYTES = 1_000_000


def main() -> int:
    """Take the screenshots, and return 1 if those of the README are too large in total."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "broker.settings"
    environment = importlib.import_module("tests.environment")
    import django

    django.setup()
    folder = environment.ROOT / ".cache" / "screenshots"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with _site() as (scene, site):
        count = _every_page(scene, site, folder, set(sys.argv[1:]))
        print(f"{count} pictures in {folder.relative_to(environment.ROOT)}")
        if os.environ.get("README") == "1":
            return _readme(scene, site, environment.ROOT / ".readme")
    return 0


@contextmanager
def _site() -> Iterator[tuple[Any, str]]:
    """Yield the scene, and the URL of a web process that shows it."""
    from broker.kernel import clock
    from tests.bench.database import empty_database
    from tests.environment import POSTGRES
    from tests.support.browser.site import serve
    from tests.support.world.scene import make_scene

    with empty_database() as name, tempfile.TemporaryDirectory(prefix="stint-screenshots-") as folder:
        scene = make_scene(clock.now(), Path(folder), extremes=False)
        env = {
            **os.environ,
            "DATABASE_URL": POSTGRES.url("stint_app", name),
            "STINT_RECORDINGS_DIR": folder,
        }
        with serve(env, Path(folder)) as site:
            yield scene, site


def _every_page(scene: Any, site: str, folder: Path, wanted: set[str]) -> int:
    """Yield each page, with the reader who sees most of it."""
    from django.urls import reverse
    from playwright.sync_api import sync_playwright

    from tests.sessions_app.web.pages import OPEN, READABLE, addresses, reader
    from tests.support.browser.site import sign_in, start_chromium

    count = 0
    looks = [(name, reader(name), addresses(scene, reader(name))[name]) for name in READABLE]
    looks += [(name, "", [reverse(name)]) for name in sorted(OPEN)]
    # No queries from here on: inside the browser's event loop, Django would open a separate connection.
    with sync_playwright() as playwright:
        browser = start_chromium(playwright)
        pages: dict[str, Any] = {}
        for name, who, urls in looks:
            if wanted and name not in wanted:
                continue
            if who not in pages:
                pages[who] = browser.new_context(base_url=site, reduced_motion="reduce").new_page()
                if who:
                    sign_in(pages[who], who)
            for number, url in enumerate(urls):
                count += _take(pages[who], url, folder, name if number == 0 else f"{name}-{number}")
        browser.close()
    return count


def _take(page: Any, url: str, folder: Path, name: str) -> int:
    from tests.support.browser.stage import is_page, is_shown

    if not is_shown(page, url):
        return 0
    page.goto(url)
    if not is_page(page):
        return 0
    for size, viewport in SIZES.items():
        page.set_viewport_size(viewport)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            # A window as tall as the page, so that elements fixed to the window's bottom are at the page's
            # bottom.
            height = page.evaluate("document.documentElement.scrollHeight")
            page.set_viewport_size({**viewport, "height": max(height, viewport["height"])})
            page.screenshot(path=folder / f"{name}-{size}-{scheme}.png")
    return len(SIZES) * len(SCHEMES)


def _readme(scene: Any, site: str, folder: Path) -> int:
    """Save the README's pages, cropped to one screen and with few colors, so that they are small."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    from tests.sessions_app.web.pages import addresses
    from tests.support.browser.site import sign_in, start_chromium

    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    looks = {name: addresses(scene, who)[listed][0] for name, (who, listed, *_) in README.items()}
    with sync_playwright() as playwright:
        browser = start_chromium(playwright)
        for name, (who, _, size, scheme) in README.items():
            context = browser.new_context(
                base_url=site, viewport=SIZES[size], color_scheme=scheme, reduced_motion="reduce"
            )
            page = context.new_page()
            sign_in(page, who)
            page.goto(looks[name])
            with Image.open(io.BytesIO(page.screenshot())) as taken:
                taken.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
                    folder / f"{name}.png", optimize=True
                )
            context.close()
        browser.close()
    sizes = {path.name: path.stat().st_size for path in sorted(folder.glob("*.png"))}
    for name, size in sizes.items():
        print(f"{size / 1000:7.0f} KB  {name}")
    print(f"{sum(sizes.values()) / 1000:7.0f} KB  together, of at most {MOST_BYTES / 1000:.0f}")
    return 1 if sum(sizes.values()) > MOST_BYTES else 0


if __name__ == "__main__":
    sys.exit(main())
