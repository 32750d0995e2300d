"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const by = id => document.getElementById(id);
const svgs = [...document.querySelectorAll(".level")];
let level = -1, step = 0, chosen = null, timer = 0, view = null, home = null, hits = [], hit = -1;

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// What is shown of the graph: a level of detail, and a part of it

const item = id => by(`v${level}-${id}`);
const name = index => data.values[index].name;

function showLevel(next) {
  if (level >= 0) svgs[level].setAttribute("hidden", "");
  level = next;
  svgs[level].removeAttribute("hidden");
  by("detail").value = String(level);
  home = svgs[level].dataset.box.split(" ").map(Number);
  document.body.classList.toggle("tall", home[3] > home[2]);
  begin();
  by("notes").replaceChildren(...data.levels[level].notes.map(note => element("p", note)));
  const kinds = new Set(data.levels[level].kinds);
  document.querySelectorAll(".legend li").forEach(entry => { entry.hidden = !kinds.has(entry.dataset.kind); });
  paint();
  if (chosen !== null) choose(chosen);
}

function setView(box) {
  view = box;
  svgs[level].setAttribute("viewBox", box.map(x => x.toFixed(2)).join(" "));
}

function fit(least = 0) {
  // Never larger than twice the drawing, so that a graph of two nodes is not a poster.
  const room = by("canvas").getBoundingClientRect();
  const [x, y, w, h] = home;
  const scale = Math.max(Math.min(2, room.width / w, room.height / h), least) || 1;
  const full = [room.width / scale, room.height / scale];
  setView([x - Math.max(full[0] - w, 0) / 2, y - Math.max(full[1] - h, 0) / 2, ...full]);
}

// A graph too long to be read as a whole begins at its start; Fit shows all of it.
const begin = () => fit(0.6);

function zoom(factor, clientX, clientY) {
  const room = by("canvas").getBoundingClientRect();
  const fx = clientX === undefined ? 0.5 : (clientX - room.left) / room.width;
  const fy = clientY === undefined ? 0.5 : (clientY - room.top) / room.height;
  const [x, y, w, h] = view;
  const next = Math.min(Math.max(w / factor, 60), 40 * home[2]);
  const ratio = next / w;
  setView([x + (1 - ratio) * w * fx, y + (1 - ratio) * h * fy, next, h * ratio]);
}

function reveal(id) {
  const node = item(id);
  if (!node) return;
  const box = node.getBBox(), [x, y, w, h] = view;
  const outside = box.x < x || box.y < y || box.x + box.width > x + w || box.y + box.height > y + h;
  if (outside) setView([box.x + box.width / 2 - w / 2, box.y + box.height / 2 - h / 2, w, h]);
}

// Details of a value, or of the values that a folded module stands for

function row(table, head, content, className) {
  if (content === undefined || content === "") return;
  const line = table.insertRow();
  const th = element("th", head);
  th.scope = "row";
  line.append(th);
  const cell = line.insertCell();
  if (className) cell.className = className;
  cell.append(...(Array.isArray(content) ? content : [content]));
}

function linkTo(index) {
  const made = element("button", name(index), "link");
  made.type = "button";
  made.addEventListener("click", () => choose(index, true));
  return made;
}

function valueDetails(index) {
  const value = data.values[index], parts = [];
  const head = element("h2", value.name);
  head.append(element("span", data.outputs.includes(index) ? `${value.kind}, output` : value.kind, "kind"));
  parts.push(head);
  const table = element("table");
  row(table, "Call", value.call && [element("code", value.call)]);
  row(table, "Shape", value.shape.length ? `(${value.shape.join(", ")}${value.shape.length === 1 ? "," : ""})` : "() scalar");
  row(table, "Dtype", value.dtype);
  row(table, "Module", value.module);
  row(table, "Phase", value.phase && value.phase + (value.of ? `, gradient of ${value.of}` : ""));
  row(table, "Value", value.value);
  row(table, "Alert", value.alert, "alert-text");
  row(table, "Gradient", value.gradient || (data.steps.some(s => s.arrivals.length) ? "no gradient" : ""), "grad");
  const users = data.values.flatMap((other, k) => (other.operands || []).includes(index) ? [k] : []);
  for (const [operand, rule, place] of value.rules || [])
    row(table, `Rule for ${operand}`, [element("pre", rule, "rule"), element("span", place, "from")]);
  row(table, "Made from", value.operands && value.operands.map(linkTo));
  row(table, "Used by", users.length ? users.map(linkTo) : "");
  parts.push(table);
  return parts;
}

