// Where things are: the strip that Graphviz made, without what is in closed modules, in rows; see viz/layout.py.
// All is done as if a picture ran from left to right; one from top to bottom is turned before and after.

const AWAY = 12, LANE = 7, NEST = 7, ROUND = 7, WORTH = 1.1, APART = 15;
const PADS = { LR: { above: 32, below: 12, lead: 0, nest: NEST }, TB: { above: 12, below: 12, lead: 22, nest: 20 } };
const beyond = { start: (pads, inside) => (inside >= 0 ? pads.lead + pads.nest * inside : 0), end: inside => NEST * Math.max(inside, 0) };

const mapped = (object, f) => Object.fromEntries(Object.entries(object).map(([key, value]) => [key, f(value)]));

function turned(long) {
  return {
    width: long.height, height: long.width,
    boxes: mapped(long.boxes, ([x, y, w, h]) => [y, x, h, w]),
    groups: mapped(long.groups, parts => parts.map(([x0, y0, x1, y1]) => [y0, x0, y1, x1])),
    paths: mapped(long.paths, path => path.map(([x, y]) => [y, x])),
  };
}

// What stands for a box: itself, or the outermost closed module that it is in
const standsFor = id => (data.around[id] || []).find(unit => closed.has(unit)) || id;

function stripOf(direction) {
  const { size, boxes, groups, paths } = data.strips[direction];
  const long = { width: size[0], height: size[1], boxes: {}, groups: mapped(groups, box => [box]), paths: {} };
  for (const [id, [x, y]] of Object.entries(boxes)) long.boxes[id] = [x, y, ...data.sizes[id]];
  paths.forEach((flat, k) => {
    if (flat.length) long.paths[k] = Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]);
  });
  const flowing = direction === "TB" ? turned(long) : long;
  return closed.size ? folded(flowing, direction) : flowing;
}

function folded(long, direction) {
  const down = direction === "TB";
  const hull = {}, result = { boxes: {}, groups: {}, paths: {} };
  const widen = (unit, x0, y0, x1, y1) => {
    const [a, b, c, d] = hull[unit] || [x0, y0, x1, y1];
    hull[unit] = [Math.min(a, x0), Math.min(b, y0), Math.max(c, x1), Math.max(d, y1)];
  };
  for (const [id, [x, y, w, h]] of Object.entries(long.boxes)) {
    const unit = standsFor(id);
    if (unit === id) result.boxes[id] = [x, y, w, h];
    else widen(unit, x - w / 2, y - h / 2, x + w / 2, y + h / 2);
  }
  const outermost = new Set(Object.keys(hull)), gone = new Set();
  for (const unit of outermost) data.units[unit].groups.forEach(id => { gone.add(id); widen(unit, ...long.groups[id][0]); });
  for (const unit of outermost) {
    const [x0, y0, x1, y1] = hull[unit], [w, h] = down ? [...data.sizes[unit]].reverse() : data.sizes[unit];
    // The box stands where the first arrow comes in, so that this one runs straight.
    const enters = Object.entries(long.paths).find(([k, path]) => path[0][0] < x0 && path.at(-1)[0] > x0 &&
      standsFor(data.links[k][1]) === unit && standsFor(data.links[k][0]) !== unit);
    const straight = enters ? splitPath(enters[1], [-1e9, x0, 1e9])[0].at(-1)[1] : (y0 + y1) / 2;
    // It stays inside of the frames that are around it.
    const frames = Object.entries(long.groups).filter(([id, [box]]) => !gone.has(id) && holds(box, hull[unit])).map(([, [box]]) => box);
    const low = Math.max(-Infinity, ...frames.map(box => box[1] + 12 + h / 2)), high = Math.min(Infinity, ...frames.map(box => box[3] - 12 - h / 2));
    const y = low > high ? (y0 + y1) / 2 : Math.min(Math.max(straight, low), high);
    result.boxes[unit] = [(x0 + x1) / 2, y, w, h];
  }
  // Both axes lose what only closed modules took: all of their room that nothing stands in.
  const kept = [[], []];
  for (const [id, [x, y, w, h]] of Object.entries(result.boxes)) {
    const apart = id in hull ? 2 * APART : APART;
    kept[0].push([x - w / 2 - apart, x + w / 2 + apart]);
    kept[1].push([y - h / 2 - APART, y + h / 2 + APART]);
  }
  for (const [id, [[x0, y0, x1, y1]]] of Object.entries(long.groups)) {
    if (gone.has(id)) continue;
    const title = data.groups[id].wide + 14;
    kept[0].push([x0, x0 + (down ? 24 : title)], [x1 - 12, x1]);
    kept[1].push([y0, y0 + (down ? title : 24)], [y1 - 12, y1]);
  }
  const [f, g] = [0, 1].map(axis => squeezed(Object.values(hull).map(box => [box[axis], box[axis + 2]]), kept[axis]));
  result.width = f(long.width);
  result.height = g(long.height);
  result.boxes = mapped(result.boxes, ([x, y, w, h]) => [f(x), g(y), w, h]);
  for (const [id, parts] of Object.entries(long.groups))
    if (!gone.has(id)) result.groups[id] = parts.map(([x0, y0, x1, y1]) => [f(x0), g(y0), f(x1), g(y1)]);
  const drawn = new Set();
  for (const [k, path] of Object.entries(long.paths)) {
    const [tail, head] = data.links[k].slice(0, 2), from = standsFor(tail), to = standsFor(head);
    const pair = `${from} ${to}`;
    if (from === to || ((from !== tail || to !== head) && drawn.has(pair))) continue;
    drawn.add(pair);
    const before = from === tail ? -Infinity : hull[from][2], behind = to === head ? Infinity : hull[to][0];
    const cuts = [before, behind].filter(x => path[0][0] < x && x < path.at(-1)[0]);
    const leaves = before < path.at(-1)[0] && path[0][0] < behind && before < behind;
    const a = result.boxes[from], b = result.boxes[to];
    if (!leaves) {
      result.paths[k] = across(a, b);
      continue;
    }
    let points = splitPath(path, [-1e9, ...cuts, 1e9])[cuts.includes(before) ? 1 : 0].map(([x, y]) => [f(x), g(y)]);
    if (from !== tail) points = [...bend([a[0] + a[2] / 2, a[1]], points[0]), ...points.slice(1)];
    if (to !== head) points = [...points, ...bend(points.at(-1), [b[0] - b[2] / 2, b[1]]).slice(1)];
    result.paths[k] = points;
  }
  return result;
}

