// Shows the output of a running command as it is printed, in a terminal without input (xterm.js, loaded when first needed).
// Recordings are replayed in the same terminal (replay.js).
(() => {
  const FONT = 13, SMALLEST = 9, SCROLLBACK = 5000, HIDDEN = 60000;
  const WORDS = {
    'command ended': ['ok', 'Ended'], 'access ended': ['warn', 'You can no longer watch this command'], 'signed out': ['warn', 'Signed out'],
    'too slow': ['warn', 'Your connection is too slow'], unavailable: ['warn', 'Live view not available'],
    restarts: ['info', 'Reconnecting'], hidden: ['mute', 'Paused while this page is hidden'], live: ['ok', 'Live'], waits: ['warn', 'Waiting'], '': ['info', 'Connecting'],
  };
  const AGAIN = ['restarts', 'unavailable', 'too slow', ''];
  // Characters that reorder or hide text. Readers must see exactly the printed text.
  const HIDING = /[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
  const one = (box, name) => box.querySelector(`[data-${name}]`);
  const say = text => { const live = document.getElementById('say'); if (live) live.textContent = text; };
  const wait = ms => new Promise(done => { setTimeout(done, ms); });

  // xterm.js writes style elements and attributes, which the policy of the page blocks. Style sheets and properties that a
  // script constructs have the same effect and are not blocked.
  const attribute = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function setAttribute(name, value) {
    if (name === 'style') this.style.cssText = value; else attribute.call(this, name, value);
  };
  const withSheets = act => {
    document.createElement = (name, ...more) => {
      const element = Document.prototype.createElement.call(document, name === 'style' ? 'span' : name, ...more);
      if (name !== 'style') return element;
      const sheet = new CSSStyleSheet();
      document.adoptedStyleSheets.push(sheet);
      Object.defineProperty(element, 'textContent', { set: css => sheet.replaceSync(css) });
      element.hidden = true;
      element.remove = () => {
        document.adoptedStyleSheets = document.adoptedStyleSheets.filter(other => other !== sheet);
        Element.prototype.remove.call(element);
      };
      return element;
    };
    try { return act(); } finally { delete document.createElement; }
  };

  const loadSheet = url => document.querySelector(`link[href="${url}"]`) ? null : new Promise(done => {
    document.head.append(Object.assign(document.createElement('link'), { rel: 'stylesheet', href: url, onload: done, onerror: done }));
  });

  // Opens a read-only terminal in an element that names the files of xterm.js. Rejects if they can't be loaded.
  const open = async ({ dataset }, place, size) => {
    const [{ Terminal }] = await Promise.all([import(dataset.xterm), loadSheet(dataset.styles)]);
    const style = getComputedStyle(document.documentElement);
    const term = new Terminal({
      ...size, disableStdin: true, cursorInactiveStyle: 'none', fontSize: FONT, scrollback: SCROLLBACK,
      fontFamily: style.getPropertyValue('--mono'), linkHandler: null, theme: { background: '#14171d', foreground: '#dfe2e8' },
    });
    // Titles, links and the clipboard: whatever the target prints for them has no effect.
    [0, 1, 2, 7, 8, 9, 52, 777, 1337].forEach(code => term.parser.registerOscHandler(code, () => true));
    withSheets(() => term.open(place));
    Object.assign(term.textarea, { tabIndex: -1, disabled: true });
    place.addEventListener('keydown', event => scroll(term, event));
    new ResizeObserver(() => fit(term, place)).observe(place);
    return term;
  };

  // The whole width of the terminal is shown if its characters stay readable; otherwise it scrolls sideways.
  const fit = (term, place) => {
    const shown = place.querySelector('.xterm-screen')?.clientWidth, free = place.clientWidth - 30;
    if (!shown || free <= 0) return;
    const size = Math.floor(10 * term.options.fontSize * free / shown) / 10;
    const next = Math.max(SMALLEST, Math.min(FONT, size));
    if (Math.abs(next - term.options.fontSize) >= 0.2) term.options.fontSize = next;
  };

  const resize = (term, place, cols, rows) => {
    term.resize(cols, rows);
    requestAnimationFrame(() => fit(term, place));
  };

  const scroll = (term, event) => {
    const by = { ArrowUp: -1, ArrowDown: 1, PageUp: -20, PageDown: 20, Home: -SCROLLBACK, End: SCROLLBACK }[event.key];
    if (!by) return;
    term.scrollLines(by);
    event.preventDefault();
  };

  const visible = text => text.replace(HIDING, '\ufffd');
  window.stintTerminal = { open, resize, visible };

  class Screen {
    constructor(box) {
      this.box = box;
      this.place = one(box, 'term');
      this.show('');
      one(box, 'close').addEventListener('click', () => this.close());
      document.addEventListener('visibilitychange', () => this.onVisible());
      this.begin();
    }

    show(why, text) {
      const [tone, word] = WORDS[why] || ['warn', why], pill = one(this.box, 'state');
      if (pill.textContent !== word) say(`${word}: ${this.box.dataset.line}`);
      pill.className = `pill t-${tone}`;
      pill.textContent = word;
      const note = one(this.box, 'note');
      note.hidden = !text;
      note.textContent = text || '';
    }

    async begin() {
      const { over, waits } = this.box.dataset;
      // While the command waits, the page looks for its start, and replaces this view.
      if (over !== undefined || waits !== undefined) {
        this.over = true;
        one(this.box, 'watching').hidden = true;
        return this.show(over ?? 'waits');
      }
      try {
        this.term = await open(this.box, this.place, { cols: 80, rows: 24 });
      } catch {
        return this.show('unavailable', 'The terminal could not be loaded. Read the output as text.');
      }
      for (let pause = 2000; this.box.isConnected && !this.over; pause = Math.min(2 * pause, 30000)) {
        if (await this.follow()) pause = 2000;
        if (!this.over && this.box.isConnected) await wait(pause);
      }
    }

    // One stream, until it ends. Returns whether there was output.
    async follow() {
      let began = false;
      this.stop = new AbortController();
      try {
        const answer = await fetch(this.box.dataset.screen, { method: 'POST', credentials: 'include', cache: 'no-store', signal: this.stop.signal });
        if (!answer.ok || answer.status === 204) {
          const text = await answer.text();
          this.over = [403, 404, 409, 429].includes(answer.status);
          if (answer.status === 409) this.end(); else this.show('unavailable', text || 'No proxy forwards requests for live views to their process.');
          return false;
        }
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let rest = ''; ;) {
          const { value, done } = await reader.read();
          if (done) break;
          const lines = (rest + value).split('\n');
          rest = lines.pop();
          lines.filter(Boolean).forEach(line => this.take(...JSON.parse(line)));
          began = true;
        }
        if (!this.over) this.show('restarts');
      } catch {
        if (!this.over) this.show(this.hidden ? 'hidden' : 'restarts');
        while (this.hidden && this.box.isConnected) await wait(500);
      }
      return began;
    }

    take(kind, value) {
      const write = {
        start: () => {
          this.term.reset();
          resize(this.term, this.place, value.cols, value.rows);
          this.show('live', value.skipped ? 'Earlier output is not shown here. The recording has everything.' : '');
        },
        o: () => this.term.write(visible(value)),
        r: () => resize(this.term, this.place, ...value.split('x').map(Number)),
        gap: () => this.term.write(`\r\n\x1b[7m ${value ? `${value.toLocaleString('en')} characters` : 'Some output'} left out here. The recording has everything. \x1b[0m\r\n`),
        watchers: () => { one(this.box, 'watchers').textContent = value.join(', '); },
        end: () => this.end(),
        over: () => {
          this.over = !AGAIN.includes(value);
          if (value === 'command ended') this.end();
          else this.show(value, value === 'unavailable' ? 'The command continues, and is recorded. Read the output as text.' : '');
        },
      }[kind];
      if (write) write();
    }

    end() {
      this.over = true;
      this.show('command ended');
      one(this.box, 'watching').hidden = true;
      // The gateway reports the recording at the same time.
      if (this.place) setTimeout(() => {
        one(this.box, 'replay').hidden = false;
        this.box.querySelectorAll('[data-end]').forEach(part => part.remove());
      }, 700);
    }

    // A hidden page does not count as watching.
    onVisible() {
      clearTimeout(this.timer);
      this.hidden = this.hidden && document.hidden;
      if (document.hidden && !this.over) this.timer = setTimeout(() => { this.hidden = true; this.stop?.abort(); }, HIDDEN);
    }

    close() {
      this.over = true;
      this.stop?.abort();
      this.term?.dispose();
      this.box.remove();
    }
  }

  const begin = () => document.querySelectorAll('[data-screen]').forEach(box => {
    if (box.screen) return;
    box.screen = new Screen(box);
  });
  document.addEventListener('htmx:afterSwap', begin);
  document.addEventListener('DOMContentLoaded', begin);
  // A second view replaces the first.
  document.addEventListener('htmx:beforeSwap', event => {
    if (event.detail.target.id === 'screen') event.detail.target.querySelectorAll('[data-screen]').forEach(box => box.screen?.close());
  });
})();