function choose(index, show) {
  const levelNow = data.levels[level];
  chosen = index;
  document.querySelectorAll(".chosen").forEach(node => node.classList.remove("chosen"));
  const close = element("button", "Overview");
  close.type = "button";
  close.id = "close";
  close.title = "Back to the overview (Esc)";
  close.addEventListener("click", overview);
  let parts, id;
  if (typeof index === "string") {
    if (!levelNow.items[index]) return overview();
    id = index;
    const open = element("button", "Open");
    open.type = "button";
    open.id = "open";
    open.addEventListener("click", () => {
      const inside = levelNow.items[id];
      const finer = data.levels.findIndex((other, k) => k > level && !other.items[other.place[inside[0]]]);
      showLevel(finer < 0 ? data.levels.length - 1 : finer);
      choose(inside[0], true);
    });
    const table = element("table");
    const [title, ...rest] = levelNow.titles[id];
    row(table, "Folded", rest.join(" · "));
    row(table, "Inside", levelNow.items[id].map(linkTo));
    parts = [element("h2", title), ...(level + 1 < data.levels.length ? [open] : []), table];
  } else {
    id = levelNow.place[index];
    parts = valueDetails(index);
  }
  by("node").replaceChildren(close, ...parts);
  by("node").hidden = false;
  by("overview").hidden = true;
  by("details").scrollTop = 0;
  const node = item(id);
  if (node) node.classList.add("chosen");
  if (show) reveal(id);
}

function overview() {
  chosen = null;
  document.querySelectorAll(".chosen").forEach(node => node.classList.remove("chosen"));
  by("node").hidden = true;
  by("overview").hidden = false;
}

// The step player: step 0 shows the whole graph, step k the k-th op, forward and then backward

function paint() {
  const { place, links } = data.levels[level];
  const svg = svgs[level];
  const reached = new Set(), graded = new Map(), flows = new Set();
  const folded = data.levels[level].items;
  data.values.forEach((value, k) => { if (!value.call && !folded[place[k]]) reached.add(place[k]); });
  data.steps.slice(0, step).forEach(one => {
    reached.add(place[one.value]);
    one.arrivals.forEach(a => {
      graded.set(place[a.to], a.total);
      flows.add(`${place[one.value]} ${place[a.to]}`);
    });
  });
  const now = step ? data.steps[step - 1] : null;
  const active = now && place[now.value];
  const backward = now !== null && now.arrivals.length > 0;
  svg.classList.toggle("stepping", step > 0);
  svg.querySelectorAll(".node").forEach(node => {
    const id = node.id.slice(svg.id.length);
    node.classList.toggle("later", !reached.has(id));
    node.classList.toggle("now", id === active);
    node.classList.toggle("graded", graded.has(id) || (backward && id === place[data.outputs[0]]));
    const label = node.querySelector("text.gradient");
    if (label) {
      label.dataset.final ??= label.textContent;
      const sum = graded.get(id);
      label.textContent = step && sum && !sum.includes("·") ? `grad ${sum}` : label.dataset.final;
    }
  });
  links.forEach(([tail, head, kind], k) => {
    const edge = item(`e${k}`);
    const used = kind ? backward && tail === active : now !== null && !backward && head === active;
    edge.classList.toggle("now", used);
    edge.classList.toggle("on", kind !== "" && flows.has(`${tail} ${head}`));
    edge.classList.toggle("later", kind === "" && !(reached.has(tail) && reached.has(head)));
  });
  if (active) reveal(active);
}

function arrivals(now) {
  if (!now.arrivals.length) return [];
  const table = element("table"), head = table.createTHead().insertRow();
  for (const text of ["gradient of", "was", "arrives", "is now"]) {
    const th = element("th", text);
    th.scope = "col";
    head.append(th);
  }
  const body = table.createTBody();
  for (const one of now.arrivals) {
    const line = body.insertRow();
    line.insertCell().append(linkTo(one.to));
    line.insertCell().textContent = one.before || "–";
    line.insertCell().textContent = one.before ? `+ ${one.added}` : one.added;
    const sum = line.insertCell();
    sum.className = "sum";
    sum.textContent = one.before ? `= ${one.total}` : one.total;
  }
  return [table];
}

function goto(next) {
  step = Math.min(Math.max(next, 0), data.steps.length);
  by("slider").value = String(step);
  const now = step ? data.steps[step - 1] : null;
  by("outline").hidden = step > 0;
  by("count").textContent = `${step} / ${data.steps.length}`;
  if (now) {
    const phase = element("span", now.phase, `phase ${now.phase}`);
    by("caption").replaceChildren(phase, now.caption);
    const value = data.values[now.value];
    if (now.arrivals.length) by("arrivals").replaceChildren(...arrivals(now));
    else {
      const table = element("table");
      row(table, "Shape", value.shape.length ? `(${value.shape.join(", ")})` : "() scalar");
      row(table, "Value", value.value);
      row(table, "Alert", value.alert, "alert-text");
      row(table, "Module", value.module);
      by("arrivals").replaceChildren(table);
    }
    choose(now.value);
  } else {
    const backward = data.steps.some(one => one.arrivals.length);
    by("caption").textContent = data.steps.length
      ? `Press → or Play to walk through the computation${backward ? ", forward and then backward" : ""}.` : "";
    by("arrivals").replaceChildren();
    overview();
  }
  paint();
  if (step >= data.steps.length) pause();
}

function pause() {
  clearInterval(timer);
  timer = 0;
  by("play").textContent = "Play";
}

function play() {
  if (timer) return pause();
  if (step >= data.steps.length) goto(0);
  by("play").textContent = "Pause";
  timer = setInterval(() => goto(step + 1), 1400);
}