const bend = ([a, b], [c, d]) => [[a, b], [(a + c) / 2, b], [(a + c) / 2, d], [c, d]];

function across(a, b) {
  if (a[0] + a[2] / 2 < b[0] - b[2] / 2) return bend([a[0] + a[2] / 2, a[1]], [b[0] - b[2] / 2, b[1]]);
  const side = a[1] < b[1] ? 1 : -1, start = [a[0], a[1] + side * a[3] / 2], end = [b[0], b[1] - side * b[3] / 2];
  const middle = (start[1] + end[1]) / 2;
  return [start, [start[0], middle], [end[0], middle], end];
}

// Return a function that takes away what lies in the spans and in nothing that is kept
function squeezed(spans, kept) {
  const edges = [...spans, ...kept].flat().sort((a, b) => a - b), lost = [];
  for (let k = 0; k + 1 < edges.length; k++) {
    const [a, b] = [edges[k], edges[k + 1]], middle = (a + b) / 2;
    const within = ([x0, x1]) => x0 <= middle && middle <= x1;
    if (b > a && spans.some(within) && !kept.some(within)) lost.push([a, b]);
  }
  return x => x - lost.reduce((sum, [a, b]) => sum + Math.max(Math.min(x, b) - a, 0), 0);
}

// How many rows make a strip largest in a room, and how large

function fitting(long, [wide, high], most) {
  const scales = [];
  for (let n = 1; n <= Math.max(Math.floor(Object.keys(long.boxes).length / 3), 1); n++)
    scales.push(Math.min(most, wide / (long.width / n), high / (n * (long.height + 3 * AWAY))));
  const best = Math.max(...scales), k = scales.findIndex(scale => scale * WORTH >= best);
  return { count: k + 1, scale: scales[k] };
}

function inRows(long, places, pads) {
  const cuts = [-1, ...places, long.width + 1].map(x => cutAt(long, x));
  const bounds = cuts.map(cut => cut.x), shifts = [], tops = [];
  const result = { boxes: {}, groups: mapped(long.groups, () => []), paths: {} };
  let down = 0;
  for (let k = 0; k + 1 < cuts.length; k++) {
    const start = cuts[k], end = cuts[k + 1];
    const frames = framesOf(long, start, end, pads), [top, bottom] = spanOf(long, frames, start.x, end.x);
    if (k) down += 2 * AWAY + LANE * start.arrows.length;
    tops.push(down);
    shifts.push([-start.x, down - top]);
    for (const [id, [x0, y0, x1, y1]] of Object.entries(frames))
      result.groups[id].push([x0 - start.x, y0 + down - top, x1 - start.x, y1 + down - top]);
    down += bottom - top;
  }
  for (const [id, [x, y, w, h]] of Object.entries(long.boxes)) {
    const [dx, dy] = shifts[rowOf(bounds, x)];
    result.boxes[id] = [x + dx, y + dy, w, h];
  }
  for (const [id, path] of Object.entries(long.paths)) {
    let whole = [];
    splitPath(path, bounds).forEach((piece, i) => {
      const k = i + rowOf(bounds, path[0][0]), [dx, dy] = shifts[k];
      const moved = piece.map(([x, y]) => [x + dx, y + dy]);
      if (!i) { whole = moved; return; }
      const { arrows, inside } = cuts[k], lane = arrows.indexOf(id), nested = Math.max(-1, ...Object.values(inside));
      const [x, y] = whole.at(-1), [intoX, intoY] = moved[0];
      const right = x + AWAY + beyond.end(nested) + LANE * (arrows.length - 1 - lane);
      const left = intoX - AWAY - beyond.start(pads, nested) - LANE * lane, between = tops[k] - AWAY - LANE * lane;
      whole.push(...rounded([[x, y], [right, y], [right, between], [left, between], [left, intoY], [intoX, intoY]]).slice(1));
      whole.push(...moved.slice(1));
    });
    result.paths[id] = whole;
  }
  return atOrigin(result);
}

