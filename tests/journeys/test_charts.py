"""The charts of the insight page in a browser."""

from broker.kernel import clock
from sessions_app.models import Grant
from tests.support.browser import axe

# Of each chart: the numbers that it draws, and the texts in the columns that it draws of the table.
DRAWN = """() => [...document.querySelectorAll('[data-chart]')].map(box => {
  const table = box.closest('.figure').querySelector('table');
  const heads = [...table.querySelectorAll('thead th')].slice(1);
  const told = heads.flatMap((head, at) => head.dataset.tone ? [[...table.querySelectorAll('tbody tr')].map(
    row => row.querySelectorAll('td')[at].dataset.v).map(text => text === '' ? null : Number(text))] : []);
  const sums = told[0].map(() => 0);
  const stacked = told.map(each => each.map((number, at) => number ? (sums[at] += number) : null)).reverse();
  const drawn = box.querySelector('.uplot canvas').getContext('2d').getImageData(0, 0, 2000, 400);
  const ink = drawn.data.some(byte => byte);
  const wanted = box.dataset.chart === 'lines' ? told : stacked;
  return [JSON.stringify(box.plot.data.slice(1)), JSON.stringify(wanted), ink];
})"""


def test_charts_draw_the_numbers_of_their_tables_and_without_a_script_the_tables_are_open(live_world, visit):
    live_world.grant()
    Grant.objects.update(created_at=clock.now())
    page = visit("bob", color_scheme="dark")
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto("/insight/?days=7")
    charts = page.evaluate(DRAWN)
    assert len(charts) >= 2
    for drawn, told, ink in charts:
        assert (drawn, ink) == (told, True)
    assert not complaints
    assert page.locator("#risk table").is_hidden()
    axe.load(page)
    assert not axe.violations(page)
    plain = visit("bob", java_script_enabled=False)
    plain.goto("/insight/?days=7")
    assert plain.locator("#risk table").is_visible()
    assert plain.locator("#risk .chart").is_hidden()