// Finding

function find(text) {
  svgs[level].querySelectorAll(".hit").forEach(node => node.classList.remove("hit"));
  const wanted = text.trim().toLowerCase();
  hits = wanted ? data.values.flatMap((value, k) =>
    data.levels[level].place[k] && `${value.name} ${value.call || ""} ${value.module || ""}`.toLowerCase().includes(wanted)
      ? [k] : []) : [];
  hit = -1;
  hits.forEach(k => item(data.levels[level].place[k])?.classList.add("hit"));
  by("hits").textContent = wanted ? `${hits.length} found` : "";
}

function nextHit() {
  if (!hits.length) return;
  hit = (hit + 1) % hits.length;
  choose(hits[hit], true);
  by("hits").textContent = `${hit + 1} of ${hits.length}`;
}

// Theme, mouse, keyboard

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  by("theme").textContent = theme === "dark" ? "Light" : "Dark";
}

const dark = matchMedia("(prefers-color-scheme: dark)");
setTheme(data.theme === "auto" ? (dark.matches ? "dark" : "light") : data.theme);
if (data.theme === "auto") dark.addEventListener("change", event => setTheme(event.matches ? "dark" : "light"));

data.levels.forEach((one, k) => {
  const option = element("option", one.name);
  option.value = String(k);
  by("detail").append(option);
});
by("summary").textContent = data.summary;
by("slider").max = String(data.steps.length);
if (!data.steps.length) {
  by("story").hidden = true;
  document.body.classList.add("plain");
}
data.steps.forEach((one, k) => {
  const entry = element("button", undefined, one.phase);
  entry.type = "button";
  entry.append(element("span", one.phase, "tag"), one.caption);
  entry.addEventListener("click", () => goto(k + 1));
  const line = element("li");
  line.append(entry);
  by("outline").append(line);
});

svgs.forEach(svg => svg.querySelectorAll(".node").forEach(node => {
  node.setAttribute("tabindex", "0");
  node.setAttribute("role", "button");
  node.setAttribute("aria-label", [...node.querySelectorAll("text")].map(text => text.textContent).join(", "));
}));

function pick(node) {
  const id = node.id.slice(svgs[level].id.length);
  if (id.startsWith("n")) choose(Number(id.slice(1)));
  else if (data.levels[level].items[id]) choose(id);
}

const canvas = by("canvas");
let held = null;
canvas.addEventListener("pointerdown", event => {
  held = { x: event.clientX, y: event.clientY, view: [...view], moved: false, node: event.target.closest(".node") };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", event => {
  if (!held) return;
  const dx = event.clientX - held.x, dy = event.clientY - held.y;
  if (!held.moved && Math.hypot(dx, dy) < 4) return;
  held.moved = true;
  canvas.classList.add("held");
  const scale = held.view[2] / canvas.clientWidth;
  setView([held.view[0] - dx * scale, held.view[1] - dy * scale, held.view[2], held.view[3]]);
});
canvas.addEventListener("pointerup", () => {
  if (held && !held.moved) held.node ? pick(held.node) : overview();
  held = null;
  canvas.classList.remove("held");
});
canvas.addEventListener("wheel", event => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * 0.0015), event.clientX, event.clientY);
}, { passive: false });

const clicks = {
  smaller: () => zoom(0.8), larger: () => zoom(1.25), fit: () => fit(), first: () => goto(0), back: () => goto(step - 1), play,
  next: () => goto(step + 1), last: () => goto(data.steps.length),
  theme: () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"),
  keys: () => { by("help").hidden = !by("help").hidden; by("keys").setAttribute("aria-expanded", String(!by("help").hidden)); },
};
for (const [id, action] of Object.entries(clicks)) by(id).addEventListener("click", action);
by("detail").addEventListener("change", event => showLevel(Number(event.target.value)));
by("slider").addEventListener("input", event => { pause(); goto(Number(event.target.value)); });
by("find").addEventListener("input", event => find(event.target.value));
by("find").addEventListener("keydown", event => { if (event.key === "Enter") nextHit(); });
addEventListener("resize", begin);

const strokes = {
  ArrowRight: () => { pause(); goto(step + 1); }, ArrowLeft: () => { pause(); goto(step - 1); }, " ": play,
  Home: () => { pause(); goto(0); }, End: () => { pause(); goto(data.steps.length); },
  "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), f: () => fit(), t: clicks.theme, "?": clicks.keys,
  d: () => showLevel((level + 1) % data.levels.length), "/": () => by("find").focus(),
  Escape: () => { if (!by("help").hidden) clicks.keys(); else overview(); },
};
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target;
  if (target.id === "find") { if (event.key === "Escape") target.blur(); return; }
  if (event.key === "Enter" && target.closest?.(".node")) return pick(target.closest(".node"));
  const typing = target.matches?.("select, input, button, summary") && [" ", "Home", "End", "ArrowLeft", "ArrowRight"].includes(event.key);
  if (typing && !(target.matches("button") && event.key !== " ")) return;
  const action = strokes[event.key];
  if (action) { event.preventDefault(); action(); }
});

showLevel(data.level);
goto(0);