function cutAt(long, x) {
  const heights = {}, inside = {};
  for (const [id, path] of Object.entries(long.paths))
    if (path[0][0] < x && x < path.at(-1)[0]) heights[id] = splitPath(path, [path[0][0] - 1, x, path.at(-1)[0] + 1])[0].at(-1)[1];
  for (const [id, frame] of fromWithin(long)) {
    if (!(frame[0] < x && x < frame[2])) continue;
    const within = Object.keys(inside).filter(other => holds(frame, long.groups[other][0])).map(other => inside[other]);
    inside[id] = 1 + Math.max(-1, ...within);
  }
  return { x, inside, arrows: Object.keys(heights).sort((a, b) => heights[a] - heights[b]) };
}

const fromWithin = long => Object.entries(long.groups).map(([id, [box]]) => [id, box]).sort(([, a], [, b]) => a[2] - a[0] - b[2] + b[0]);
const holds = (frame, other) => frame[0] <= other[0] && frame[1] <= other[1] && other[2] <= frame[2] && other[3] <= frame[3];

function framesOf(long, start, end, pads) {
  const parts = {};
  const spots = Object.values(long.boxes).filter(([x]) => start.x < x && x < end.x).map(([x, y, , h]) => [x, y - h / 2, x, y + h / 2]);
  for (const [id, frame] of fromWithin(long)) {
    let [x0, y0, x1, y1] = frame;
    if (x1 < start.x || x0 > end.x) continue;
    if (id in start.inside || id in end.inside) {
      const inner = [...spots, ...Object.values(parts)].filter(box => x0 < box[2] && box[0] < x1 && y0 < box[1] && box[3] < y1);
      if (inner.length) {
        y0 = Math.min(...inner.map(box => box[1])) - pads.above;
        y1 = Math.max(...inner.map(box => box[3])) + pads.below;
      }
      x0 = Math.max(x0, start.x - beyond.start(pads, start.inside[id] ?? -1));
      x1 = Math.min(x1, end.x + beyond.end(end.inside[id] ?? -1));
    }
    parts[id] = [x0, y0, x1, y1];
  }
  return parts;
}

function spanOf(long, frames, left, right) {
  let top = Infinity, bottom = -Infinity;
  const widen = (low, high) => { top = Math.min(top, low); bottom = Math.max(bottom, high); };
  for (const [x, y, , h] of Object.values(long.boxes)) if (left < x && x < right) widen(y - h / 2, y + h / 2);
  for (const box of Object.values(frames)) widen(box[1], box[3]);
  for (const path of Object.values(long.paths)) for (const [x, y] of path) if (left < x && x < right) widen(y, y);
  return [top, bottom];
}

