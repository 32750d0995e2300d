// Finding

function find(text) {
  svg.querySelectorAll(".hit").forEach(node => node.classList.remove("hit"));
  const wanted = text.trim().toLowerCase();
  hits = wanted ? data.values.flatMap((value, k) =>
    data.place[k] && `${value.name} ${value.call || ""} ${value.module || ""}`.toLowerCase().includes(wanted) ? [k] : []) : [];
  hit = -1;
  hits.forEach(k => item(at(k))?.classList.add("hit"));
  by("hits").textContent = wanted ? say("found", { n: hits.length }) : "";
}

function nextHit() {
  if (!hits.length) return;
  hit = (hit + 1) % hits.length;
  choose(hits[hit], true);
  by("hits").textContent = say("hit", { k: hit + 1, n: hits.length });
}

// How it looks: theme, size, where the panel is

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  by("theme").textContent = theme === "dark" ? words.light : words.dark;
  if (chosen !== null) choose(chosen);
}

function setLarge(wanted) {
  document.documentElement.classList.toggle("large", wanted);
  by("large").setAttribute("aria-pressed", String(wanted));
  resized();
}

// The panel stands where it leaves the picture more room; beside it, more is seen of one that goes on below
function resized() {
  const [below, beside] = [false, true].map(side => {
    document.body.classList.toggle("side", side);
    return best(room()).worth;
  });
  document.body.classList.toggle("side", beside * (below < readable() ? 1.6 : WORTH) > below);
  arrange();
}

followTheme(data.theme);

// What is filled in once

document.documentElement.classList.add("live");
data.levels.forEach((one, k) => {
  const option = element("option", one.name);
  option.value = String(k);
  by("detail").append(option);
});
by("slider").max = String(data.steps.length);
if (!data.steps.length) {
  by("story").hidden = true;
  document.body.classList.add("plain");
}
data.steps.forEach((one, k) => {
  const entry = element("button", undefined, one.phase);
  entry.type = "button";
  entry.append(element("span", words[one.phase], "tag"), one.caption);
  entry.addEventListener("click", () => goto(k + 1));
  const line = element("li");
  line.append(entry);
  by("outline").append(line);
});

const own = element("option", words["as opened"]);
own.value = "-1";
own.hidden = true;
by("detail").append(own);
by("detail").parentNode.hidden = data.levels.length < 2;
svg.querySelectorAll(".node").forEach(node => {
  node.setAttribute("role", "button");
  if (node.id.slice(svg.id.length) in data.units) node.setAttribute("aria-expanded", "false");
  node.setAttribute("aria-label", [...node.querySelectorAll("text")].map(text => text.textContent).join(", "));
});
for (const [id, { unit }] of Object.entries(data.groups)) {
  if (!unit) continue;
  item(`${id}-title`).classList.add("closes");
  item(`${id}-title`).dataset.unit = unit;
}

// Mouse and fingers

function pick(target) {
  if (target.dataset.unit) return toggle(target.dataset.unit, true);
  const id = target.id.slice(svg.id.length);
  if (id in data.units) toggle(id, false);
  else if (id in data.folded) choose(id);
  else if (id.startsWith("n")) choose(Number(id.slice(1)));
}

const canvas = by("canvas"), fingers = new Map();
let held = null, pinch = 0;
svg.addEventListener("pointerdown", event => {
  unfold("more", "menu", false);
  unfold("keys", "help", false);
  fingers.set(event.pointerId, event);
  held = { x: event.clientX, y: event.clientY, view: [...view], moved: fingers.size > 1, target: event.target.closest(".node, .closes") };
  pinch = 0;
  svg.setPointerCapture(event.pointerId);
});
svg.addEventListener("pointermove", event => {
  if (!held || !fingers.has(event.pointerId)) return;
  fingers.set(event.pointerId, event);
  if (fingers.size > 1) {
    const [one, other] = [...fingers.values()], apart = Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    if (pinch) zoom(apart / pinch, (one.clientX + other.clientX) / 2, (one.clientY + other.clientY) / 2);
    pinch = apart;
    return;
  }
  const dx = event.clientX - held.x, dy = event.clientY - held.y;
  if (!held.moved && Math.hypot(dx, dy) < 4) return;
  held.moved = true;
  canvas.classList.add("held");
  const scale = held.view[2] / canvas.clientWidth;
  setView([held.view[0] - dx * scale, held.view[1] - dy * scale, held.view[2], held.view[3]]);
  whole = false;
});
function released(event) {
  fingers.delete(event.pointerId);
  if (fingers.size) {
    // The finger that stays goes on from where it is.
    const [rest] = fingers.values();
    held = { x: rest.clientX, y: rest.clientY, view: [...view], moved: true, target: null };
    return;
  }
  if (held && !held.moved && event.type === "pointerup") {
    held.target ? pick(held.target) : overview();
    if (held.target) bringDetails();
  }
  held = null;
  canvas.classList.remove("held");
}
svg.addEventListener("pointerup", released);
svg.addEventListener("pointercancel", released);
canvas.addEventListener("wheel", event => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * 0.0015), event.clientX, event.clientY);
}, { passive: false });
by("map").addEventListener("pointerdown", event => { by("map").setPointerCapture(event.pointerId); moveTo(event); });
by("map").addEventListener("pointermove", event => { if (event.buttons) moveTo(event); });

