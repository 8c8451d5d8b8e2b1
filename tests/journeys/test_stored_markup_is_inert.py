"""Text from people, hosts and commands is shown as text, in a real browser that only escaping protects."""

import json

import pytest
from django.conf import settings

from sessions_app.models import CommandRun
from tests.sessions_app.web.pages import walk
from tests.support.browser.stage import go, is_page, lines
from tests.support.world import markup
from tests.support.world.files import earlier_listing

ESCAPED = f"\x1b[31m{markup.EVIL}\x1b]8;;javascript:window.canary=1\x07link\x1b]8;;\x07\x1b[0m\n"
# Elements that only unescaped markup can create.
# The recording player and the charts set styles, so only active content is checked there.
FOREIGN = """
() => [...document.querySelectorAll(
    'img, iframe, script:not([src]), [onerror], [onload], [style], a[href^="javascript:" i]')]
  .filter(el => !(el.closest('.ap-player, .uplot') && el.matches('[style]')
    && !el.matches('img, iframe, script, [onerror], [onload]')))
  .map(el => el.outerHTML.slice(0, 120)).concat(window.canary ? ['it ran'] : [])
"""


@pytest.fixture(scope="module")
def spoiled(stage):
    """Make a scene in which every text is markup: names, reasons, hosts, lines, the name of a listed file,
    and the output of commands, in a file whose name is markup too.
    """
    stage.scene.transfer = earlier_listing(stage.scene.grant, stage.scene.now, markup.EVIL)
    urls = {who: walk(stage.scene, who) for who in ("alice", "bob", "admin")}
    columns = markup.spoil(settings.DATABASES["default"]["NAME"])
    name = "<img src=x onerror=window.canary=1>.cast"
    head = {"version": 2, "width": 80, "height": 24, "title": markup.EVIL}
    path = stage.scene.recordings / name
    path.write_text(f"{json.dumps(head)}\n{json.dumps([0.1, 'o', ESCAPED])}\n")
    CommandRun.objects.exclude(recording="").update(recording=name)
    return urls, columns


@pytest.mark.parametrize("who", ["alice", "bob", "admin"])
def test_stored_markup_is_shown_as_text_and_does_nothing(stage, spoiled, who):
    urls, _ = spoiled
    # Without the Content-Security-Policy, which would block most of it even where escaping is missing.
    page = stage.enter(who, bypass_csp=True)
    page.on("dialog", lambda dialog: dialog.dismiss())
    found, shown = [], 0
    for name, each in urls[who].items():
        for url in each:
            answer = go(page, url)
            assert answer.status == 200, (name, url)
            if "text/html" not in answer.headers["content-type"]:
                continue
            found += [f"{url}: {one}" for one in page.evaluate(FOREIGN)]
            shown += is_page(page) and "<script>window.canary=1</script>" in page.inner_text("body")
    assert not found, lines(found)
    assert shown > 10
