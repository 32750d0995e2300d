const root = document.documentElement;
const words = data.words;
const say = (name, fields = {}) => words[name].replace(/\{(\w+)\}/g, (_, key) => fields[key]);
const live = document.querySelector("header").dataset.live === "live";
let films = [], steps = [], place = 0, timer = 0, charts = {}, lines = "weights", unit = null, logarithmic = false, overTime = false, share = false;

// ---- numbers ----
const short = x => {
  if (x === null || x === undefined || !isFinite(x)) return "–";
  const size = Math.abs(x);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? x.toExponential(1) : String(+x.toPrecision(3));
};
async function inflate(text) {
  const packed = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}
const half = code => {
  const sign = code & 0x8000 ? -1 : 1, power = (code >> 10) & 31, rest = code & 1023;
  return sign * (power ? (1 + rest / 1024) * 2 ** (power - 15) : rest * 2 ** -24);
};
async function unpack(track) {
  const bytes = await inflate(track.bytes || track.halves);
  const codes = track.bytes ? new Uint8Array(bytes) : new Uint16Array(bytes);
  const size = track.shape.reduce((a, b) => a * b, 1);
  for (let k = size; k < codes.length; k++) codes[k] += codes[k - size];
  const last = codes.length / size - 1;
  const at = (x, k) => Array.isArray(x) ? x[k] : x;
  track.size = size;
  track.codes = k => { k = Math.min(k, last); return codes.subarray(k * size, (k + 1) * size); };
  track.span = k => { k = Math.min(k, last); return [at(track.low, k), at(track.high, k)]; };
  track.values = track.halves ? k => Float32Array.from(track.codes(k), c => track.scale * half(c)) : k => {
    const [low, high] = track.span(k), scale = (high - low) / 255;
    return Float32Array.from(track.codes(k), c => low + c * scale);
  };
}
async function unpackAll(thing) {
  if (thing === null || typeof thing !== "object") return;
  if (thing.shape && (thing.bytes || thing.halves)) return unpack(thing);
  await Promise.all(Object.values(thing).map(unpackAll));
}

// ---- colours ----
const inks = data.colours.map(c => [1, 3, 5].map(k => parseInt(c.slice(k, k + 2), 16)));
const dark = () => root.dataset.theme === "dark";
const brighter = c => dark() ? c.map(v => Math.round(v + (255 - v) * 0.28)) : c;
const ink = k => brighter(inks[k === 7 && dark() ? 6 : k % inks.length]);
const css = c => `rgb(${c.map(Math.round).join(",")})`;
const ground = () => dark() ? [15, 20, 27] : [255, 255, 255];
const mixed = (c, share) => { const g = ground(); return c.map((v, k) => g[k] + (v - g[k]) * share); };
const diverging = x => mixed(x > 0 ? ink(1) : ink(0), Math.min(1, Math.abs(x)));
const named = name => getComputedStyle(root).getPropertyValue("--" + name).trim();

// ---- drawing ----
const FONT = "12px system-ui,'Segoe UI',Roboto,Arial,'DejaVu Sans',sans-serif";
function begin(canvas) {
  const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  const w = Math.max(60, Math.round(box.width)), h = Math.max(60, Math.round(box.height));
  if (canvas.width !== w * ratio || canvas.height !== h * ratio) { canvas.width = w * ratio; canvas.height = h * ratio; }
  const g = canvas.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, w, h);
  g.font = FONT;
  g.textBaseline = "alphabetic";
  g.textAlign = "left";
  canvas.drawnAt = w + "x" + h;
  return [g, w, h];
}
function write(g, text, x, y, align = "left", colour = "muted", most = 1e9) {
  g.textAlign = align;
  while (text.length > 3 && g.measureText(text).width > most) text = text.slice(0, -2) + "…";
  // A halo, wherever it stands.
  g.lineJoin = "round";
  g.lineWidth = 3;
  g.strokeStyle = named("ground");
  g.strokeText(text, x, y);
  g.fillStyle = named(colour);
  g.fillText(text, x, y);
}
function picture(width, height, colour) {
  const canvas = element("canvas");
  canvas.width = width;
  canvas.height = height;
  const g = canvas.getContext("2d"), image = g.createImageData(width, height);
  for (let k = 0; k < width * height; k++) {
    const c = colour(k);
    image.data[4 * k] = c[0]; image.data[4 * k + 1] = c[1]; image.data[4 * k + 2] = c[2]; image.data[4 * k + 3] = 255;
  }
  g.putImageData(image, 0, 0);
  return canvas;
}
function line(g, xs, ys, colour, width, dash = []) {
  g.strokeStyle = colour;
  g.lineWidth = width;
  g.setLineDash(dash);
  g.beginPath();
  let pen = false;
  for (let k = 0; k < xs.length; k++) {
    if (!isFinite(ys[k])) { pen = false; continue; }
    if (pen) g.lineTo(xs[k], ys[k]); else g.moveTo(xs[k], ys[k]);
    pen = true;
  }
  g.stroke();
  g.setLineDash([]);
}
function dot(g, x, y, radius, fill, edge, width = 1) {
  g.beginPath();
  g.arc(x, y, radius, 0, 7);
  if (fill) { g.fillStyle = fill; g.fill(); }
  if (edge) { g.strokeStyle = edge; g.lineWidth = width; g.stroke(); }
}
function ticks(low, high, most) {
  const raw = (high - low) / most || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find(f => f * power >= raw * 0.999);
  const found = [];
  for (let x = Math.ceil(low / step - 1e-9) * step; x <= high + 1e-9 * step; x += step) found.push(+x.toPrecision(10));
  return found;
}
function frame(g, x0, x1, y0, y1, left, top, right, bottom, options = {}) {
  const across = x => left + (x - x0) / (x1 - x0 || 1) * (right - left);
  const up = y => bottom - (y - y0) / (y1 - y0 || 1) * (bottom - top);
  g.strokeStyle = named("group");
  g.lineWidth = 1;
  g.globalAlpha = 0.45;
  const ys = options.ys || ticks(y0, y1, Math.max(2, (bottom - top) / 45));
  if (options.grid !== false) for (const y of ys) line(g, [left, right], [up(y), up(y)], named("group"), 1);
  g.globalAlpha = 1;
  for (const y of ys) write(g, options.label ? options.label(y) : short(y), left - 5, up(y) + 4, "right");
  const name = options.name || "", last = right - (name && g.measureText(name).width + 18);
  for (const x of options.xs || ticks(x0, x1, Math.max(2, (right - left) / 55)))
    if (across(x) <= last) write(g, short(x), Math.min(across(x), right - 8), bottom + 15, "center");
  write(g, name, right, bottom + 15, "right");
  g.strokeStyle = named("group");
  g.lineWidth = 1;
  g.strokeRect(left, top, right - left, bottom - top);
  return [across, up];
}
function chip(note, colour, text, className = "") {
  const span = element("span", undefined, `chip ${className}`);
  if (colour) {
    const swatch = element("i");
    swatch.style.background = colour;
    span.append(swatch);
    span.className += " swatched";
  }
  span.append(text);
  note.append(span, " ");
}

