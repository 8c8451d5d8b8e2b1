// Stint's script: countdowns, dark mode, copying and live updates.
(() => {
  const root = document.documentElement;
  root.classList.add('js');
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const hear = document.addEventListener.bind(document);
  const two = n => String(n).padStart(2, '0');
  const show = s => s >= 3600
    ? `${Math.floor(s / 3600)}:${two(Math.floor(s % 3600 / 60))}:${two(s % 60)}`
    : `${Math.floor(s / 60)}:${two(s % 60)}`;
  const marks = new Map([[900, '15 minutes left'], [300, '5 minutes left'], [60, '1 minute left'], [0, 'Access has ended']]);
  const ends = new WeakMap();
  const say = text => { const box = document.getElementById('say'); if (box) box.textContent = text; };

  // The server sends the seconds left; the browser's monotonic clock counts down.
  const tick = () => all('[data-left]').forEach(el => {
    const said = ends.get(el);
    if (!said || said.left !== el.dataset.left) {
      ends.set(el, { left: el.dataset.left, end: performance.now() + 1000 * Number(el.dataset.left) });
    }
    const left = Math.max(0, Math.round((ends.get(el).end - performance.now()) / 1000));
    const text = show(left);
    if (el.textContent !== text) {
      el.textContent = text;
      if (el.hasAttribute('data-say') && marks.has(left)) say(marks.get(left));
    }
  });

  const copy = async button => {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      say('Copied');
    } catch {
      // Plain HTTP has no clipboard API: select the text, so that the user can copy it.
      const code = button.parentElement.querySelector('code');
      if (code) getSelection().selectAllChildren(code);
      say('Selected');
    }
  };

  const switchTheme = () => {
    const dark = matchMedia('(prefers-color-scheme: dark)').matches;
    const next = (root.dataset.theme || (dark ? 'dark' : 'light')) === 'dark' ? 'light' : 'dark';
    root.dataset.theme = next;
    document.cookie = `stint_theme=${next}; path=/; max-age=31536000; samesite=lax`;
  };

  // --- Live updates ---

  const QUICK = 2000, SLOW = 60000, RETRY = 30000;
  let stream = null;

  // One event stream per page. Its events signal changes. It is closed while the page is hidden, and resumes after the last
  // record entry that the page has seen. Without it, the page polls every two seconds, and reconnects later.
  class Stream extends EventTarget {
    constructor(url) {
      super();
      this.url = url;
      hear('visibilitychange', () => document.hidden ? this.close() : this.open(true));
      if (!document.hidden) this.open(false);
    }

    open(late) {
      this.close();
      const after = document.querySelector('#pulse [name=after]').value;
      const source = new EventSource(`${this.url}?after=${after}`, { withCredentials: true });
      source.addEventListener('changed', () => this.look());
      source.addEventListener('open', () => this.wait());
      source.addEventListener('error', () => this.wait());
      this.source = source;
      this.retryAt = performance.now() + RETRY;
      if (late) this.look(); else this.wait();
    }

    look() {
      this.dispatchEvent(new Event('changed'));
      this.wait();
    }

    wait() {
      clearTimeout(this.timer);
      const open = this.source?.readyState === EventSource.OPEN;
      this.timer = setTimeout(() => this.next(), open ? SLOW : QUICK);
    }

    next() {
      const dead = this.source.readyState === EventSource.CLOSED && performance.now() > this.retryAt;
      if (dead) this.open(true); else this.look();
    }

    close() {
      clearTimeout(this.timer);
      this.source?.close();
    }
  }

  // The number of waiting items is also in the title and the icon.
  const count = name => Number(document.querySelector(`#pulse [name=${name}]`)?.value || 0);
  const showCounts = () => {
    all('[data-count]').forEach(el => {
      const n = count(el.dataset.count);
      el.hidden = !n;
      el.firstChild.data = n;
    });
    const waiting = count('waiting');
    document.title = (waiting ? `(${waiting}) ` : '') + document.title.replace(/^\(\d+\) /, '');
    const icon = document.querySelector('link[rel=icon]');
    icon.href = icon.dataset[waiting ? 'waiting' : 'calm'];
  };

  hear('stint:changed', event => {
    showCounts();
    if (event.detail.say) say(event.detail.say);
    all('[data-live]').forEach(el => {
      const wanted = el.dataset.live.split(' ').filter(Boolean);
      if (!wanted.length || wanted.some(one => event.detail.families.includes(one))) window.htmx.trigger(el, 'look');
    });
  });

  // An update keeps typed text, the selection and opened parts.
  const touched = el => el.type !== 'hidden' && (el === document.activeElement || el.value !== el.defaultValue
    || el.checked !== el.defaultChecked || el.selected !== el.defaultSelected);
  const keep = (name, el) => name !== 'open' && !(['value', 'checked', 'selected'].includes(name) && touched(el));

  // A held command that joins a list is not selected: no one has read it.
  const unread = el => {
    const box = el.matches?.('.alike > li') && el.querySelector('[name=hold]');
    if (box) box.checked = false;
  };

  const lost = shown => all('[data-lost]').forEach(el => { el.hidden = !shown; });
  const isLive = el => el.closest('#pulse, [data-live]');
  // Other parts show that they are loading, or that loading failed.
  const busy = (part, waits) => part.setAttribute('aria-busy', waits);
  const note = (part, html) => {
    const box = part.querySelector(':scope > .stale') || document.createElement(part.matches('ol, ul') ? 'li' : 'p');
    if (box.html === html) return;
    box.className = 'stale note t-warn';
    box.html = box.innerHTML = html;
    part.prepend(box);
    say(box.textContent);
  };
  hear('htmx:beforeRequest', event => {
    if (!isLive(event.target)) busy(event.detail.target, true);
  });
  // People who were signed out elsewhere stay on the page, with their input.
  const failed = ({ target, detail }) => {
    const out = detail.xhr?.getResponseHeader('Location');
    if (isLive(target) && !out) lost(true);
    else note(isLive(target) ? document.getElementById('main') : detail.target, out ? detail.xhr.responseText
      : 'This may be out of date. Try again.');
  };
  ['htmx:sendError', 'htmx:timeout', 'htmx:responseError'].forEach(name => hear(name, failed));
  hear('htmx:afterRequest', event => {
    if (!isLive(event.target)) busy(event.detail.target, false);
    else if (event.detail.successful) {
      lost(false);
      document.querySelector('#main > .stale')?.remove();
    }
  });
  // Sends the version that was read, to show the changes since then.
  hear('htmx:configRequest', event => {
    const read = event.target.matches('[data-live]') && event.target.querySelector('[name=read]');
    if (read) event.detail.parameters.set('read', read.value);
  });
  hear('htmx:afterSwap', tick);

  hear('click', event => {
    const on = selector => event.target.closest(selector);
    if (on('[data-copy]')) copy(on('[data-copy]'));
    if (on('[data-theme-switch]')) switchTheme();
    if (on('[data-to]')) document.getElementById(on('[data-to]').hash.slice(1))?.focus();
    if (on('[data-try]') && stream) stream.open(true);
  });
  // A double click doesn't submit a form twice.
  let sent = null;
  hear('submit', event => {
    if (event.target === sent) event.preventDefault();
    sent = event.target;
    setTimeout(() => { sent = null; }, 1000);
  });
  // Of a selected and a typed duration, the last one counts.
  hear('input', ({ target: { name, form } }) => {
    if (name === 'other_duration') all('[name=duration]').forEach(el => { el.checked = false; });
    else if (name === 'duration' && form.other_duration) form.other_duration.value = '';
  }, true);
  hear('DOMContentLoaded', () => {
    if (window.htmx) window.htmx.createEventSource = url => { stream = new Stream(url); return stream; };
    if (window.Idiomorph) Object.assign(window.Idiomorph.defaults.callbacks, { beforeAttributeUpdated: keep, afterNodeAdded: unread });
    tick();
    setInterval(tick, 1000);
  });
})();
