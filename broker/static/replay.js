// Replays one recording in the terminal of terminal.js. Without the script, the page shows the text.
(() => {
  const TICK = 100;
  const box = document.getElementById('player');
  if (!box) return;
  const one = name => box.querySelector(`[data-${name}]`);
  const say = text => { const live = document.getElementById('say'); if (live) live.textContent = text; };
  const clock = at => `${Math.floor(at / 60)}:${String(Math.floor(at % 60)).padStart(2, '0')}`;
  const address = at => { const url = new URL(location); url.searchParams.set('t', at); return url; };

  // The events of an asciicast v2 file: its head, then [seconds, kind, text] in each line.
  const load = async url => {
    const answer = await fetch(url, { credentials: 'same-origin' });
    if (!answer.ok) throw new Error('not loaded');
    const [head, ...events] = (await answer.text()).split('\n').filter(Boolean).map(line => JSON.parse(line));
    return { size: { cols: head.width, rows: head.height }, events: events.filter(([, kind]) => kind === 'o' || kind === 'r') };
  };

  class Player {
    constructor(term, { size, events }) {
      Object.assign(this, { term, size, events, next: 0, at: 0, playing: false });
      this.length = Math.max(0.1, events.at(-1)?.[0] ?? 0);
      this.bar = one('bar');
      this.bar.max = this.length.toFixed(1);
      this.bar.addEventListener('input', () => this.seek(Number(this.bar.value)));
      one('play').addEventListener('click', () => this.toggle());
      JSON.parse(box.dataset.markers).forEach(([at, label]) => one('marks').append(new Option(label, at)));
      // Before it plays, it shows the output up to its start, or all of it.
      this.seek(Number(box.dataset.start) || this.length);
      this.at = Number(box.dataset.start);
      this.show();
    }

    seek(at) {
      const resized = (cols, rows) => window.stintTerminal.resize(this.term, one('term'), cols, rows);
      if (at < this.shown || !this.next) {
        this.term.reset();
        resized(this.size.cols, Math.min(this.size.rows, Number(box.dataset.rows)));
        this.next = 0;
      }
      let text = '';
      for (; this.next < this.events.length && this.events[this.next][0] <= at; this.next += 1) {
        const [, kind, data] = this.events[this.next];
        if (kind === 'o') text += data;
        else {
          this.term.write(window.stintTerminal.visible(text));
          text = '';
          resized(...data.split('x').map(Number));
        }
      }
      this.term.write(window.stintTerminal.visible(text));
      this.at = this.shown = at;
      this.show();
    }

    show() {
      this.bar.value = this.at;
      this.bar.setAttribute('aria-valuetext', `${clock(this.at)} of ${clock(this.length)}`);
      one('time').textContent = `${clock(this.at)} / ${clock(this.length)}`;
      one('play').textContent = this.playing ? 'Pause' : 'Play';
    }

    toggle() {
      clearInterval(this.timer);
      this.playing = !this.playing;
      if (this.playing) {
        this.seek(this.at < this.length ? this.at : 0);
        let last = performance.now();
        this.timer = setInterval(() => {
          const now = performance.now(), at = this.at + (now - last) / 1000 * Number(one('speed').value);
          last = now;
          this.seek(Math.min(at, this.length));
          if (at >= this.length) this.toggle();
        }, TICK);
      }
      this.show();
    }
  }

  const begin = async () => {
    let player;
    try {
      const [term, cast] = await Promise.all([window.stintTerminal.open(box, one('term'), { cols: 80, rows: 24 }), load(box.dataset.cast)]);
      player = new Player(term, cast);
    } catch {
      one('fault').hidden = false;
      return;
    }
    one('acts').hidden = false;
    // Links in the text seek the player. Without the player, they load the page at that time.
    document.addEventListener('click', event => {
      const link = event.target.closest('[data-at]');
      if (!link) return;
      event.preventDefault();
      history.replaceState(null, '', address(link.dataset.at));
      player.seek(Number(link.dataset.at));
      box.scrollIntoView({ block: 'nearest' });
      say(`At ${link.textContent}`);
    });
    document.getElementById('moment').addEventListener('click', async () => {
      const url = address(player.at.toFixed(1));
      history.replaceState(null, '', url);
      try { await navigator.clipboard.writeText(url.href); say('Link copied'); } catch { say('The link is in the address bar'); }
    });
  };
  document.addEventListener('DOMContentLoaded', begin);
})();
