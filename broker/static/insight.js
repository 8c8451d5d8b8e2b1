// Draws a chart above each table from its numbers.
(() => {
  const html = document.documentElement;
  if (!window.uPlot) return;
  // Series differ without color: solid, two diagonals, dots and lines.
  const PATTERNS = [
    null,
    c => { for (const x of [-6, 2, 10]) { c.moveTo(x, 10); c.lineTo(x + 12, -2); } },
    c => { for (const x of [-6, 2, 10]) { c.moveTo(x, -2); c.lineTo(x + 12, 10); } },
    c => { c.moveTo(2, 4); c.lineTo(6, 4); c.moveTo(4, 2); c.lineTo(4, 6); },
    c => { c.moveTo(0, 2); c.lineTo(8, 2); c.moveTo(0, 6); c.lineTo(8, 6); },
  ];
  const DASHES = [[], [8, 5], [2, 4]];
  const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' });
  const ratio = window.devicePixelRatio || 1;
  const probe = document.createElement('canvas').getContext('2d');

  // A canvas can't resolve light-dark() itself.
  const color = name => {
    const box = document.body.appendChild(document.createElement('i'));
    box.className = 'probe';
    box.dataset.color = name;
    const found = getComputedStyle(box).color;
    box.remove();
    return found;
  };

  const fillOf = (tone, number) => {
    const solid = color(tone);
    if (!PATTERNS[number]) return solid;
    const size = 8 * ratio, tile = Object.assign(document.createElement('canvas'), { width: size, height: size });
    const c = tile.getContext('2d');
    c.fillStyle = color('surface');
    c.fillRect(0, 0, size, size);
    c.scale(ratio, ratio);
    c.strokeStyle = solid;
    c.lineWidth = 2.4;
    c.beginPath();
    PATTERNS[number](c);
    c.stroke();
    return probe.createPattern(tile, 'repeat');
  };

  const read = table => {
    const heads = [...table.querySelectorAll('thead th')].slice(1);
    const rows = [...table.querySelectorAll('tbody tr')];
    const names = heads.map((head, at) => ({ name: head.textContent, tone: head.dataset.tone, at })).filter(one => one.tone);
    const cell = (row, at) => row.querySelectorAll('td')[at];
    return {
      labels: rows.map(row => row.querySelector('th').textContent),
      days: rows.map(row => DAY.format(new Date(row.dataset.day))),
      series: names.map(one => ({
        ...one,
        numbers: rows.map(row => (cell(row, one.at).dataset.v === '' ? null : Number(cell(row, one.at).dataset.v))),
        texts: rows.map(row => cell(row, one.at).textContent.trim()),
      })),
    };
  };

  const time = s => (s < 1 ? `${Math.round(s * 1000)} ms` : s < 60 ? `${+s.toFixed(1)} s` : s < 3600 ? `${+(s / 60).toFixed(1)} min`
    : s < 86400 ? `${+(s / 3600).toFixed(1)} h` : `${+(s / 86400).toFixed(1)} d`);
  const TICKS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 300, 900, 3600, 14400, 43200, 86400, 259200, 604800];

  const options = (box, data, size) => {
    const lines = box.dataset.chart === 'lines';
    const limit = Number(box.dataset.limit) || null;
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const axis = { stroke: color('ink-2'), font, ticks: { show: false }, border: { show: false } };
    const numbers = data.series.flatMap(one => one.numbers).filter(one => one > 0).concat(limit || []);
    const low = Math.max(0.01, Math.min(...numbers) / 1.6), high = Math.max(...numbers) * 1.6;
    const every = Math.max(1, Math.ceil(data.labels.length / Math.max(2, Math.floor(size.width / 72))));
    // From the highest to the lowest, each from zero, bars look stacked.
    const order = lines ? data.series.map((_, at) => at) : data.series.map((_, at) => data.series.length - 1 - at);
    const bars = window.uPlot.paths.bars({ size: [0.72, 44], radius: 0.12 });
    return {
      ...size,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: lines } },
      padding: [10, lines ? 64 : 20, 0, 0],
      scales: {
        x: { time: false, range: () => [-0.5, data.labels.length - 0.5] },
        y: lines ? { distr: 3, range: () => [low, high] } : { range: (_, __, most) => [0, Math.max(1, most) * 1.06] },
      },
      axes: [
        { ...axis, size: 30, grid: { show: false }, splits: () => data.labels.map((_, at) => at).filter(at => (data.labels.length - 1 - at) % every === 0),
          values: (_, at) => at.map(one => data.days[one]) },
        { ...axis, size: 58, grid: { stroke: color('line'), width: 1 },
          splits: lines ? () => TICKS.filter(one => one >= low && one <= high) : undefined,
          filter: lines ? (_, splits) => splits : undefined,
          incrs: lines ? undefined : [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000],
          values: (_, at) => at.map(one => (lines ? time(one) : one.toLocaleString('en-US'))) },
      ],
      series: [{}, ...order.map(at => {
        const one = data.series[at];
        return lines
          ? { label: one.name, stroke: color(one.tone), width: 2.2, dash: DASHES[at], spanGaps: true, points: { show: true, size: 5, fill: color('surface') } }
          : { label: one.name, stroke: color(one.tone), width: 1, fill: fillOf(one.tone, at), paths: bars, points: { show: false } };
      })],
      hooks: {
        draw: [plot => { if (lines) mark(plot, data, limit, font); }],
        setCursor: [plot => say(box, data, plot.cursor.idx)],
      },
    };
  };

  // The name of each line is at its last point. The limit has its own label.
  const mark = (plot, data, limit, font) => {
    const c = plot.ctx;
    c.save();
    c.font = font.replace('12px', `600 ${12 * ratio}px`);
    c.textBaseline = 'middle';
    c.textAlign = 'left';
    let above = null;
    data.series.map(one => {
      const last = one.numbers.findLastIndex(number => number !== null);
      return { one, last, y: last < 0 ? 0 : plot.valToPos(one.numbers[last], 'y', true) };
    }).filter(each => each.last >= 0).sort((a, b) => a.y - b.y).forEach(each => {
      above = above === null ? each.y : Math.max(each.y, above + 14 * ratio);
      c.fillStyle = color(each.one.tone);
      c.fillText(each.one.name, plot.valToPos(each.last, 'x', true) + 8 * ratio, above);
    });
    if (limit) {
      const y = plot.valToPos(limit, 'y', true);
      c.strokeStyle = c.fillStyle = color('ink-2');
      c.setLineDash([3 * ratio, 4 * ratio]);
      c.beginPath();
      c.moveTo(plot.bbox.left, y);
      c.lineTo(plot.bbox.left + plot.bbox.width, y);
      c.stroke();
      c.fillText(`objective ${time(limit)}`, plot.bbox.left + 6 * ratio, y - 9 * ratio);
    }
    c.restore();
  };

  const say = (box, data, at) => {
    box.querySelector('.readout').textContent = at === null || at === undefined ? ''
      : `${data.labels[at]}: ${data.series.map(one => `${one.name.toLowerCase()} ${one.texts[at]}`).join(', ')}`;
  };

  const stacked = data => {
    const sums = data.labels.map(() => 0);
    const heights = data.series.map(one => one.numbers.map((number, at) => (number ? (sums[at] += number) : null)));
    return heights.reverse();
  };

  const key = (data, lines) => {
    const list = document.createElement('ul');
    list.className = 'legend';
    for (const [at, one] of data.series.entries()) {
      const item = list.appendChild(document.createElement('li')), swatch = item.appendChild(document.createElement('canvas'));
      swatch.width = 22 * ratio;
      swatch.height = 12 * ratio;
      const c = swatch.getContext('2d');
      c.strokeStyle = color(one.tone);
      if (lines) {
        c.lineWidth = 2.4 * ratio;
        c.setLineDash(DASHES[at].map(part => part * ratio));
        c.moveTo(0, 6 * ratio);
        c.lineTo(swatch.width, 6 * ratio);
        c.stroke();
      } else {
        c.fillStyle = fillOf(one.tone, at);
        c.fillRect(0, 0, swatch.width, swatch.height);
        c.strokeRect(0, 0, swatch.width, swatch.height);
      }
      item.append(one.name);
    }
    return list;
  };

  const draw = box => {
    const figure = box.closest('.figure'), data = read(figure.querySelector('table')), lines = box.dataset.chart === 'lines';
    box.plot?.destroy();
    box.replaceChildren();
    box.setAttribute('role', 'img');
    box.setAttribute('aria-label', `${figure.querySelector('h2').textContent}, chart. The table below has its numbers.`);
    box.append(key(data, lines));
    const values = [data.labels.map((_, at) => at), ...(lines ? data.series.map(one => one.numbers) : stacked(data))];
    const size = { width: Math.floor(box.clientWidth), height: 216 };
    box.plot = new window.uPlot(options(box, data, size), values, box);
    box.append(Object.assign(document.createElement('p'), { className: 'readout small muted' }));
    box.drawn = { width: size.width, data };
  };

  const boxes = [...document.querySelectorAll('[data-chart]')];
  const all = () => boxes.forEach(draw);
  for (const box of boxes) {
    draw(box);
    box.closest('.figure').querySelector('.numbers').open = false;
    new ResizeObserver(() => { if (Math.floor(box.clientWidth) !== box.drawn.width) draw(box); }).observe(box);
  }
  new MutationObserver(all).observe(html, { attributeFilter: ['data-theme'] });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', all);
})();
