// Starts the player of one recording. Without the player, the page shows the text.
(() => {
  const box = document.getElementById('player');
  if (!box || !window.AsciinemaPlayer) return;
  const start = Number(box.dataset.start);
  const player = window.AsciinemaPlayer.create(box.dataset.cast, box, {
    startAt: start, poster: `npt:${box.dataset.poster}`, preload: true, fit: 'width', rows: Number(box.dataset.rows), terminalLineHeight: 1.4,
    markers: JSON.parse(box.dataset.markers),
  });
  const address = at => { const url = new URL(location); url.searchParams.set('t', at); return url; };
  const say = text => { const live = document.getElementById('say'); if (live) live.textContent = text; };

  // Links in the text seek the player. Without the player, they load the page at that time.
  document.addEventListener('click', async event => {
    const link = event.target.closest('[data-at]');
    if (!link) return;
    event.preventDefault();
    history.replaceState(null, '', address(link.dataset.at));
    await player.seek(Number(link.dataset.at));
    box.scrollIntoView({ block: 'nearest' });
    say(`At ${link.textContent}`);
  });
  document.getElementById('moment').addEventListener('click', async () => {
    const url = address((await player.getCurrentTime()).toFixed(1));
    history.replaceState(null, '', url);
    try { await navigator.clipboard.writeText(url.href); say('Link copied'); } catch { say('The link is in the address bar'); }
  });
})();
