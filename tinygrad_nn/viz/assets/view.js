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