// Where a strip may be cut, and what that costs: arrows that are crossed, frames that are cut
function costsOf(long) {
  const costs = [], paths = Object.values(long.paths), frames = Object.values(long.groups).map(([box]) => box);
  const spans = Object.values(long.boxes).map(([x, , w]) => [x - w / 2, x + w / 2]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let end = Infinity;
  for (const [left, right] of spans) {
    if (left > end) {
      const [cut, framed] = between(end, left, frames);
      costs.push([cut, paths.filter(path => path[0][0] < cut && cut < path.at(-1)[0]).length + 3 * framed]);
    }
    end = end === Infinity ? right : Math.max(end, right);
  }
  return costs;
}

const cheapest = costs => costs.sort((a, b) => a[0] - b[0] || a[1] - b[1])[0][1];

// Cuts that make so many rows of about the same length
function evenly(long, count) {
  const costs = costsOf(long), part = long.width / count, found = [];
  for (let k = 1; k < count; k++) {
    const near = costs.filter(([x]) => Math.abs(x - k * part) < 0.45 * part)
      .map(([x, cost]) => [cost + 3 * Math.abs(x - k * part) / part, x]);
    if (near.length) found.push(cheapest(near));
  }
  return found;
}

// Cuts that make rows of at most some length, as lines of text are
function wrapped(long, most) {
  const costs = costsOf(long), found = [];
  for (let start = 0; long.width - start > most;) {
    const ahead = costs.filter(([x]) => x > start), near = ahead.filter(([x]) => x - start <= most);
    if (!ahead.length) break;
    start = near.length ? cheapest(near.map(([x, cost]) => [cost + 4 * (1 - (x - start) / most), x])) : ahead[0][0];
    found.push(start);
  }
  return found;
}

function between(left, right, frames) {
  const sides = [left, right, ...frames.flatMap(box => [box[0], box[2]]).filter(x => left < x && x < right)].sort((a, b) => a - b);
  const cuts = sides.slice(1).map((b, k) => [(sides[k] + b) / 2, b - sides[k]]).filter(([, wide]) => wide)
    .map(([cut, wide]) => [cut, wide, frames.filter(box => box[0] < cut && cut < box[2]).length]);
  const [cut, , framed] = cuts.sort((a, b) => a[2] - b[2] || b[1] - a[1] || a[0] - b[0])[0];
  return [cut, framed];
}

const rowOf = (bounds, x) => Math.max(bounds.slice(1, -1).filter(bound => bound <= x).length, 0);

function splitPath(path, bounds) {
  let row = rowOf(bounds, path[0][0]);
  const last = rowOf(bounds, path.at(-1)[0]), pieces = [[path[0]]];
  for (let k = 1; k < path.length; k += 3) {
    let curve = [pieces.at(-1).at(-1), ...path.slice(k, k + 3)];
    while (row < last && curve[3][0] > bounds[row + 1]) {
      const [before, after] = divided(curve, bounds[row + 1]);
      pieces.at(-1).push(...before.slice(1));
      pieces.push([after[0]]);
      curve = after;
      row++;
    }
    pieces.at(-1).push(...curve.slice(1));
  }
  return pieces;
}

function divided(curve, cut) {
  let low = 0, high = 1, parts;
  for (let k = 0; k < 30; k++) {
    const middle = (low + high) / 2;
    parts = dividedAt(curve, middle);
    if (parts[0][3][0] < cut) low = middle; else high = middle;
  }
  return parts;
}

function dividedAt(curve, t) {
  const before = [curve[0]], behind = [curve[3]];
  for (let points = curve; points.length > 1;) {
    points = points.slice(1).map(([c, d], k) => [points[k][0] + (c - points[k][0]) * t, points[k][1] + (d - points[k][1]) * t]);
    before.push(points[0]);
    behind.unshift(points.at(-1));
  }
  return [before, behind];
}

function rounded(corners) {
  const path = [corners[0]];
  for (let k = 1; k + 1 < corners.length; k++) {
    const [[a, b], [x, y], [c, d]] = corners.slice(k - 1, k + 2);
    const before = Math.abs(x - a) + Math.abs(y - b), behind = Math.abs(c - x) + Math.abs(d - y);
    const r = Math.min(ROUND, before / 2, behind / 2);
    const start = [x + (a - x) * r / Math.max(before, 1e-9), y + (b - y) * r / Math.max(before, 1e-9)];
    const end = [x + (c - x) * r / Math.max(behind, 1e-9), y + (d - y) * r / Math.max(behind, 1e-9)];
    path.push(path.at(-1), start, start, [x, y], [x, y], end);
  }
  return [...path, path.at(-1), corners.at(-1), corners.at(-1)];
}

function atOrigin(rows) {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  const widen = (x0, y0, x1, y1) => {
    left = Math.min(left, x0); top = Math.min(top, y0); right = Math.max(right, x1); bottom = Math.max(bottom, y1);
  };
  for (const [x, y, w, h] of Object.values(rows.boxes)) widen(x - w / 2, y - h / 2, x + w / 2, y + h / 2);
  for (const parts of Object.values(rows.groups)) for (const part of parts) widen(...part);
  for (const path of Object.values(rows.paths)) for (const [x, y] of path) widen(x, y, x, y);
  return {
    width: right - left, height: bottom - top,
    boxes: mapped(rows.boxes, ([x, y, w, h]) => [x - left, y - top, w, h]),
    groups: mapped(rows.groups, parts => parts.map(([x0, y0, x1, y1]) => [x0 - left, y0 - top, x1 - left, y1 - top])),
    paths: mapped(rows.paths, path => path.map(([x, y]) => [x - left, y - top])),
  };
}