// ---- panels ----
const packed = c => (255 << 24 | Math.round(c[2]) << 16 | Math.round(c[1]) << 8 | Math.round(c[0])) >>> 0;
function shades(colour) { return Uint32Array.from({ length: 256 }, (_, k) => packed(colour(k / 255))); }
function drawField(canvas, part, k, N) {
  // The field between its points, N to a side: the most likely class, paler where it is less sure, or the value.
  const [planes, side] = part.track.shape, small = part.track.values(k), count = part.classes, area = side * side;
  canvas.width = canvas.height = N;
  const g = canvas.getContext("2d"), image = g.createImageData(N, N), pixels = new Uint32Array(image.data.buffer);
  const kinds = new Uint8Array(N * N), [low, high] = part.track.span(k);
  const tables = count ? Array.from({ length: count }, (_, c) => shades(x => mixed(ink(c), 0.08 + 0.5 * x))) : [shades(x => diverging(2 * x - 1))];
  const edge = packed(mixed(named("text").match(/\w\w/g).map(v => parseInt(v, 16)), 0.75));
  for (let i = 0; i < N; i++) {
    const y = (N - 1 - i) / (N - 1) * (side - 1), y0 = Math.min(side - 2, y | 0), v = y - y0;
    for (let j = 0; j < N; j++) {
      const x = j / (N - 1) * (side - 1), x0 = Math.min(side - 2, x | 0), u = x - x0;
      let best = 0, share = -Infinity;
      for (let c = 0, at = y0 * side + x0; c < planes; c++, at += area) {
        const value = (small[at] * (1 - u) + small[at + 1] * u) * (1 - v) + (small[at + side] * (1 - u) + small[at + side + 1] * u) * v;
        if (value > share) { share = value; best = c; }
      }
      const here = i * N + j;
      if (!count) { pixels[here] = tables[0][255 * (share - low) / (high - low) | 0]; continue; }
      if (planes === 1) { best = share > 0.5 ? 1 : 0; share = best ? share : 1 - share; }
      kinds[here] = best;
      const other = (j && kinds[here - 1] !== best) || (i && kinds[here - N] !== best);
      pixels[here] = other ? edge : tables[best][Math.max(0, Math.min(255, 255 * (count * share - 1) / (count - 1) | 0))];
    }
  }
  g.putImageData(image, 0, 0);
}
function drawPlane(canvas, film, k, note) {
  const part = film.parts.plane, [g, w, h] = begin(canvas), count = part.classes;
  const [x0, x1, y0, y1] = part.box, left = 34, bottom = h - 20, { x, y, t } = part.points;
  part.field = part.field || element("canvas");
  drawField(part.field, part, k, Math.round(Math.min(600, Math.max(240, w * 0.9))));
  g.imageSmoothingEnabled = true;
  g.drawImage(part.field, left, 4, w - left - 6, bottom - 4);
  const [across, up] = frame(g, x0, x1, y0, y1, left, 4, w - 6, bottom, { grid: false });
  const guesses = film.parts.guesses, kinds = count && guesses ? guesses.track.codes(k) : null;
  let right = 0;
  const reach = t && !count ? [Math.min(...t), Math.max(...t)] : [0, 1];
  for (let i = 0; i < x.length; i++) {
    if (x[i] === null || y[i] === null) continue;
    const wrong = kinds && t && kinds[i] !== t[i];
    right += kinds && !wrong ? 1 : 0;
    const fill = !t ? named("muted") : count ? css(ink(t[i])) : css(diverging((t[i] - reach[0]) / (reach[1] - reach[0] || 1) * 2 - 1));
    dot(g, across(x[i]), up(y[i]), 3.4, fill, count ? css(ground()) : named("text"), count ? 1 : 0.8);
    if (wrong) dot(g, across(x[i]), up(y[i]), 6, null, named("text"), 1.8);
  }
  if (count) {
    for (let c = 0; c < Math.min(count, 10); c++) chip(note, css(ink(c)), `${say("class")} ${c}`);
    if (kinds && t) chip(note, null, `${say("ringed")}; ${say("right", { right, all: t.length })}`);
  } else {
    chip(note, css(ink(1)), short(part.track.low));
    chip(note, css(ink(0)), short(part.track.high));
  }
}
function drawLine(canvas, film, k, note) {
  const part = film.parts.line, [g, w, h] = begin(canvas), [columns, count] = part.track.shape;
  const { x, t } = part.points, values = part.track.values(k);
  let [low, high] = part.track.span(k);
  if (t) { low = Math.min(low, ...t); high = Math.max(high, ...t); }
  const margin = (high - low) * 0.06 || 1, [x0, x1] = part.ends;
  const [across, up] = frame(g, x0, x1, low - margin, high + margin, 44, 4, w - 6, h - 20);
  if (t) for (let i = 0; i < x.length; i++) if (x[i] !== null) dot(g, across(x[i]), up(t[i]), 3, css(mixed(ink(1), 0.75)), css(ground()));
  for (let c = 0; c < columns; c++) {
    const ys = [...values.subarray(c * count, (c + 1) * count)].map(up);
    line(g, ys.map((_, i) => across(x0 + (x1 - x0) * i / (count - 1))), ys, css(ink(c === 0 ? 0 : c + 1)), 2.5);
  }
  if (t) chip(note, css(mixed(ink(1), 0.75)), say("target"));
  chip(note, css(ink(0)), say("prediction"));
}
function drawConfusion(canvas, film, k, note) {
  const part = film.parts.guesses, [g, w, h] = begin(canvas), { targets } = part, kinds = part.track.codes(k);
  // How often each class (row) is taken for each (column).
  const n = part.classes, table = new Uint32Array(n * n);
  for (let i = 0; i < targets.length; i++) table[targets[i] * n + kinds[i]]++;
  const side = Math.min((w - 40) / n, (h - 44) / n), left = 30 + (w - 40 - side * n) / 2;
  const most = Math.max(1, ...table);
  for (let r = 0; r < n; r++) for (let c = 0; c < n; c++) {
    const count = table[r * n + c];
    g.fillStyle = css(mixed(ink(r === c ? 0 : 1), 0.08 + 0.6 * count / most));
    g.fillRect(left + c * side, 4 + r * side, side - 1, side - 1);
    if (count && side > 13) write(g, String(count), left + (c + 0.5) * side, 8 + (r + 0.5) * side, "center", "text");
  }
  if (n <= 20) for (let r = 0; r < n; r++) {
    write(g, String(r), left - 6, 8 + (r + 0.5) * side, "right");
    write(g, String(r), left + (r + 0.5) * side, 18 + n * side, "center");
  }
  write(g, say("prediction") + " →", left + n * side, 33 + n * side, "right");
  write(g, say("target") + " ↓", left - 8, 33 + n * side, "left");
  let right = 0;
  for (let r = 0; r < n; r++) right += table[r * n + r];
  chip(note, null, say("right", { right, all: targets.length }));
}
function drawGuesses(canvas, film, k, note) {
  const part = film.parts.guesses, [g, w, h] = begin(canvas), targets = part.targets;
  if (!part.classes) {
    const values = part.track.values(k);
    let error = 0, [low, high] = part.track.span(k);
    low = Math.min(low, ...targets); high = Math.max(high, ...targets);
    const margin = (high - low) * 0.06 || 1;
    const [across, up] = frame(g, low - margin, high + margin, low - margin, high + margin, 44, 4, w - 6, h - 20);
    line(g, [across(low), across(high)], [up(low), up(high)], named("edge"), 1.5, [5, 4]);
    for (let i = 0; i < targets.length; i++) {
      error += (values[i] - targets[i]) ** 2 / targets.length;
      dot(g, across(targets[i]), up(values[i]), 3, css(ink(0)), css(ground()));
    }
    chip(note, null, say("by-target"));
    chip(note, null, say("error", { error: short(Math.sqrt(error)) }));
    return;
  }
  const kinds = part.track.codes(k), sure = part.sure.values(k), { pictures } = part;
  let right = 0;
  for (let i = 0; i < targets.length; i++) right += kinds[i] === targets[i] ? 1 : 0;
  chip(note, null, say("right", { right, all: targets.length }));
  const [count, height, width, channels] = pictures.shape, codes = pictures.codes(0);
  let columns = 1, size = 0;
  for (let c = 2; c <= count; c++) {
    const s = Math.min((w + 6) / c - 6, (h + 2) / Math.ceil(count / c) - 19);
    if (s > size) { size = s; columns = c; }
  }
  const gap = (w - columns * size) / Math.max(1, columns - 1);
  part.tiles = part.tiles || [];
  const key = dark() ? "dark" : "light";
  if (part.tilesFor !== key) { part.tiles = []; part.tilesFor = key; }
  for (let i = 0; i < count; i++) {
    const base = i * height * width * channels;
    part.tiles[i] = part.tiles[i] || picture(width, height, p => channels === 3
      ? codes.subarray(base + 3 * p, base + 3 * p + 3) : mixed(named("text").match(/\w\w/g).map(v => parseInt(v, 16)), codes[base + p] / 255));
    const x = (i % columns) * (size + gap), y = Math.floor(i / columns) * (size + 19), wrong = kinds[i] !== targets[i];
    g.imageSmoothingEnabled = false;
    g.drawImage(part.tiles[i], x + 2, y + 2, size - 4, size - 4);
    g.strokeStyle = wrong ? css(ink(1)) : named("group");
    g.lineWidth = wrong ? 3 : 1;
    g.strokeRect(x + 1.5, y + 1.5, size - 3, size - 3);
    const text = wrong ? `${kinds[i]} ≠ ${targets[i]}` : String(kinds[i]);
    g.font = wrong ? "bold " + FONT : FONT;
    write(g, text, x + size / 2, y + size + 12, "center", wrong ? "alert" : "muted", size + 4);
    g.font = FONT;
    // How sure: the length of a bar.
    g.fillStyle = wrong ? css(ink(1)) : css(ink(0));
    g.fillRect(x + 2, y + size - 4, (size - 4) * sure[i], 3);
  }
  chip(note, css(ink(1)), `${say("prediction")} ≠ ${say("target")}`);
}
function smoothed(values, width) {
  const found = [];
  let sum = 0, count = 0;
  for (let k = 0; k < values.length; k++) {
    if (isFinite(values[k]) && values[k] !== null) { sum += values[k]; count++; }
    if (k >= width && values[k - width] !== null && isFinite(values[k - width])) { sum -= values[k - width]; count--; }
    found.push(count ? sum / count : NaN);
  }
  return found;
}
function drawCurves(canvas, film, k, note) {
  const [g, w, h] = begin(canvas);
  const names = Object.keys(film.curves.columns), metrics = names.filter(n => n !== "loss");
  const rates = film.rates.some(r => r !== film.rates[0]);
  const kinds = [["loss"], ...(metrics.length ? [metrics] : []), ...(rates ? [[]] : [])];
  const weights = kinds.map((names, i) => i === 0 ? 1.5 : names.length ? 1 : 0.6);
  const total = weights.reduce((a, b) => a + b), gap = 20;
  const last = Math.max(...films.map(f => f.curves.steps.at(-1) || f.steps.at(-1) || 1)), first = Math.min(...films.map(f => f.steps[0]));
  let top = 4;
  const now = film.steps[k];
  kinds.forEach((names, i) => {
    const height = (h - gap * kinds.length - 4) * weights[i] / total, bottom = top + height;
    const isLog = i === 0 && logarithmic;
    const f = y => isLog ? (y > 0 ? Math.log10(y) : NaN) : y;
    const isRate = !names.length, series = [];
    const ownBefore = film.curves.steps;
    if (isRate) series.push({ name: say("rate"), xs: film.steps, ys: film.rates, colour: ink(2), width: 2 });
    names.forEach((name, c) => {
      const colour = ink(i === 0 ? 0 : c + 2), ys = film.curves.columns[name];
      const smooth = smoothed(ys, Math.max(1, Math.round(ys.length / 40)));
      if (ys.length > 30) series.push({ xs: ownBefore, ys, colour, width: 1, faint: true });
      series.push({ name, xs: ownBefore, ys: ys.length > 30 ? smooth : ys, colour, width: 2 });
      const after = film.history.columns["val_" + name];
      if (after) series.push({ name: "val_" + name, xs: film.history.ends, ys: after, colour: ink(i === 0 ? 1 : c + 3), width: 2, dash: [6, 3], dots: true });
    });
    let low = Infinity, high = -Infinity;
    for (const other of films) for (const name of names)
      for (const column of [other.curves.columns[name], other.history.columns["val_" + name]])
        for (const y of column || []) if (y !== null && isFinite(f(y))) { low = Math.min(low, f(y)); high = Math.max(high, f(y)); }
    if (isRate) for (const other of films) for (const y of other.rates) { low = Math.min(low, y); high = Math.max(high, y); }
    if (!isFinite(low)) { low = 0; high = 1; }
    if (!isLog && low > 0 && low < high * 0.6) low = 0;
    const margin = (high - low) * 0.05 || Math.abs(high) * 0.05 || 1;
    const room = isLog ? { label: y => short(10 ** y) } : {};
    if (i < kinds.length - 1) room.xs = [];
    else room.name = say("step");
    const [across, up] = frame(g, first, last, low === 0 ? 0 : low - margin, high + margin, 48, top, w - 8, bottom, room);
    g.save();
    g.beginPath();
    g.rect(48, top, w - 56, height);
    g.clip();
    for (const s of series) {
      g.globalAlpha = s.faint ? 0.3 : 1;
      const points = s.ys.map(y => y === null ? NaN : up(f(y)));
      line(g, s.xs.map(across), points, css(s.colour), s.width, s.dash);
      if (s.dots && s.xs.length < 60) s.xs.forEach((x, j) => dot(g, across(x), points[j], 2.5, css(s.colour)));
      g.globalAlpha = 1;
    }
    g.restore();
    line(g, [across(now), across(now)], [top, bottom], named("backward"), 1.5, [4, 3]);
    for (const s of series) if (s.name) {
      let j = -1;
      while (j + 1 < s.xs.length && s.xs[j + 1] <= now) j++;
      const raw = isRate || s.dots ? s.ys[j] : (film.curves.columns[s.name] || [])[j];
      // Where the number is that is told, which smoothing moves.
      if (j >= 0 && raw !== null) dot(g, across(s.xs[j]), up(f(raw)), 4, css(s.colour), css(ground()), 1.5);
      chip(note, css(s.colour), `${s.name} ${j >= 0 ? short(raw) : "–"}`);
    }
    top = bottom + gap;
  });
}
function unitsOf(part, k) {
  // For each unit that is drawn: its place, and bias, mean z, mean a, share above 0, spread of a.
  const facts = part.units.values(k), units = [];
  let at = 0;
  part.drawn.forEach((drawn, i) => drawn.forEach((number, u) => {
    units.push({ i, u, number, facts: i ? facts.subarray(5 * at, 5 * at + 5) : [0, part.inputs[u], part.inputs[u], 1, 1] });
    if (i) at++;
  }));
  return units;
}
function drawNetwork(canvas, film, k, note) {
  const part = film.parts.network, [g, w, h] = begin(canvas), { widths, drawn } = part;
  const counts = drawn.map(d => d.length), values = part[lines].values(k), units = unitsOf(part, k);
  const most = units.reduce((m, { i, facts }) => i ? Math.max(m, Math.abs(facts[2])) : m, 1e-9);
  const largest = f => f.parts.network.weights.values(frameOf(f)).reduce((m, v) => Math.max(m, Math.abs(v)), 1e-9);
  const reach = lines === "weights" ? Math.max(...films.filter(f => f.parts.network).map(largest)) : part[lines].span(k)[1];
  const xs = widths.map((_, i) => 26 + (w - 52) * i / (widths.length - 1));
  const radius = Math.max(3, Math.min(9, (h - 40) / Math.max(...counts) / 2.6));
  const y = (i, u) => 24 + (h - 36) * (counts[i] === 1 ? 0.5 : (u + 0.5) / counts[i]);
  let at = 0;
  for (let i = 0; i + 1 < counts.length; i++) for (let a = 0; a < counts[i]; a++) for (let b = 0; b < counts[i + 1]; b++) {
    const v = values[at++] / reach, strength = Math.abs(v), chosen = unit && unit.i === i + 1 && unit.u === b;
    if (strength < 0.02 && !chosen) continue;
    const x0 = xs[i], x1 = xs[i + 1], middle = (x0 + x1) / 2;
    g.globalAlpha = (0.2 + 0.8 * strength) * (unit && !chosen ? 0.25 : 1);
    g.strokeStyle = css(v > 0 ? ink(1) : ink(0));
    g.lineWidth = 0.4 + 3.6 * strength;
    g.beginPath();
    g.moveTo(x0, y(i, a));
    g.bezierCurveTo(middle, y(i, a), middle, y(i + 1, b), x1, y(i + 1, b));
    g.stroke();
  }
  g.globalAlpha = 1;
  canvas.places = units.map(({ i, u, number, facts }) => {
    const dead = i > 0 && i + 1 < counts.length && facts[4] === 0, chosen = unit && unit.i === i && unit.u === u;
    dot(g, xs[i], y(i, u), radius, i ? css(share ? mixed(ink(0), facts[3]) : diverging(facts[2] / most)) : css(ground()), named("edge"), 1.3);
    if (dead) dot(g, xs[i], y(i, u), radius + 2.5, null, named("error"), 2.4);
    if (chosen) dot(g, xs[i], y(i, u), radius + 3.5, null, named("text"), 2);
    return { x: xs[i], y: y(i, u), radius, i, u, text: i
      ? `${part.names[i - 1]} [${number}]   a = ${short(facts[2])}${dead ? "\n" + say("unit-dead") : ""}`
      : `x[${number}] = ${short(facts[2])}` };
  });
  widths.forEach((width, i) => write(g, i === 0 ? `${say("inputs")} ${width}` : `${part.names[i - 1]}: ${width}`,
    i === 0 ? 2 : i === widths.length - 1 ? w - 2 : xs[i], 12, i === 0 ? "left" : i === widths.length - 1 ? "right" : "center"));
  const found = unit && units.find(({ i, u }) => i === unit.i && u === unit.u);
  if (found && found.i) chip(note, null, sumOf(part, k, found, units));
  else {
    chip(note, null, `|${{ weights: "w", gradients: "g", updates: "Δw" }[lines]}| ≤ ${short(reach)};`);
    chip(note, null, say("network-key"));
  }
}
function sumOf(part, k, found, units) {
  // z = sum of w·a + b, of means over the rows, for which it holds too.
  const { i, u, number, facts } = found, weights = part.weights.values(k), before = units.filter(other => other.i === i - 1);
  let start = 0;
  for (let l = 0; l + 1 < i; l++) start += part.drawn[l].length * part.drawn[l + 1].length;
  const terms = before.map(({ facts: f, number: n }, a) => ({ n, w: weights[start + a * part.drawn[i].length + u], a: f[2] }));
  const shown = terms.slice().sort((p, q) => Math.abs(q.w * q.a) - Math.abs(p.w * p.a)).slice(0, terms.length <= 4 ? 4 : 3);
  const rest = facts[1] - facts[0] - shown.reduce((sum, { w, a }) => sum + w * a, 0);
  const text = shown.map(({ w, a }) => `${short(w)}·${short(a)}`);
  if (shown.length < part.widths[i - 1]) text.push(`${short(rest)} (${say("others")})`);
  const active = say("unit-active", { share: Math.round(100 * facts[3]) });
  return `${part.names[i - 1]} [${number}]: z = Σ w·a + b = ${text.join(" + ")} + ${short(facts[0])} = ${short(facts[1])}; a = ${short(facts[2])}, `
    + `${facts[4] === 0 ? say("unit-dead") : active} (${say("unit-means")})`;
}
function chooseUnit(canvas, to) { unit = to && !(unit && to.i === unit.i && to.u === unit.u) ? { i: to.i, u: to.u } : null; show(); }
function drawHidden(canvas, film, k, note) {
  const part = film.parts.hidden, [g, w, h] = begin(canvas), values = part.track.values(k), { targets, classes } = part;
  const rows = targets.length, reach = Math.max(1e-9, ...values.map(Math.abs)) * 1.06;
  const side = Math.min(w, h) - 8, left = (w - side) / 2, low = Math.min(...targets), high = Math.max(...targets);
  g.strokeStyle = named("group");
  g.strokeRect(left, 4, side, side);
  line(g, [left, left + side], [4 + side / 2, 4 + side / 2], named("group"), 0.7);
  line(g, [left + side / 2, left + side / 2], [4, 4 + side], named("group"), 0.7);
  for (let i = 0; i < rows; i++) {
    const colour = classes ? ink(targets[i]) : diverging((targets[i] - low) / (high - low || 1) * 2 - 1);
    const x = left + side / 2 * (1 + values[2 * i] / reach), y = 4 + side / 2 * (1 - values[2 * i + 1] / reach);
    if (classes > 2 && classes <= 100) {
      dot(g, x, y, 8, css(mixed(colour, 0.5)), css(ground()), 1);
      g.textAlign = "center";
      g.fillStyle = named("text");
      g.fillText(String(targets[i]), x, y + 4);
    } else dot(g, x, y, 3.4, css(colour), classes ? css(ground()) : named("edge"), 1);
  }
  if (classes && classes <= 2) for (let c = 0; c < classes; c++) chip(note, css(ink(c)), `${say("class")} ${c}`);
  chip(note, null, say("hidden-key"));
}
function drawWeights(canvas, film, k, note) {
  const [g, w, h] = begin(canvas), parts = film.parts.weights.parts;
  const boxes = [], tiled = parts[0].track.shape.length === 3 && parts.length > 1 && parts[1].track.shape.length !== 3;
  if (tiled) {
    boxes.push([0, 0, w, h * 0.62]);
    parts.slice(1).forEach((_, i) => boxes.push([i * w / (parts.length - 1), h * 0.62 + 4, w / (parts.length - 1) - 8, h * 0.38 - 4]));
  } else {
    const columns = parts.length <= 3 ? parts.length : Math.ceil(parts.length / 2), rows = Math.ceil(parts.length / columns);
    parts.forEach((_, i) => boxes.push([(i % columns) * w / columns, Math.floor(i / columns) * h / rows, w / columns - 8, h / rows - 4]));
  }
  parts.forEach(({ name, shape, track }, i) => {
    const [left, top, width, height] = boxes[i], values = track.values(k), reach = track.span(k)[1];
    const label = `${name}  ${shape}  ±${short(reach)}`;
    write(g, g.measureText(label).width < width ? label : `${name} ±${short(reach)}`, left, top + 12, "left", "muted", width + 6);
    const many = track.shape.length === 3, [count, rows, columns] = many ? track.shape : [1, ...track.shape];
    const room = height - 18;
    let across = 1, size = 0;
    for (let c = 1; c <= count; c++) {
      const scale = Math.min((width - 3 * (c - 1)) / c / columns, (room - 3 * (Math.ceil(count / c) - 1)) / Math.ceil(count / c) / rows);
      if (scale > size) { size = scale; across = c; }
    }
    // Few entries fill their box, whatever its shape; pictures keep theirs.
    const sx = many ? size : Math.min(width / columns, 48), sy = many ? size : Math.min(room / rows, 48);
    for (let t = 0; t < count; t++) {
      const base = t * rows * columns;
      // Most weights are far smaller than the largest.
      const image = picture(columns, rows, p => diverging(Math.sign(values[base + p]) * (Math.abs(values[base + p]) / reach) ** 0.7));
      g.imageSmoothingEnabled = false;
      const x = left + (t % across) * (columns * sx + 3), y = top + 18 + Math.floor(t / across) * (rows * sy + 3);
      g.drawImage(image, x, y, columns * sx, rows * sy);
      g.strokeStyle = named("group");
      g.lineWidth = 0.7;
      g.strokeRect(x, y, columns * sx, rows * sy);
    }
  });
  chip(note, css(ink(0)), "< 0");
  chip(note, css(ink(1)), "> 0");
}
function ridges(canvas, layers, k, low, high, colour, axis, textOf) {
  const [g, w, h] = begin(canvas), foot = axis ? 34 : 4, each = (h - foot) / layers.length, told = [];
  layers.forEach((layer, i) => {
    // The ends of an axis stand below it, where there is room.
    const below = !axis && each > 46 ? 13 : 0, bottom = (i + 1) * each - 2 - below, heights = layer.track.values(k), [x0, x1] = [low(layer, k), high(layer, k)];
    const left = 4, right = w - 4, [from, to] = layer.axis;
    const across = x => left + (x - from) / (to - from || 1) * (right - left);
    const tall = Math.max(6, each - 20 - below), n = heights.length;
    line(g, [left, right], [bottom, bottom], named("group"), 1);
    if (heights.some(v => v > 0)) {
      g.fillStyle = css(mixed(colour, dark() ? 0.6 : 0.45));
      g.beginPath();
      g.moveTo(across(x0), bottom);
      for (let b = 0; b < n; b++) {
        const a = across(x0 + (x1 - x0) * b / n), z = across(x0 + (x1 - x0) * (b + 1) / n), y = bottom - heights[b] * tall;
        g.lineTo(a, y);
        g.lineTo(Math.max(z, a + 0.8), y);
      }
      g.lineTo(across(x1), bottom);
      g.fill();
      g.strokeStyle = css(colour);
      g.lineWidth = 1;
      g.stroke();
    }
    const [text, alert] = textOf(layer, k);
    told.push(`${layer.name}: ${text}.`);
    write(g, layer.name, left, bottom - tall - 5 + 2, "left", "text", w * 0.45);
    write(g, text, right, bottom - tall - 5 + 2, "right", alert ? "alert" : "muted", w * 0.54);
    if (axis) return;
    write(g, short(from), left, bottom + (below || -3), "left");
    write(g, short(to), right, bottom + (below || -3), "right");
  });
  return [g, w, h, told.join(" ")];
}
function drawActivations(canvas, film, k, note) {
  const { layers } = film.parts.activations;
  for (const layer of layers) if (!layer.axis)
  {
    // The same one for films side by side.
    const facts = films.flatMap(f => f.parts.activations ? f.parts.activations.layers : []).filter(l => l.name === layer.name).flatMap(l => l.facts);
    layer.axis = [Math.min(...facts.map(f => f[0])), Math.max(...facts.map(f => f[1]))];
  }
  const fact = (layer, i) => layer.facts[Math.min(k, layer.facts.length - 1)][i];
  return ridges(canvas, layers, k, layer => fact(layer, 0), layer => fact(layer, 1), ink(0), false, layer => {
    const dead = fact(layer, 4), spread = say("no-dead", { mean: short(fact(layer, 2)), spread: short(fact(layer, 3)) });
    return dead > 0 ? [say("dead", { dead, units: fact(layer, 5) }), true] : [spread, false];
  })[3];
}
function drawGradients(canvas, film, k, note) {
  const { layers, decades } = film.parts.gradients;
  if (!layers[0].axis) {
    let first = Infinity, last = -Infinity;
    const all = films.flatMap(f => f.parts.gradients ? f.parts.gradients.layers.map(layer => [layer, f.steps.length]) : []);
    for (const [layer, count] of all) {
      const n = layer.track.size, width = (decades[1] - decades[0]) / n;
      for (let j = 0; j < count; j++) layer.track.codes(j).forEach((c, b) => {
        if (c > 20) { first = Math.min(first, decades[0] + b * width); last = Math.max(last, decades[0] + (b + 1) * width); }
      });
    }
    if (first > last) [first, last] = [-6, 0];
    for (const [layer] of all) layer.axis = [Math.floor(first), Math.ceil(last)];
  }
  const fact = (layer, i) => layer.facts[Math.min(k, layer.facts.length - 1)][i];
  if (overTime) return drawOverTime(canvas, film, k, note);
  const [g, w, h, told] = ridges(canvas, layers, k, () => decades[0], () => decades[1], ink(2), true, layer => {
    const mean = fact(layer, 0), change = fact(layer, 2);
    if (mean === null) return [say("no-gradient"), k > 0];
    if (mean === 0) return [say("zero-gradient"), true];
    return [`${short(mean)}  Δ ${change === null ? "–" : short(change)}`, false];
  });
  chip(note, null, say("gradient-key"));
  const [from, to] = layers[0].axis, step = Math.ceil((to - from) / 6);
  for (let x = from; x <= to; x += step)
    write(g, x === 0 ? "1" : `1e${x}`, Math.max(15, Math.min(w - 15, 4 + (x - from) / (to - from) * (w - 8))), h - 19, "center");
  write(g, say("of-size"), w / 2, h - 4, "center");
  return told;
}
function drawOverTime(canvas, film, k, note) {
  const [g, w, h] = begin(canvas), layers = film.parts.gradients.layers.filter((layer, _, all) => all.length <= 8 || layer.name.endsWith("weight"));
  [["|g|", 0], ["|w|", 1], ["Δ", 2]].forEach(([name, i], place) => {
    const columns = layers.map(layer => layer.facts.map(f => f[i] > 0 ? Math.log10(f[i]) : NaN));
    const all = columns.flat().filter(isFinite), each = (h - 20) / 3, top = place * each + 6, bottom = (place + 1) * each - 8;
    const low = all.length ? Math.floor(Math.min(...all)) : -4, high = all.length ? Math.max(low + 1, Math.ceil(Math.max(...all))) : 0;
    const ys = [], step = Math.ceil((high - low) / 3);
    for (let y = low; y <= high; y += step) ys.push(y);
    const [across, up] = frame(g, film.steps[0], film.steps.at(-1), low, high, 48, top, w - 8, bottom, { ys, label: y => y ? `1e${y}` : "1", ...(place === 2 ? { name: say("step") } : { xs: [] }) });
    columns.forEach((column, c) => line(g, film.steps.map(across), column.map(y => isFinite(y) ? up(y) : NaN), css(ink(c)), 1.8, c >= inks.length ? [4, 3] : []));
    line(g, [across(film.steps[k]), across(film.steps[k])], [top, bottom], named("backward"), 1.5, [4, 3]);
    write(g, name, 52, top + 12, "left", "text");
  });
  layers.forEach((layer, c) => chip(note, css(ink(c)), layer.name));
}
function jump(text, step) {
  const button = element("button", text);
  button.type = "button";
  button.addEventListener("click", () => { pause(); go(steps.findIndex(s => s >= step)); });
  return button;
}
// What doctors say after so many steps
const reported = (film, step) => (film.reports.findLast(([at]) => at <= step) || [0, []])[1];
function listFindings(box, film, k) {
  const found = reported(film, film.steps[k]);
  const later = film.reports.flatMap(([, report]) => report).find(f => f.step > film.steps[k]);
  box.textContent = "";
  if (!found.length) box.append(say("none-found"), " ");
  if (later) box.append(jump(say("later", { step: later.step }), later.step));
  const ul = element("ul");
  for (const f of found) {
    const li = element("li");
    li.append(element("b", f.name), f.module ? ` (${f.module}) ` : " ", jump(say("from-step", { step: f.step }), f.step), ` ${f.text}`);
    if (f.line) li.append(element("code", f.line));
    ul.append(li);
  }
  box.append(ul);
}
function listAbout(box, film) {
  box.textContent = "";
  const ul = element("ul");
  ul.append(...film.notes.map(note => element("li", note)));
  box.append(ul, element("pre", film.model));
}
const PANELS = [
  ["plane", f => f.parts.plane, drawPlane], ["line", f => f.parts.line, drawLine],
  ["images", f => f.parts.guesses && f.parts.guesses.pictures, drawGuesses], ["curves", () => true, drawCurves],
  ["findings", f => f.doctor, null], ["network", f => f.parts.network, drawNetwork],
  ["weights", f => f.parts.weights && f.parts.weights.parts.length, drawWeights],
  ["activations", f => f.parts.activations && f.parts.activations.layers.length, drawActivations],
  ["gradients", f => f.parts.gradients && f.parts.gradients.layers.length, drawGradients],
  ["guesses", f => f.parts.guesses && !f.parts.guesses.classes, drawGuesses],
  // In a plane one sees what is wrong.
  ["confusion", f => !(f.parts.plane && f.doctor) && f.parts.guesses && f.parts.guesses.classes && f.parts.guesses.classes <= 20, drawConfusion],
  ["hidden", f => f.parts.hidden, drawHidden], ["about", () => true, null],
];
let drawn = [];
const sizes = new ResizeObserver(entries => {
  if (entries.some(({ target, contentRect: box }) => target.drawnAt !== Math.max(60, Math.round(box.width)) + "x" + Math.max(60, Math.round(box.height)))) show();
});
function build() {
  const main = by("panels");
  main.textContent = "";
  main.classList.toggle("several", films.length > 1);
  drawn = [];
  for (const [key, has, draw] of PANELS) {
    if (!films.some(has)) continue;
    const name = key === "plane" && !films.some(f => f.parts.plane && f.parts.plane.classes) ? "values" : key;
    const panel = element("section", undefined, "panel"), head = element("header"), title = element("h2", say(key === "images" ? "guesses" : name));
    panel.id = "panel-" + key;
    head.append(title);
    const button = (text, pressed, click, hint = text) => {
      const b = element("button", text);
      b.type = "button";
      b.title = b.ariaLabel = hint;
      if (pressed !== null) b.setAttribute("aria-pressed", pressed);
      b.addEventListener("click", () => click(b));
      head.append(b);
      return b;
    };
    if (key === "curves") button(say("log"), logarithmic, b => { logarithmic = !logarithmic; b.setAttribute("aria-pressed", logarithmic); show(); });
    if (key === "gradients") button(say("over-time"), overTime, b => { overTime = !overTime; b.setAttribute("aria-pressed", overTime); show(); });
    if (key === "network") {
      const select = element("select");
      select.ariaLabel = say("lines");
      for (const kind of ["weights", "gradients", "updates"]) select.append(new Option(say(kind).toLowerCase(), kind, false, kind === lines));
      select.addEventListener("change", () => { lines = select.value; show(); });
      head.append(select);
      button("% > 0", share, b => { share = !share; b.setAttribute("aria-pressed", share); show(); }, say("active"));
    }
    const why = element("p", say("why-" + name), "why");
    why.hidden = true;
    button("?", false, b => { why.hidden = !why.hidden; b.setAttribute("aria-pressed", !why.hidden); }, say("explain"));
    if (draw) button("↓", null, () => save(panel, key), say("save"));
    button("⤢", null, () => enlarge(panel), say("larger"));
    const figures = element("div", undefined, "figures");
    panel.append(head, why, figures);
    for (const film of films) {
      const figure = element("figure");
      if (films.length > 1) figure.append(element("figcaption", film.title));
      if (draw && has(film)) {
        const canvas = element("canvas"), note = element("p");
        canvas.setAttribute("role", "img");
        sizes.observe(canvas);
        canvas.addEventListener("pointermove", point);
        if (key === "network") {
          canvas.tabIndex = 0;
          canvas.addEventListener("click", event => chooseUnit(canvas, hitBy(event)));
          canvas.addEventListener("keydown", event => {
            const turn = { ArrowDown: 1, ArrowUp: -1 }[event.key], order = canvas.places.filter(p => p.i);
            if (!turn) return;
            event.preventDefault();
            const now = order.findIndex(p => unit && p.i === unit.i && p.u === unit.u);
            chooseUnit(canvas, order[(now + turn + order.length) % order.length]);
          });
        }
        canvas.addEventListener("pointerleave", () => by("tip") && by("tip").remove());
        figure.append(canvas, note);
        drawn.push(() => {
          const fresh = element("p");
          const more = draw(canvas, film, frameOf(film), fresh) || "";
          note.replaceChildren(...fresh.childNodes);
          canvas.setAttribute("aria-label", `${title.textContent}: ${note.textContent} ${more}`);
        });
      } else if (!draw) {
        const box = element("div", undefined, "list");
        box.tabIndex = 0;
        figure.append(box);
        drawn.push(() => key === "findings" ? listFindings(box, film, frameOf(film)) : box.childNodes.length || listAbout(box, film));
      }
      figures.append(figure);
    }
    main.append(panel);
  }
  fill();
}
// What is said about the film fills the row that the other panels have begun
function fill() {
  const about = by("panel-about"), main = by("panels");
  if (!about) return;
  const columns = getComputedStyle(main).gridTemplateColumns.split(" ").length, begun = (main.childElementCount - 1) % columns;
  about.style.gridColumn = begun ? `span ${columns - begun}` : "1 / -1";
}
function save(panel, key) {
  const canvases = [...panel.querySelectorAll("canvas")], all = element("canvas"), g = all.getContext("2d");
  all.width = canvases.reduce((sum, c) => sum + c.width, 0);
  all.height = Math.max(...canvases.map(c => c.height));
  g.fillStyle = named("ground");
  g.fillRect(0, 0, all.width, all.height);
  canvases.reduce((x, c) => { g.drawImage(c, x, 0); return x + c.width; }, 0);
  const link = element("a");
  link.download = `${key}-${steps[place]}.png`;
  link.href = all.toDataURL();
  link.click();
}
function hitBy(event) {
  const box = event.target.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  return (event.target.places || []).find(p => Math.hypot(p.x - x, p.y - y) < p.radius + 3);
}
function point(event) {
  const hit = hitBy(event);
  let tip = by("tip");
  if (!hit) { if (tip) tip.remove(); return; }
  if (!tip) { tip = element("div"); tip.id = "tip"; document.body.append(tip); }
  tip.textContent = hit.text;
  tip.style.left = Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8) + "px";
  tip.style.top = event.clientY + 14 + "px";
}
function enlarge(panel) {
  const already = document.body.classList.contains("large") && (!panel || panel.classList.contains("large"));
  for (const other of document.querySelectorAll(".panel.large")) other.classList.remove("large");
  document.body.classList.toggle("large", !already && Boolean(panel));
  if (!already && panel) panel.classList.add("large");
  show();
}