// Buttons and keys

const clicks = {
  smaller: () => zoom(0.8), larger: () => zoom(1.25), fit: () => showAll(false), all: () => showAll(true), first: () => goto(0), back: () => goto(step - 1), play,
  next: () => goto(step + 1), last: () => goto(data.steps.length), full: fullScreen,
  theme: otherTheme,
  large: () => setLarge(!large()),
  more: () => unfold("more", "menu"),
  keys: () => { unfold("more", "menu", false); unfold("keys", "help"); },
  "save-svg": saveSvg, "save-png": savePng,
};
for (const [id, action] of Object.entries(clicks)) by(id).addEventListener("click", action);
by("detail").addEventListener("change", event => showLevel(Number(event.target.value)));
by("speed").addEventListener("change", () => { if (timer) { pause(); play(); } });
by("slider").addEventListener("input", event => { pause(); goto(Number(event.target.value)); });
by("find").addEventListener("input", event => find(event.target.value));
by("find").addEventListener("keydown", event => { if (event.key === "Enter") nextHit(); });
addEventListener("resize", resized);
addEventListener("beforeprint", () => { arrange(largestIn([700, 900])); svg.setAttribute("viewBox", home.join(" ")); });
addEventListener("afterprint", () => arrange());

const strokes = {
  ArrowRight: () => { pause(); goto(step + 1); }, ArrowLeft: () => { pause(); goto(step - 1); }, " ": play,
  Home: () => { pause(); goto(0); }, End: () => { pause(); goto(data.steps.length); },
  "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), f: clicks.fit, a: clicks.all, t: clicks.theme, l: clicks.large, x: fullScreen, "?": clicks.keys,
  d: () => showLevel((level + 1) % data.levels.length), "/": () => { if (!by("find").offsetWidth) unfold("more", "menu", true); by("find").focus(); },
  Escape: () => { unfold("more", "menu", false); if (!by("help").hidden) clicks.keys(); else overview(); },
};
const arrows = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
const innermost = id => (data.around[id] || []).filter(unit => !closed.has(unit)).at(-1);

// Keys on a box of the graph; tells whether it was one of them
function onNode(node, key) {
  if (key in arrows) rove(neighbour(node, arrows[key]) || node);
  else if (key === "Enter" || key === " ") { pick(node); if (document.activeElement !== node || node.hasAttribute("hidden")) rove(shown().find(one => one.tabIndex === 0)); }
  else if (key === "c" && innermost(node.id.slice(svg.id.length))) {
    const unit = innermost(node.id.slice(svg.id.length));
    toggle(unit, true);
    rove(item(unit));
  } else if (key === "Escape") { node.blur(); overview(); }
  else return false;
  return true;
}

// Up and down in the list of steps
function onOutline(entry, key) {
  const next = key === "ArrowDown" ? entry.parentNode.nextSibling : key === "ArrowUp" ? entry.parentNode.previousSibling : null;
  if (!next) return false;
  entry.tabIndex = -1;
  next.firstChild.tabIndex = 0;
  next.firstChild.focus();
  return true;
}

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target;
  if (target.id === "find") { if (event.key === "Escape") target.blur(); return; }
  const node = target.closest?.(".node"), entry = target.closest?.("#outline button");
  if ((node && onNode(node, event.key)) || (entry && onOutline(entry, event.key))) { event.preventDefault(); return; }
  const typing = target.matches?.("select, input, button, summary") && [" ", "Home", "End", "ArrowLeft", "ArrowRight"].includes(event.key);
  if (typing && !(target.matches("button") && event.key !== " ")) return;
  const action = strokes[event.key];
  if (action) { event.preventDefault(); action(); }
});

// The start

document.querySelectorAll("#outline button").forEach((entry, k) => { entry.tabIndex = k ? -1 : 0; });
data.levels[data.level].closed.forEach(unit => closed.add(unit));
level = data.level;
resized();
goto(asked());
