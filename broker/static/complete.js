// Completion in the YAML editors: keys and values of the document's schema, and names that the server lists.
(() => {
  const WORD = /[\w./@-]*$/, MOST = 50, CHARACTER = 'm'.repeat(50);
  const editor = document.querySelector('textarea[data-completions]');
  if (!editor) return;
  let known = null, options = [], active = -1, place = null;

  // --- Where the cursor is ---

  const KEY = /^(?:"([^"]*)"|'([^']*)'|([^\s:#'"[{},][^:#]*?))\s*:(?=\s|$)\s*/;
  const indentOf = line => line.search(/\S|$/);
  // Splits `- - key: rest` into its dashes with their columns, and the text after them.
  const split = line => {
    let column = indentOf(line), rest = line.slice(column);
    const dashes = [];
    for (let dash; (dash = /^-(\s+|$)/.exec(rest)); rest = rest.slice(dash[0].length), column += dash[0].length) dashes.push(column);
    return { dashes, column, rest };
  };

  // Follows the brackets of a value. Returns the open ones, mappings with their keys.
  const brackets = (text, open = []) => {
    let word = '', quote = '';
    for (const [at, char] of [...text].entries()) {
      const top = open.at(-1);
      if (quote) quote = char === quote ? '' : quote;
      else if (/["']/.test(char) && !word.trim()) quote = char;
      else if (char === '#' && /\s|^$/.test(text[at - 1] || '')) break;
      else if (char === '{' || char === '[') open.push({ map: char === '{', key: null, taken: [] });
      else if (char === '}' || char === ']') open.pop();
      else if (char === ',' && top) top.key = null;
      else if (char === ':' && top?.map && /\s|^$/.test(text[at + 1] || '')) top.taken.push(top.key = word.trim());
      else { word += char; continue; }
      if (!quote) word = '';
    }
    return quote ? null : open;
  };

  // Returns the path of the mapping or value at the cursor, and the keys that the mapping already has.
  const find = (text, at) => {
    const before = text.slice(0, at).split('\n'), line = before.length - 1, lines = text.split('\n');
    const stack = [];
    let open = [], literal = -1, base = [];
    const enter = (column, key) => {
      while (stack.length && stack.at(-1).column >= column) stack.pop();
      if (key !== null) stack.push({ column, key });
    };
    for (const [number, content] of before.entries()) {
      const last = number === line, blank = /^\s*(#.*)?$/.test(content);
      if (open.length) open = brackets(content, open) || [];
      else if (literal >= 0 && (blank || indentOf(content) > literal)) { if (last) return null; }
      else if (!blank || last) {
        literal = -1;
        const { dashes, column, rest } = split(content);
        if (last && rest.startsWith('#')) return null;
        for (const dash of dashes) {
          while (stack.length && (stack.at(-1).column > dash || (stack.at(-1).column === dash && stack.at(-1).key === 0))) stack.pop();
          stack.push({ column: dash, key: 0 });
        }
        const found = KEY.exec(rest);
        const value = found ? rest.slice(found[0].length) : rest;
        if (found) enter(column, found[1] ?? found[2] ?? found[3]); else enter(column, null);
        base = stack.map(one => one.key);
        open = brackets(value);
        if (!open) { if (last) return null; open = []; }
        if (/^[|>][-+0-9]*\s*$/.test(value)) literal = indentOf(content);
        if (last && !open.length) {
          const inValue = found && /\s$/.test(rest.slice(0, found[0].length));
          return inValue ? { path: base, value: true } : { path: base, item: dashes.length > 0, taken: beside(lines, line, column), column };
        }
      }
    }
    const path = [...base, ...open.flatMap((one, depth) => (depth < open.length - 1 ? [one.map ? one.key : 0] : []))];
    const top = open.at(-1);
    if (!top) return null;
    if (!top.map) return { path: [...path, 0], value: true, flow: true };
    return top.key ? { path: [...path, top.key], value: true, flow: true } : { path, taken: top.taken, flow: true };
  };

  // Returns the keys of the mapping that contains the line.
  const beside = (lines, line, column) => {
    const keys = [];
    for (const by of [-1, 1]) {
      for (let at = by < 0 ? line : line + 1; at >= 0 && at < lines.length; at += by) {
        if (/^\s*(#.*)?$/.test(lines[at])) continue;
        const found = split(lines[at]), start = indentOf(lines[at]);
        if (at !== line && found.column === column && (by < 0 || start === column)) keys.push(KEY.exec(found.rest)?.slice(1).find(Boolean));
        if (start < column) break;
      }
    }
    return keys;
  };

  // --- The possible completions ---

  const unfold = (node, root) => {
    const named = node.$ref ? { ...root.$defs[node.$ref.split('/').pop()], ...node, $ref: undefined } : node;
    return [named, ...['anyOf', 'oneOf', 'allOf'].flatMap(word => (named[word] || []).flatMap(one => unfold(one, root)))];
  };
  const inside = (node, key) => (key === 0 ? [node.items, ...(node.prefixItems || [])]
    : node.properties?.[key] ? [node.properties[key]]
      : [...Object.values(node.patternProperties || {}), node.additionalProperties]).filter(one => one && typeof one === 'object');
  const nodesAt = (path, text) => {
    const root = known.schema, kind = /^kind:\s*["']?([\w-]+)/m.exec(text)?.[1];
    const fits = node => !kind || !node.properties?.kind?.const || node.properties.kind.const === kind;
    const first = unfold(root, root);
    return path.reduce((nodes, key) => nodes.flatMap(node => inside(node, key)).flatMap(one => unfold(one, root)),
      first.some(node => fits(node) && node.properties?.kind?.const) ? first.filter(fits) : first);
  };
  const short = text => (text || '').split('\n')[0].replaceAll('`', '');
  const keysAt = (nodes, taken) => {
    const found = new Map();
    nodes.forEach(node => Object.entries(node.properties || {}).forEach(([key, about]) => {
      const needed = Boolean(node.required?.includes(key));
      if (!taken.includes(key) && !found.has(key)) found.set(key, { text: key, about: short(about.description), node: about, needed });
    }));
    return [...found.values()].sort((a, b) => b.needed - a.needed);
  };
  const valuesAt = (nodes, path) => {
    const values = nodes.flatMap(node => [...(node.enum || []), ...('const' in node ? [node.const] : []), ...(node.type === 'boolean' ? [true, false] : [])]);
    const key = [...path].reverse().find(one => one !== 0);
    const names = values.length ? [] : known.names[key] || [];
    return [...new Set([...values, ...names])].map(value => ({ text: String(value), about: '' }));
  };

  const offers = () => {
    const text = editor.value, at = editor.selectionStart;
    if (at !== editor.selectionEnd) return null;
    const found = find(text, at);
    if (!found) return null;
    const nodes = nodesAt(found.path, text), typed = WORD.exec(text.slice(0, at))[0];
    const keys = found.value ? [] : keysAt(nodes, found.taken).map(one => ({ ...one, isKey: true }));
    const items = found.value || found.item ? valuesAt(nodes, found.path) : [];
    const low = typed.toLowerCase();
    const fits = [...keys, ...items].filter(one => one.text.toLowerCase().includes(low) && (one.isKey || one.text !== typed));
    fits.sort((a, b) => b.text.toLowerCase().startsWith(low) - a.text.toLowerCase().startsWith(low));
    return { ...found, typed, options: fits.slice(0, MOST) };
  };

  // --- The list ---

  const list = document.createElement('div');
  Object.assign(list, { id: 'completions', className: 'completions', hidden: true, tabIndex: -1 });
  list.setAttribute('role', 'listbox');
  list.setAttribute('aria-label', 'Suggestions');
  editor.closest('.field').append(list);
  editor.setAttribute('aria-autocomplete', 'list');
  editor.setAttribute('aria-controls', list.id);
  const say = text => { const live = document.getElementById('say'); if (live) live.textContent = text; };

  const close = () => {
    list.hidden = true;
    list.replaceChildren();
    options = [];
    active = -1;
    editor.removeAttribute('aria-activedescendant');
  };
  const choose = at => {
    active = (at + options.length) % options.length;
    [...list.children].forEach((box, number) => box.setAttribute('aria-selected', number === active));
    editor.setAttribute('aria-activedescendant', `completion-${active}`);
    list.children[active].scrollIntoView({ block: 'nearest' });
  };
  const put = () => {
    const box = editor.getBoundingClientRect(), style = getComputedStyle(editor);
    const before = editor.value.slice(0, editor.selectionStart - place.typed.length).split('\n');
    const pen = Object.assign(document.createElement('canvas').getContext('2d'), { font: style.font });
    const wide = pen.measureText(CHARACTER).width / CHARACTER.length;
    const left = box.left + parseFloat(style.paddingLeft) + before.at(-1).length * wide - editor.scrollLeft;
    const top = box.top + parseFloat(style.paddingTop) + before.length * parseFloat(style.lineHeight) - editor.scrollTop;
    list.style.left = `${Math.max(8, Math.min(left, innerWidth - list.offsetWidth - 8))}px`;
    const above = top + list.offsetHeight > innerHeight;
    list.style.top = `${above ? Math.max(8, top - list.offsetHeight - parseFloat(style.lineHeight)) : top}px`;
  };
  const show = asked => {
    place = known && offers();
    if (!place?.options.length || (!asked && !place.typed && !place.value)) return close();
    ({ options } = place);
    list.replaceChildren(...options.map((one, at) => {
      const box = document.createElement('div'), name = document.createElement('b'), about = document.createElement('span');
      box.id = `completion-${at}`;
      box.setAttribute('role', 'option');
      name.textContent = one.text;
      about.textContent = one.about;
      box.append(name, ' ', about);
      return box;
    }));
    list.hidden = false;
    active = -1;
    editor.removeAttribute('aria-activedescendant');
    put();
    if (asked || place.typed) choose(0);
    say(`${options.length} ${options.length === 1 ? 'suggestion' : 'suggestions'}`);
  };

  // Returns the text after a key, and the cursor's position in it.
  const after = one => {
    if (!one.isKey) return ['', 0];
    const nodes = unfold(one.node, known.schema), rows = nodes.flatMap(node => (node.items ? unfold(node.items, known.schema) : []));
    const deeper = `:\n${' '.repeat((place.column || 0) + 2)}`;
    if (nodes.some(node => node.properties)) return place.flow ? [': {}', 1] : [deeper, 0];
    if (rows.some(node => node.properties)) return place.flow ? [': []', 1] : [`${deeper}- `, 0];
    return rows.length ? [': []', 1] : [': ', 0];
  };
  const take = () => {
    const one = options[active], [end, back] = after(one), at = editor.selectionStart;
    const rest = editor.value.slice(at);
    const written = one.isKey && /^[\w-]*\s*:/.test(rest) ? '' : end;
    close();
    editor.setSelectionRange(at - place.typed.length, at + /^[\w-]*/.exec(rest)[0].length);
    // Unlike setRangeText, this can be undone.
    document.execCommand('insertText', false, one.text + written);
    if (written && back) editor.setSelectionRange(editor.selectionStart - back, editor.selectionStart - back);
    if (written) show(false);
  };

  const load = async () => {
    if (known) return;
    try {
      const answer = await fetch(editor.dataset.completions);
      if (answer.ok && !answer.redirected) known = await answer.json();
    } catch { /* Without suggestions, the editor is a text field. */ }
  };

  editor.addEventListener('focus', load);
  editor.addEventListener('input', event => { if (event.inputType !== 'insertFromPaste' && !event.isComposing) show(false); });
  editor.addEventListener('blur', close);
  editor.addEventListener('click', close);
  addEventListener('scroll', event => { if (!list.contains(event.target)) close(); }, true);
  addEventListener('resize', close);
  list.addEventListener('mousedown', event => {
    event.preventDefault();
    active = [...list.children].indexOf(event.target.closest('[role=option]'));
    if (active >= 0) take();
  });
  editor.addEventListener('keydown', async event => {
    if (event.isComposing) return;
    if (event.key === ' ' && event.ctrlKey) {
      event.preventDefault();
      await load();
      return show(true);
    }
    if (list.hidden) return;
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by) choose(active < 0 && by < 0 ? -1 : active + by);
    else if ((event.key === 'Enter' || event.key === 'Tab') && active >= 0) take();
    else if (event.key === 'Escape') close();
    else return ['ArrowLeft', 'ArrowRight', 'Home', 'End', 'Tab'].includes(event.key) ? close() : undefined;
    event.preventDefault();
    event.stopPropagation();
  });
})();
