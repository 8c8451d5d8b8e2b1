// Keyboard shortcuts, and the command palette.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const hear = document.addEventListener.bind(document);
  const shown = el => el.getClientRects().length > 0;
  const isOpen = () => document.querySelector('dialog[open]');
  const words = text => text.toLowerCase().split(/\s+/).filter(Boolean);

  // In some browsers, reading or writing the storage fails.
  const stored = name => { try { return localStorage.getItem(name); } catch { return null; } };
  const store = (name, value) => { try { localStorage.setItem(name, value); } catch { /* Kept for this page only. */ } };
  const forget = (except = '') => {
    try {
      Object.keys(localStorage).filter(name => name.startsWith('stint-recent') && name !== except)
        .forEach(name => localStorage.removeItem(name));
    } catch { /* Nothing was stored. */ }
  };

  // --- Keys ---

  const PLACES = { h: '/', r: '/requests/new/', a: '/approvals/', g: '/grants/', t: '/timeline/', n: '/notices/' };
  const ROWS = '#main [data-row], #main .list tbody tr, #main .need > li, #main .log > li';
  // A control's key is in its data-key attribute.
  const CONTROLS = {
    a: '[data-key=a], button[name=verdict][value=approve]',
    d: '[data-key=d], button[name=verdict][value=deny]',
    e: '[data-key=e]',
    s: '[data-key=s]',
  };
  const OPENS = 'a, summary, button[type=button], button[popovertarget]';
  let leader = 0;
  const typing = el => el.closest('input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]');
  const keysAreOff = () => stored('stint-keys') === 'off';

  const help = () => {
    const dialog = document.getElementById('keys');
    if (!dialog || isOpen()) return;
    dialog.querySelector('[data-keys]').checked = !keysAreOff();
    dialog.showModal();
  };

  const step = by => {
    const rows = all(ROWS).filter(row => row.offsetParent && row.querySelector('a, button, summary'));
    const here = rows.findIndex(row => row.contains(document.activeElement));
    const next = rows[Math.min(rows.length - 1, Math.max(0, here < 0 ? 0 : here + by))];
    if (!next) return;
    (next.querySelector('a') || next.querySelector('button, summary')).focus();
    next.scrollIntoView({ block: 'nearest' });
  };

  const search = () => {
    const find = document.getElementById('find');
    if (find && shown(find)) find.focus();
  };

  // Activates the page's control for a key, first that of the focused row. A button with an effect is only focused.
  const reach = key => {
    const places = [document.activeElement.closest(ROWS), document.getElementById('main'), document.getElementById('decide-bar')];
    const control = places.flatMap(place => place ? all(CONTROLS[key], place) : []).find(shown);
    if (!control) return;
    control.scrollIntoView({ block: 'center' });
    control.focus();
    const folded = control.matches('summary') && control.parentElement;
    if (control.matches(OPENS) && !(folded && folded.open)) control.click();
    if (folded) folded.querySelector('input:not([type=hidden]), textarea, button')?.focus();
  };

  const KEYS = {
    '/': search,
    '?': help,
    a: () => reach('a'),
    c: () => location.assign(PLACES.r),
    d: () => reach('d'),
    e: () => reach('e'),
    g: () => { leader = performance.now() + 1500; },
    j: () => step(1),
    k: () => step(-1),
    s: () => reach('s'),
  };

  hear('keydown', event => {
    if (event.key === 'Escape') all('details.act[open]').forEach(el => { el.open = false; });
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === 'k') {
      if (togglePalette()) event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || keysAreOff() || isOpen()) return;
    const place = performance.now() < leader && PLACES[event.key];
    leader = 0;
    if (place) location.assign(place);
    else if (KEYS[event.key]) KEYS[event.key]();
    else return;
    event.preventDefault();
  });
  hear('change', event => {
    if (event.target.matches('[data-keys]')) store('stint-keys', event.target.checked ? 'on' : 'off');
  });

  // --- Palette ---

  const WAIT = 100, SHORTEST = 2, MOST_RECENT = 8;
  const ACTIONS = '.side a:not(.brand), .top a.t-glass, .top a.who, .top [data-theme-switch], .side [data-help], #main [data-key]';
  const PAGE = /^\/(approvals|clusters|command-sets|docs|grants|incidents|people|policies|requests|workflows)\/([^/]+)\/$/;
  const KINDS = {
    approvals: ['request', 'stamp'], clusters: ['cluster', 'cluster'], 'command-sets': ['command set', 'cmd'], docs: ['guide', 'book'],
    grants: ['grant', 'term'], incidents: ['incident', 'flame'], people: ['person or machine', 'people'], policies: ['policy', 'policy'],
    requests: ['request', 'ticket'], workflows: ['workflow', 'clock'],
  };
  let palette, input, list, status, timer, asking, active = -1, options = [];

  const recentKey = () => `stint-recent-${palette.dataset.identity}`;
  // Only addresses are stored, which name an object by its reference.
  const recent = () => {
    try { return JSON.parse(stored(recentKey()) || '[]').filter(url => PAGE.test(url)); } catch { return []; }
  };
  const remember = () => {
    if (!PAGE.test(location.pathname) || location.pathname === PLACES.r || document.querySelector('#main [data-error]')) return;
    store(recentKey(), JSON.stringify([location.pathname, ...recent().filter(url => url !== location.pathname)].slice(0, MOST_RECENT)));
  };
  const asItem = url => {
    const [, kind, name] = PAGE.exec(url);
    const [detail, icon] = KINDS[kind];
    return { label: decodeURIComponent(name), detail, icon, url };
  };

  const label = el => {
    const copy = el.cloneNode(true);
    all('.count, kbd, .face', copy).forEach(part => part.remove());
    return copy.textContent.trim().replace(/\s+/g, ' ');
  };
  const actions = text => {
    const wanted = words(text);
    const controls = all(ACTIONS).filter(el => !el.matches('#main *') || shown(el));
    return controls.map(el => ({ label: label(el), icon: el.querySelector('use')?.getAttribute('href').split('#')[1] || 'chev', el }))
      .filter(one => one.label && wanted.every(word => one.label.toLowerCase().includes(word)));
  };

  const part = (tag, look, text) => {
    const el = document.createElement(tag);
    if (look) el.className = look;
    if (text) el.textContent = text;
    return el;
  };
  const icon = name => {
    const box = part('span', 'ico');
    box.innerHTML = '<svg class="i" aria-hidden="true"><use/></svg>';
    box.querySelector('use').setAttribute('href', `${palette.dataset.icons}#${name}`);
    return box;
  };
  const option = item => {
    const el = part('div', 'opt');
    el.id = `palette-${options.length}`;
    el.setAttribute('role', 'option');
    el.append(icon(item.icon), part('span', item.code ? 'name mono' : 'name', item.label), part('span', 'about', item.detail));
    options.push({ ...item, box: el });
    return el;
  };
  const group = ({ title, items }, at) => {
    const box = part('div', 'group');
    const heading = part('div', 'title', title);
    heading.id = `palette-title-${at}`;
    box.setAttribute('role', 'group');
    box.setAttribute('aria-labelledby', heading.id);
    box.append(heading, ...items.map(option));
    return box;
  };

  const choose = at => {
    active = options.length ? (at + options.length) % options.length : -1;
    options.forEach((one, number) => one.box.setAttribute('aria-selected', number === active));
    if (active < 0) return input.removeAttribute('aria-activedescendant');
    input.setAttribute('aria-activedescendant', options[active].box.id);
    options[active].box.scrollIntoView({ block: 'nearest' });
  };

  const show = (text, found) => {
    const rest = text && [{ label: `Search for “${text}”`, detail: 'all results', icon: 'search', url: `/search/?q=${encodeURIComponent(text)}` }];
    const groups = text
      ? [...found.slice(0, 1).filter(one => one.exact), { title: 'Actions', items: actions(text).slice(0, 5) },
        ...found.filter(one => !one.exact), { title: 'Search', items: rest }]
      : [{ title: 'Recent', items: recent().filter(url => url !== location.pathname).map(asItem) }, { title: 'Actions', items: actions('') }];
    const chosen = active > 0 ? options[active]?.box.textContent : null;
    options = [];
    list.replaceChildren(...groups.filter(one => one.items.length).map(group));
    const kept = options.findIndex(one => one.box.textContent === chosen);
    const named = options.findIndex(one => one.label.toLowerCase() === text.toLowerCase());
    choose(Math.max(0, kept < 0 ? named : kept));
    status.textContent = `${options.length} ${options.length === 1 ? 'result' : 'results'}`;
  };

  const ask = async text => {
    asking?.abort();
    asking = new AbortController();
    try {
      const answer = await fetch(`${palette.dataset.url}?q=${encodeURIComponent(text)}`, { signal: asking.signal });
      if (answer.redirected) throw new Error('signed out');
      if (!answer.ok) throw new Error('failed');
      const { groups } = await answer.json();
      if (text === input.value.trim()) show(text, groups);
    } catch (error) {
      if (error.name === 'AbortError') return;
      status.textContent = error.message === 'signed out' ? 'You are signed out. Reload the page to sign in.'
        : 'Search failed. Press Enter to open the search page.';
      choose(options.length - 1);
    }
  };
  const typed = () => {
    const text = input.value.trim();
    clearTimeout(timer);
    asking?.abort();
    active = -1;
    show(text, []);
    if (text.length >= SHORTEST) timer = setTimeout(() => ask(text), WAIT);
  };

  const go = (one, elsewhere) => {
    if (!one) return;
    palette.close();
    if (one.url && elsewhere) window.open(one.url);
    else if (one.url) location.assign(one.url);
    else if (one.el.matches('#main *')) reach(one.el.dataset.key);
    else one.el.click();
  };

  const togglePalette = () => {
    if (palette?.open) palette.close();
    else if (!palette || isOpen()) return Boolean(palette);
    else {
      palette.showModal();
      input.select();
      typed();
    }
    return true;
  };

  const onPaletteKey = event => {
    if (event.isComposing) return;
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by) choose(active + by);
    else if (event.key === 'Enter' && active >= 0) go(options[active], event.ctrlKey || event.metaKey);
    else return;
    event.preventDefault();
  };

  hear('click', event => {
    if (event.target.closest('[data-help]')) help();
    if (event.target.closest('[data-palette]')) togglePalette();
    if (event.target === palette) palette.close();
    const box = palette?.open && event.target.closest('.opt');
    if (box) go(options.find(one => one.box === box), event.ctrlKey || event.metaKey);
  });
  hear('submit', event => { if (event.target.matches('[data-sign-out]')) forget(); });

  hear('DOMContentLoaded', () => {
    palette = document.getElementById('palette');
    if (!palette) {
      if (document.querySelector('[data-signed-out]')) forget();
      return;
    }
    [input, list, status] = ['input', '[role=listbox]', '[role=status]'].map(one => palette.querySelector(one));
    if (/Mac|iPhone|iPad/.test(navigator.platform)) all('[data-palette] kbd').forEach(el => { el.textContent = '⌘K'; });
    input.addEventListener('input', typed);
    input.addEventListener('keydown', onPaletteKey);
    forget(recentKey());
    remember();
  });
})();
