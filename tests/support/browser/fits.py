"""Checks that a page fits its screens: nothing is cut off, overlaps, or is too small to use."""

from urllib.parse import urlsplit

from playwright.sync_api import Page

from tests.support.browser.screens import DESK, PHONE, SMALLEST

TABLET, LARGE = {"width": 768, "height": 1024}, {"width": 1440, "height": 900}
# Below this width the pages must work with thumbs.
THUMBS = 861
FINGER, POINTER, FIELD = 44, 24, 160

# Checks the page as it loads, and with everything that unfolds open. Sizes are in CSS pixels.
_LOOK = """
([target, field]) => {
  const found = new Set();
  const named = el => {
    const classes = String(el.className.baseVal ?? el.className).trim().replace(/ +/g, '.');
    const text = (el.getAttribute('aria-label') || el.textContent || el.name || '').trim();
    return `${el.tagName.toLowerCase()}${el.id ? '#' + el.id : ''}.${classes}`
      + ` “${text.replace(/\\s+/g, ' ').slice(0, 40)}”`;
  };
  const clipped = new Map();
  const isClipped = el => {
    if (!el) return false;
    if (!clipped.has(el)) {
      clipped.set(el, getComputedStyle(el).clipPath !== 'none' || isClipped(el.parentElement));
    }
    return clipped.get(el);
  };
  // For screen readers alone, until it has the focus, or vendored as it is.
  const hidden = el => !el.checkVisibility({visibilityProperty: true}) || isClipped(el)
    || el.closest('.skip, .xterm');
  const shown = selector => [...document.querySelectorAll(selector)].filter(el => !hidden(el));

  // Fields. Those in tables, and those for a small number, may be narrow. A box to tick is judged by its
  // label, below.
  const FIELDS = 'input:not([type=hidden], [type=checkbox], [type=radio]), select, textarea';
  const fields = () => shown(FIELDS).forEach(el => {
    const width = el.getBoundingClientRect().width, least = el.closest('td, .often') ? 64 : field;
    if (width < least - .5) found.add(`${named(el)} is a field of ${Math.round(width)} px`);
  });

  // Targets. A link in a sentence is as high as its line (WCAG 2.5.8), and a box to tick is as large as its
  // label.
  const TARGETS = 'a[href], button, summary, select, textarea, .seg label, input:not([type=hidden])';
  const targets = () => shown(TARGETS).forEach(el => {
    if (getComputedStyle(el).display === 'inline' || el.closest('svg')) return;
    const box = (el.closest('label') || el.closest('.find') || el).getBoundingClientRect();
    const short = Math.min(box.height, el.matches('a, summary') ? target : box.width);
    const size = `${Math.round(box.width)} × ${Math.round(box.height)} px`;
    if (short < target - .1) found.add(`${named(el)} is a target of ${size}`);
  });

  // Texts, line by line, with what cuts them off. What scrolls shows all of it.
  const cuts = new Map();
  const cutBy = el => {
    if (!el || el === document.documentElement) return [];
    if (cuts.has(el)) return cuts.get(el);
    const style = getComputedStyle(el), over = [style.overflowX, style.overflowY];
    const here = over.some(one => one === 'hidden' || one === 'clip') ? [el] : [];
    const last = over.some(one => one === 'auto' || one === 'scroll') || style.position === 'fixed';
    const all = last ? here : [...here, ...cutBy(el.parentElement)];
    cuts.set(el, all);
    return all;
  };
  const fixed = el => {
    for (; el; el = el.parentElement) if (getComputedStyle(el).position === 'fixed') return true;
    return false;
  };
  const scrolls = el => {
    for (; el && el !== document.body; el = el.parentElement) {
      if (/auto|scroll/.test(getComputedStyle(el).overflow)) return true;
    }
    return false;
  };
  const texts = () => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const lines = [], range = document.createRange();
    while (walker.nextNode()) {
      const node = walker.currentNode, el = node.parentElement;
      const unseen = el.closest('option, textarea, noscript, script, style');
      if (!node.data.trim() || hidden(el) || unseen || fixed(el)) continue;
      range.selectNodeContents(node);
      for (const box of range.getClientRects()) if (box.width > 1 && box.height > 1) lines.push({ el, box });
    }
    return lines;
  };
  const cut = lines => lines.forEach(({ el, box }) => {
    for (const by of cutBy(el)) {
      const edge = by.getBoundingClientRect();
      const style = getComputedStyle(by);
      if ((style.overflowX !== 'visible' && (box.right > edge.right + 1.5 || box.left < edge.left - 1.5))
        || (style.overflowY !== 'visible' && (box.bottom > edge.bottom + 2.5 || box.top < edge.top - 2.5))) {
        found.add(`${named(el)} is cut off by ${named(by)}`);
        return;
      }
    }
    const leaves = box.right > innerWidth + 1.5 || box.left < -1.5;
    if (leaves && !el.closest('svg') && !scrolls(el)) found.add(`${named(el)} leaves the screen`);
  });
  const over = lines => {
    const controls = shown(`.btn, ${FIELDS}`).filter(el => !fixed(el) && !scrolls(el));
    const boxes = [...lines.filter(({ el }) => !scrolls(el)),
      ...controls.map(el => ({ el, box: el.getBoundingClientRect() }))];
    boxes.sort((one, other) => one.box.top - other.box.top);
    boxes.forEach((one, at) => {
      for (let next = at + 1; next < boxes.length && boxes[next].box.top < one.box.bottom - 3; next++) {
        const other = boxes[next];
        if (one.el.contains(other.el) || other.el.contains(one.el)) continue;
        const wide = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
        const high = Math.min(one.box.bottom, other.box.bottom) - Math.max(one.box.top, other.box.top);
        if (wide > 2 && high > 3) found.add(`${named(one.el)} and ${named(other.el)} lie over each other`);
      }
    });
  };

  const lines = texts();
  cut(lines);
  over(lines);
  fields();
  targets();
  const closed = [...document.querySelectorAll('details:not([open])')];
  closed.forEach(el => { el.open = true; });
  fields();
  targets();
  closed.forEach(el => { el.open = false; });
  return [...found];
}
"""
_WIDE = """
() => [...document.querySelectorAll('body *')].filter(el => el.getBoundingClientRect().right > innerWidth + 1
  && !el.closest('.vh, .skip') && el.checkVisibility())
  .map(el => `${el.tagName.toLowerCase()}.${el.className}`).slice(-3)
"""


def misfits(page: Page) -> list[str]:
    """Return what does not fit on any screen, from the smallest phone to a large desktop.

    The page is loaded once.
    """
    where, found = urlsplit(page.url).path, []
    for size in (SMALLEST, PHONE, TABLET, LARGE, DESK):
        page.set_viewport_size(size)
        if page.evaluate("document.documentElement.scrollWidth") > size["width"]:
            found.append(f"{where} scrolls sideways at {size['width']}: {page.evaluate(_WIDE)}")
        target = FINGER if size["width"] < THUMBS else POINTER
        # On the smallest screen a field may be narrower than is comfortable, as long as nothing is cut off.
        field = FIELD if size is not SMALLEST else 0
        found += [f"{where} at {size['width']}: {one}" for one in page.evaluate(_LOOK, [target, field])]
    return found
