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
