// What is shown of the graph: which modules are closed, where things are, and which part is in the window

const item = id => by(`v-${id}`);
const name = index => data.values[index].name;
const at = index => standsFor(data.place[index]);
const closed = new Set();
let home = null, view = null, whole = true, overall = false;

function showLevel(next) {
  level = next;
  closed.clear();
  data.levels[level].closed.forEach(unit => closed.add(unit));
  arrange();
}

// Close a module, or open it: those around it are then open too
function toggle(unit, shut) {
  const { items } = data.units[unit];
  if (shut) closed.add(unit);
  else for (const other of [...closed]) if (data.units[other].items.includes(items[0])) closed.delete(other);
  if (!shut) inside(unit).forEach(other => closed.add(other));
  level = data.levels.findIndex(one => String([...one.closed].sort()) === String([...closed].sort()));
  arrange();
  choose(unit, !whole);
}

// The modules that stand directly in one; they stay closed when it opens, unless they were opened before
function inside(unit) {
  const items = new Set(data.units[unit].items);
  const within = Object.keys(data.units).filter(other =>
    data.units[other].items.length < items.size && data.units[other].items.every(id => items.has(id)));
  return within.filter(other => !within.some(between => between !== other &&
    data.units[between].items.length > data.units[other].items.length && data.units[between].items.includes(data.units[other].items[0])));
}

function room() {
  const { width, height } = by("canvas").getBoundingClientRect();
  return [Math.max(width, 50) - 28, Math.max(height, 50) - 28];
}

// A strip cut into rows, and what that is worth in a room: its scale, or less, the more windows it fills where it is
// readable and the more cuts there are
function laid(direction, long, cuts, [wide, high]) {
  const rows = cuts.length ? inRows(long, cuts, PADS[direction]) : atOrigin(long);
  const placed = direction === "TB" ? turned(rows) : rows, least = readable();
  // Reading goes on below; having to go aside as well is worse.
  const windows = Math.max(placed.width * least / wide, 1) ** 2 * Math.max(placed.height * least / high, 1);
  const scale = Math.min(largest(), wide / placed.width, high / placed.height);
  const worth = (scale < least ? least / windows : scale) / (1 + 0.1 * Math.min(cuts.length, 3));
  return { direction, long, placed, scale, worth };
}

// The direction and the rows that show a picture largest in a room. What cannot be read there all at once is written
// in rows, or columns, that are no longer than the window, and goes on below.
function best(room) {
  const ways = Object.keys(data.strips).map(direction => {
    const rows = inWhole(direction, room), { long } = rows, least = readable();
    const [along, across] = direction === "TB" ? [...room].reverse() : room;
    if (rows.scale >= least || long.height * least > across) return rows;
    const lines = laid(direction, long, wrapped(long, along / least - 4 * AWAY), room);
    return lines.worth > rows.worth ? lines : rows;
  });
  return ways.reduce((one, other) => (other.worth > WORTH * one.worth ? other : one));
}

function inWhole(direction, room) {
  const long = stripOf(direction), flowing = direction === "TB" ? [...room].reverse() : room;
  return laid(direction, long, evenly(long, fitting(long, flowing, largest()).count), room);
}

// All of it, however small
const largestIn = room => Object.keys(data.strips).map(direction => inWhole(direction, room)).reduce((one, other) =>
  (other.scale > WORTH * one.scale ? other : one));

function arrange(way = overall ? largestIn(room()) : best(room())) {
  const { width, height, boxes, groups, paths } = way.placed;
  home = [-14, -14, width + 28, height + 28];
  svg.querySelectorAll(".node").forEach(node => {
    const box = boxes[node.id.slice(2)];
    node.toggleAttribute("hidden", !box);
    if (box) node.setAttribute("transform", `translate(${box[0].toFixed(1)} ${box[1].toFixed(1)})`);
  });
  for (const id of Object.keys(data.groups)) {
    const frames = (groups[id] || []).map(([x, y, x1, y1]) => shape("rect", { class: "group", x, y, width: x1 - x, height: y1 - y, rx: 8 }));
    item(id).replaceChildren(...frames);
    const title = item(`${id}-title`), { wide } = data.groups[id];
    title.replaceChildren(...(groups[id] || []).flatMap(([x, y], k) => {
      const text = shape("text", { x: x + 10, y: y + 15 });
      text.textContent = k ? `… ${data.groups[id].title}` : data.groups[id].title;
      return [shape("rect", { class: "plate", x: x + 6, y: y + 4, width: wide + (k ? 12 : 0), height: 15, rx: 3 }), text];
    }));
    title.toggleAttribute("hidden", !groups[id]);
  }
  data.links.forEach(([, , kind, along], k) => {
    const edge = item(`e${k}`), path = paths[kind ? along : k];
    edge.toggleAttribute("hidden", !path);
    if (path) edge.setAttribute("d", line(kind ? aside(path) : path));
  });
  drawMap(boxes);
  by("detail").value = String(level);
  by("notes").replaceChildren(...(data.levels[level]?.notes || []).map(note => element("p", note)));
  const kinds = new Set(Object.keys(boxes).map(id => item(id).classList[1]));
  data.links.forEach(([, , kind], k) => { if (kind && !item(`e${k}`).hasAttribute("hidden")) kinds.add(kind); });
  document.querySelectorAll(".legend li").forEach(entry => { entry.hidden = !kinds.has(entry.dataset.kind); });
  rove();
  if (whole || !view) begin();
  paint();
}