// ---- playing ----
function frameOf(film) {
  let k = 0;
  while (k + 1 < film.steps.length && film.steps[k + 1] <= steps[place]) k++;
  return k;
}
function show() {
  if (!films.length) return;
  const film = films[0], k = frameOf(film), now = by("now"), parts = [[say("step"), steps[place]]];
  if (films.length === 1) {
    parts.push([say("epoch"), (film.epochs[k] ?? 0).toFixed(film.epochs[k] % 1 ? 2 : 0)], [say("rate"), short(film.rates[k])]);
    let j = -1;
    while (j + 1 < film.curves.steps.length && film.curves.steps[j + 1] <= film.steps[k]) j++;
    for (const [name, ys] of Object.entries(film.curves.columns)) parts.push([name, j < 0 ? "–" : short(ys[j])]);
  }
  now.textContent = "";
  for (const [name, value] of parts) {
    const pair = element("span", `${name} `);
    pair.append(element("b", value));
    now.append(pair, " ");
  }
  by("slider").value = place;
  by("slider").setAttribute("aria-valuetext", `${say("step")} ${steps[place]}`);
  by("count").textContent = `${place + 1} / ${steps.length}`;
  for (const draw of drawn) draw();
}
function go(to) {
  place = Math.max(0, Math.min(steps.length - 1, to));
  show();
  if (!live && location.protocol !== "about:") history.replaceState(null, "", "#step=" + steps[place]);
}
function pause() { clearInterval(timer); timer = 0; by("play").textContent = say("play"); }
function play() {
  if (timer) return pause();
  if (place >= steps.length - 1) go(0);
  by("play").textContent = say("pause");
  const wait = 110 / Number(by("speed").value) * Math.max(1, Math.min(6, 60 / steps.length));
  timer = setInterval(() => { if (place >= steps.length - 1) pause(); else go(place + 1); }, wait);
}
function setTheme(name) {
  root.dataset.theme = name;
  by("theme").textContent = say(name === "dark" ? "light" : "dark");
  show();
}
async function load(content) {
  await unpackAll(content.films);
  const atEnd = place >= steps.length - 1;
  films = content.films;
  steps = [...new Set(films.flatMap(f => f.steps))].sort((a, b) => a - b);
  by("panels").classList.toggle("empty", !films.length);
  if (!films.length) { by("panels").textContent = say("waiting"); return; }
  by("slider").max = steps.length - 1;
  const last = steps.length - 1 || 1, marks = by("marks");
  marks.textContent = "";
  for (const begin of new Set(films.flatMap(film => film.reports.flatMap(([, report]) => report.map(f => f.step))))) {
    const mark = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    let at = steps.findIndex(s => s >= begin);
    if (at < 0) at = last;
    for (const [name, value] of [["x", at / last * 980 + 6], ["y", 0], ["width", 7], ["height", 8]]) mark.setAttribute(name, value);
    marks.append(mark);
  }
  const chosen = document.querySelector(".panel.large");
  build();
  if (chosen && by(chosen.id)) by(chosen.id).classList.add("large");
  place = Math.min(place, last);
  if (live && atEnd) place = steps.length - 1;
  show();
}
async function follow(state) {
  let wait = 700;
  try {
    const answer = await fetch("film.json?have=" + state);
    if (answer.status === 200) {
      const content = await answer.json();
      state = content.state;
      await load(content);
      if (content.ended) wait = 3000;
      by("state").textContent = say(content.ended ? "ended" : "live");
    }
  } catch { wait = 3000; }
  setTimeout(follow, wait, state);
}

