// All of Stint's own script: countdowns, light and dark, copying, keys, and holding polls while nobody looks.
(() => {
  const root = document.documentElement;
  root.classList.add('js');
  const two = n => String(n).padStart(2, '0');
  const show = s => s >= 3600
    ? `${Math.floor(s / 3600)}:${two(Math.floor(s % 3600 / 60))}:${two(s % 60)}`
    : `${Math.floor(s / 60)}:${two(s % 60)}`;
  const marks = new Map([[900, '15 minutes left'], [300, '5 minutes left'], [60, '1 minute left'], [0, 'Access has ended']]);
  const ends = new WeakMap();
  const say = text => { const box = document.getElementById('say'); if (box) box.textContent = text; };

  // The server says how many seconds are left; from then on the browser's own steady clock counts.
  const tick = () => document.querySelectorAll('[data-left]').forEach(el => {
    if (!ends.has(el)) ends.set(el, performance.now() + 1000 * Number(el.dataset.left));
    const left = Math.max(0, Math.round((ends.get(el) - performance.now()) / 1000));
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
      // No clipboard on plain http: select the text, so that one key copies it.
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

  const typing = el => el.closest('input, textarea, select, [contenteditable]');

  document.addEventListener('click', event => {
    const copier = event.target.closest('[data-copy]');
    if (copier) copy(copier);
    const switcher = event.target.closest('[data-theme-switch]');
    if (switcher) switchTheme();
  });
  document.addEventListener('keydown', event => {
    if (event.key === '/' && !event.ctrlKey && !event.metaKey && !event.altKey && !typing(event.target)) {
      const find = document.getElementById('find');
      if (find && find.offsetParent) { event.preventDefault(); find.focus(); }
    }
    if (event.key === 'Escape') document.querySelectorAll('details.act[open]').forEach(el => { el.open = false; });
  });

  // Polls wait while the page is hidden; the first one after it shows again comes at once.
  document.addEventListener('htmx:beforeRequest', event => {
    const live = event.target.closest('[data-live]');
    // Not under somebody's hands either: an open confirmation or selected text would be swept away.
    if (live && (document.hidden || live.querySelector('details.act[open]'))) event.preventDefault();
  });
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && window.htmx) {
      document.querySelectorAll('[data-live]').forEach(el => window.htmx.trigger(el, 'look'));
    }
  });
  document.addEventListener('htmx:afterSwap', tick);
  const lost = shown => document.querySelectorAll('[data-lost]').forEach(el => { el.hidden = !shown; });
  document.addEventListener('htmx:sendError', event => { if (event.target.closest('[data-live]')) lost(true); });
  document.addEventListener('htmx:afterRequest', event => {
    if (event.detail.successful && event.target.closest('[data-live]')) lost(false);
  });

  document.addEventListener('DOMContentLoaded', () => {
    tick();
    setInterval(tick, 1000);
  });
})();