const line = ([first, ...rest]) => `M${spot(first)}C${rest.map(spot).join(" ")}`;
const spot = ([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`;

function aside(path) {
  const [[x0, y0], [x1, y1]] = path, length = Math.max(Math.hypot(x1 - x0, y1 - y0), 1e-9);
  return path.map(([x, y]) => [x + 6 * (y1 - y0) / length, y - 6 * (x1 - x0) / length]).reverse();
}

// The part in the window

function setView(box) {
  view = box;
  svg.setAttribute("viewBox", box.map(x => x.toFixed(2)).join(" "));
  // Where nearly all is in the window, the map would only stand in the way.
  const within = k => Math.min(box[k] + box[k + 2], home[k] + home[k + 2]) - Math.max(box[k], home[k]) > 0.85 * home[k + 2];
  by("map").toggleAttribute("hidden", within(0) && within(1));
  const [x, y, w, h] = box, frame = by("window");
  Object.entries({ x, y, width: w, height: h }).forEach(([key, value]) => frame.setAttribute(key, value.toFixed(1)));
}

// The smallest text, of 11 points, has nine pixels then, and twelve where there is room; on a projector more
const readable = () => (large() ? 15 : 9) / 11;
const largest = () => (large() ? 1.7 : 1.1);

// As large as the window takes: at most twice, so that a graph of two nodes is not a poster
function fit(least = 0) {
  const { width, height } = by("canvas").getBoundingClientRect(), [x, y, w, h] = home;
  const scale = Math.max(Math.min(2, width / w, height / h), least) || 1, full = [width / scale, height / scale];
  // What does not fit begins with the first box.
  const { e, f } = shown()[0].transform.baseVal[0].matrix;
  const from = (low, size, window, first) =>
    (window > size ? low - (window - size) / 2 : Math.min(Math.max(first - window / 2, low), low + size - window));
  setView([from(x, w, full[0], e), from(y, h, full[1], f), ...full]);
  whole = true;
}

// So large that it can be read, unless all was asked for: what does not go into the window then, the map shows
const begin = () => fit(overall ? 0 : readable());

function showAll(wanted) {
  overall = wanted;
  whole = true;
  arrange();
}

function zoom(factor, clientX, clientY) {
  const { left, top, width, height } = by("canvas").getBoundingClientRect();
  const fx = clientX === undefined ? 0.5 : (clientX - left) / width;
  const fy = clientY === undefined ? 0.5 : (clientY - top) / height;
  const [x, y, w, h] = view;
  const next = Math.min(Math.max(w / factor, 60), 40 * home[2]);
  const ratio = next / w;
  setView([x + (1 - ratio) * w * fx, y + (1 - ratio) * h * fy, next, h * ratio]);
  whole = false;
}

function reveal(id) {
  const node = item(id);
  if (!node || node.hasAttribute("hidden")) return;
  const box = node.getBBox(), { e, f } = node.transform.baseVal[0].matrix, map = by("map").getBoundingClientRect();
  const lows = [box.x + e, box.y + f], highs = [lows[0] + box.width, lows[1] + box.height];
  const middle = k => (lows[k] + highs[k] - view[k + 2]) / 2;
  const next = [0, 1].map(k => {
    if (lows[k] >= view[k] && highs[k] <= view[k] + view[k + 2]) return view[k];
    const end = home[k] + home[k + 2] - view[k + 2];
    return end < home[k] ? middle(k) : Math.min(Math.max(middle(k), home[k]), end);
  });
  // Further than the graph goes, where the map would stand before it.
  const unit = view[2] / by("canvas").clientWidth, corner = [map.width, map.height].map((size, k) => next[k] + view[k + 2] - (size + 10) * unit);
  if (map.width && highs[0] > corner[0] && highs[1] > corner[1]) next[1] = middle(1);
  setView([...next, view[2], view[3]]);
}

// The map of the whole graph, with the window on it

function drawMap(boxes) {
  const map = by("map"), [x, y, w, h] = home, { clientWidth: wide, clientHeight: high } = by("canvas"), most = Math.min(170, 0.24 * wide, 0.4 * high), scale = Math.min(most / w, most / h);
  map.setAttribute("viewBox", home.join(" "));
  // A ribbon is as wide as a finger at least.
  map.style.cssText = `width:${Math.max(w * scale, 36).toFixed(0)}px;height:${Math.max(h * scale, 24).toFixed(0)}px`;
  by("places").setAttribute("d", Object.values(boxes).map(([a, b, c, d]) => `M${spot([a - c / 2, b - d / 2])}h${c.toFixed(1)}v${d.toFixed(1)}h${(-c).toFixed(1)}z`).join(""));
}

function moveTo(event) {
  const { left, top, width, height } = by("map").getBoundingClientRect();
  const x = home[0] + (event.clientX - left) / width * home[2], y = home[1] + (event.clientY - top) / height * home[3];
  setView([x - view[2] / 2, y - view[3] / 2, view[2], view[3]]);
  whole = false;
}

// One stop for the Tab key: arrows go on from node to node

const shown = () => [...svg.querySelectorAll(".node:not([hidden])")];

function rove(target) {
  const nodes = shown(), now = target || nodes.find(node => node.tabIndex === 0) || nodes[0];
  svg.querySelectorAll(".node").forEach(node => node.setAttribute("tabindex", node === now ? "0" : "-1"));
  if (!target) return;
  target.focus({ preventScroll: true });
  reveal(target.id.slice(2));
}

// The nearest node in a direction: as far aside counts three times
function neighbour(node, [dx, dy]) {
  const place = one => { const { e, f } = one.transform.baseVal[0].matrix; return [e, f]; };
  const [x, y] = place(node);
  let found = null, least = Infinity;
  for (const other of shown()) {
    const [a, b] = place(other), along = (a - x) * dx + (b - y) * dy, off = Math.abs((a - x) * dy) + Math.abs((b - y) * dx);
    if (other !== node && along > 4 && along + 3 * off < least) [found, least] = [other, along + 3 * off];
  }
  return found;
}