(async () => {
if (typeof DecompressionStream === "undefined") {
  by("still").firstElementChild.textContent = say("too-old");
  return;
}
for (const controls of document.querySelectorAll(".controls")) controls.hidden = false;
by("still").hidden = true;
followTheme("auto");
await load(data);
const wanted = /step=(\d+)/.exec(location.hash);
if (wanted) place = Math.max(0, steps.findLastIndex(s => s <= Number(wanted[1])));
else if (films.length && !live) place = steps.length - 1;
show();
if (live) follow("-1");
by("slider").addEventListener("input", () => { pause(); go(Number(by("slider").value)); });
by("play").addEventListener("click", play);
by("speed").addEventListener("change", () => { if (timer) { pause(); play(); } });
by("theme").addEventListener("click", otherTheme);
by("keys").addEventListener("click", () => unfold("keys", "help"));
for (const [id, to] of [["first", () => 0], ["back", () => place - 1], ["next", () => place + 1], ["last", () => steps.length - 1]])
  by(id).addEventListener("click", () => { pause(); go(to()); });
addEventListener("resize", fill);
addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
  const moves = { ArrowLeft: () => place - 1, ArrowRight: () => place + 1, Home: () => 0, End: () => steps.length - 1 };
  if (moves[event.key]) { pause(); go(moves[event.key]()); }
  else if (event.key === " " && event.target.tagName !== "BUTTON") play();
  else if (event.key === "t") otherTheme();
  else if (event.key === "?") unfold("keys", "help");
  else if (event.key === "Escape") { unfold("keys", "help", false); enlarge(null); }
  else if (/^[1-9]$/.test(event.key)) { const panel = document.querySelectorAll(".panel")[event.key - 1]; if (panel) enlarge(panel); }
  else return;
  event.preventDefault();
});
root.dataset.ready = "yes";
})();
