// Decisions: sheets, and buttons that show their state immediately. Without this script, forms still work.
(() => {
  const hear = document.addEventListener.bind(document);
  const main = () => document.getElementById('main');
  const say = text => { const live = document.getElementById('say'); if (live) live.textContent = text; };

  // --- Sheets ---

  const open = sheet => {
    if (!sheet || sheet.matches(':modal')) return;
    sheet.removeAttribute('open');
    sheet.showModal();
    (sheet.querySelector('[autofocus]') || sheet.querySelector('textarea[required]'))?.focus();
  };
  // If a sheet is closed without being sent, its input is discarded.
  const closed = event => event.target.matches?.('dialog.sheet') && event.target.querySelector('form').reset();
  hear('close', closed, true);
  hear('click', event => {
    const opens = event.target.closest('[data-sheet]'), closes = event.target.closest('dialog.sheet [data-close]');
    if (!opens && !closes) return;
    event.preventDefault();
    if (opens) open(document.getElementById(opens.dataset.sheet));
    else closes.closest('dialog').close();
  });
  // Space presses links that look like buttons.
  hear('keydown', event => {
    if (event.key !== ' ' || !event.target.matches?.('a[role=button]')) return;
    event.preventDefault();
    event.target.click();
  });

  // Unfolds the part of the page that an address or a link names.
  const unfold = () => {
    const named = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!named) return;
    if (named.matches('dialog.sheet')) {
      history.replaceState(null, '', location.pathname + location.search);
      open(named);
    } else {
      for (let el = named; el; el = el.parentElement) if (el.matches('details')) el.open = true;
    }
  };

  // --- Forms ---

  // Shows a button's effect as soon as it is pressed. Returns a function that restores it.
  const begin = (form, button) => {
    const before = [...button.childNodes];
    const all = [...document.querySelectorAll('#main .btn')].filter(one => form.contains(one) || one.closest('.choose, .afterward'));
    button.replaceChildren(button.dataset.busy);
    button.setAttribute('aria-busy', 'true');
    all.forEach(one => { one.inert = true; });
    form.setAttribute('aria-busy', 'true');
    say(button.dataset.busy);
    return () => {
      button.replaceChildren(...before);
      button.removeAttribute('aria-busy');
      form.removeAttribute('aria-busy');
      all.forEach(one => { one.inert = false; });
      button.focus();
    };
  };

  const lost = (form, text) => {
    const note = form.querySelector('.unsent') || document.createElement('div');
    note.className = 'unsent note t-bad';
    note.setAttribute('role', 'alert');
    note.textContent = text;
    form.prepend(note);
  };

  // Shows the page that explains a refusal, with the typed input.
  const show = text => {
    const page = new DOMParser().parseFromString(text, 'text/html').getElementById('main');
    if (!page) return false;
    main().replaceWith(page);
    window.htmx?.process(page);
    document.querySelectorAll('dialog.sheet[open]').forEach(open);
    page.querySelector('[autofocus]')?.focus();
    return true;
  };

  const send = async (form, button) => {
    const body = new URLSearchParams(new FormData(form, button));
    const there = form.next?.value || location.pathname + location.search;
    const back = begin(form, button);
    try {
      const answer = await fetch(form.action, { method: 'POST', body, redirect: 'manual', signal: AbortSignal.timeout(20000) });
      if (answer.type === 'opaqueredirect') location.assign(there);
      else if (!show(await answer.text())) { back(); lost(form, 'Stint could not answer. Reload the page and try again.'); }
    } catch {
      back();
      lost(form, 'Stint did not respond. Check your connection and try again; a decision counts only once.');
    }
  };

  // A form can't be sent again until its response arrives.
  hear('submit', event => {
    if (!event.submitter?.dataset.busy) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.target.hasAttribute('aria-busy')) send(event.target, event.submitter);
  }, true);

  hear('DOMContentLoaded', () => {
    document.querySelectorAll('dialog.sheet[open]').forEach(open);
    unfold();
    addEventListener('hashchange', unfold);
    // The undo button disappears when its time is over.
    setInterval(() => document.querySelectorAll('[data-undo]').forEach(form => {
      form.hidden = form.querySelector('[data-left]')?.textContent === '0:00';
    }), 250);
  });
  // Reloads a page that the browser restores with a busy form.
  addEventListener('pageshow', event => { if (event.persisted && document.querySelector('form[aria-busy]')) location.reload(); });
})();
