// The page of a network: the step player, and the numbers of a neuron. Colours are those of painting.py.

const { places, steps, words } = data;
const natural = svg.dataset.box.split(" ").map(Number);
let step = 0, example = 0, chosen = null, timer = 0, home = natural, view = home;

const say = (name, fields = {}) => words[name].replace(/\{(\w+)[^}]*\}/g, (_, key) => fields[key]);
const share = x => (x * (1 + 1e-12)).toFixed(2);
const sign = x => (x > 0 ? "pos" : x < 0 ? "neg" : "");
const strength = (x, most) => (Number.isNaN(x) || !most ? 0 : Math.min(Math.abs(x) / most, 1));
const four = x => Number(x.toPrecision(4));

// What a place shows at this step

function state(k) {
  if (!step) return "";
  const now = steps[step - 1];
  if (now.phase === "backward") return k === now.place ? "graded now" : k > now.place ? "graded" : "";
  return k === now.place ? "now" : k > now.place ? "later" : "";
}

const graded = k => state(k).startsWith("graded") && (places[k].d || places[k].gradients);

function paintNeurons(k) {
  const place = places[k], back = graded(k);
  const row = (back ? place.d : place.a)[example], most = place.scale[back ? 1 : 0];
  const later = state(k) === "later";
  row.forEach((x, i) => {
    const node = by(`v-p${k}n${i}`), seen = later ? "" : sign(x);
    node.setAttribute("class", `neuron ${seen}${chosen && chosen[0] === k && chosen[1] === i ? " chosen" : ""}`.trim());
    node.querySelector(".fill").setAttribute("fill-opacity", share(seen ? 0.1 + 0.9 * strength(x, most) : 0));
    node.querySelector(".value").textContent = later ? "" : short(x);
  });
}

function paintWires(k) {
  const group = by(`v-w${k}`), place = places[k];
  const near = chosen && place.w && (chosen[0] === k || chosen[0] === k - 1);
  group.setAttribute("class", `wires ${state(k)}${near ? " faded" : ""}`.trim());
  if (!place.w) return;
  const wide = places[k - 1].shown.length;
  let table = place.w, most = place.wMost;
  if (graded(k)) {
    const a = places[k - 1].a[example], d = place.d[example];
    table = d.flatMap(x => a.map(y => x * y));
    most = Math.max(0, ...table.map(Math.abs));
  }
  [...group.children].forEach((path, n) => {
    const x = table[n], s = strength(x, most);
    const to = near && (chosen[0] === k ? Math.floor(n / wide) : n % wide) === chosen[1];
    path.setAttribute("class", `${sign(x)}${to ? " to" : ""}`.trim());
    path.setAttribute("stroke-width", share(0.4 + 4.1 * s));
    path.setAttribute("stroke-opacity", share(0.15 + 0.85 * s));
  });
}

function paint() {
  places.forEach((place, k) => {
    if (k) paintWires(k);
    const kind = { loss: "output", box: "module" }[place.kind] || "column";
    by(`v-p${k}`).setAttribute("class", `${kind} ${state(k)}`.trim());
    if (place.kind === "neurons") paintNeurons(k);
    if (place.kind === "image")
      by(`v-p${k}`).querySelector("image").setAttribute("href", (graded(k) ? place.gradients : place.images)[example]);
  });
  const back = step && steps[step - 1].phase === "backward";
  document.querySelectorAll(".legend li").forEach(entry => {
    const text = entry.querySelector("span");
    entry.dataset.there ??= text.textContent;
    text.textContent = back ? entry.dataset.back : entry.dataset.there;
  });
}

// The numbers of a neuron

function called(k, n) {
  const place = places[k];
  if (place.kind === "image") {
    const wide = places[k + 1].image[1];
    return `(${Math.floor(n / wide)}, ${n % wide})`;
  }
  return String(n);
}

function cells(table, texts, className, tag = "td") {
  const line = table.insertRow();
  if (className) line.className = className;
  texts.forEach(text => line.append(element(tag, text)));
  return line;
}

// The terms of a sum, one after the other as which, factor, other; how many are left out, and what those sum to.

const allTerms = (factors, others) => [factors.flatMap((x, n) => [n, x, others[n]]), 0, 0];

function incoming(k, i) {
  const place = places[k];
  if (place.in || !k) return place.in && place.in[example][i];
  if (!place.w) return null;
  const before = places[k - 1], wide = before.shown.length;
  return allTerms(place.w.slice(i * wide, (i + 1) * wide), before.a[example]);
}

function outgoing(k, i) {
  const place = places[k], after = places[k + 1], wide = place.shown.length;
  if (place.out) return place.out[example][i];
  return after && after.w && after.d && allTerms(after.shown.map((_, n) => after.w[n * wide + i]), after.d[example]);
}

function terms(entry, heads, k, last) {
  const [flat, left, rest] = entry, table = element("table", undefined, "terms");
  cells(table.createTHead(), heads, "", "th");
  const body = table.createTBody();
  for (let n = 0; n < flat.length; n += 3) {
    const [which, w, x] = flat.slice(n, n + 3);
    cells(body, [called(k, which), number(w), number(x), number(four(w * x)), ...(last == null ? [] : [number(four(last * x))])]);
  }
  if (left) cells(body, [say("others", { n: left }), "", "", number(rest)]);
  return { table, body };
}

function line(...parts) {
  const made = element("p", undefined, "formula");
  made.append(...parts);
  return made;
}

const strong = text => element("b", text);

function sum(entry) {
  const products = [];
  for (let n = 0; n < entry[0].length; n += 3) products.push(entry[0][n + 1] * entry[0][n + 2]);
  return four(products.reduce((a, b) => a + b, entry[2]));
}

function forwardNumbers(k, i, back) {
  const place = places[k], a = place.a[example][i], z = place.z ? place.z[example][i] : a;
  const parts = [element("h3", words["came from"])];
  const into = incoming(k, i);
  if (into) {
    const delta = back ? place.d[example][i] : null;
    const heads = [words.from, words.weight, "a", "w · a", ...(back ? ["∂L/∂w"] : [])];
    const { table, body } = terms(into, heads, k - 1, delta);
    if (place.b) cells(body, [words["bias b"], "", "", number(place.b[i]), ...(back ? [number(delta)] : [])]);
    cells(body, [place.b ? "z = Σ w · a + b" : "z = Σ w · a", "", "", number(z), ...(back ? [""] : [])], "total");
    parts.push(table);
    if (place.weights) {
      const picture = element("img", undefined, "tiny");
      picture.src = place.weights[i];
      picture.alt = words["its weights"];
      parts.push(element("h3", words["its weights"]), picture);
    }
  } else if (k) parts.push(line(say("from box", { box: places[k - 1].name, z: number(z) })));
  else parts.push(line(say("given value", { value: number(z) })));
  if (place.formula && place.ofRows) parts.push(line(strong(say("row softmax", { formula: place.formula, value: number(a) }))));
  else if (place.formula)
    parts.push(line("a = ", place.formula, " = ", strong(`${filled(place.formula, z)} = ${number(a)}`)));
  else if (k) parts.push(line("a = z = ", strong(number(a))));
  return parts;
}

// A number below zero in brackets, where an operator stands before it.
const filled = (formula, z) =>
  formula.replace(/\bz\b/g, (_, at) => (/[-+·/^]$/.test(formula.slice(0, at).trim()) ? bracketed(z) : number(z)));
const bracketed = x => (x < 0 ? `(${number(x)})` : number(x));

function backwardNumbers(k, i) {
  const place = places[k], parts = [element("h3", words["went back"])];
  if (!place.d) return [...parts, line(words.unreached)];
  const delta = place.d[example][i], g = place.g ? place.g[example][i] : delta;
  const out = outgoing(k, i);
  if (out) {
    const { table, body } = terms(out, [words.to, words.weight, "δ", "w · δ"], k + 1);
    cells(body, ["∂L/∂a = Σ w · δ", "", "", number(sum(out))], "total");
    parts.push(table);
  } else if (places[k + 1]) parts.push(line(say("gradient from", { value: number(g), box: places[k + 1].name })));
  if (place.slope) {
    const slope = place.slope[example][i];
    parts.push(line("δ = ∂L/∂z = ∂L/∂a · ∂a/∂z = ", strong(`${number(g)} · ${bracketed(slope)} = ${number(delta)}`)));
  } else if (place.ofRows) parts.push(line(strong(say("delta of row", { value: number(delta) }))));
  else parts.push(line(k ? "δ = ∂L/∂z = ∂L/∂a = " : "∂L/∂a = ", strong(number(delta))));
  return parts;
}

function choose(k, i) {
  chosen = [k, i];
  const place = places[k], now = step ? steps[step - 1] : null;
  const close = element("button", words.overview);
  close.type = "button";
  close.id = "close";
  close.addEventListener("click", overview);
  const name = say(k ? "neuron" : "input", { layer: place.name, k: place.shown[i] });
  const parts = [close, element("h2", name)];
  const has = steps.some(one => one.phase === "backward");
  const back = has && (!now || graded(k));
  const forth = now && now.phase === "forward" && k > now.place ? [] : forwardNumbers(k, i, back && place.d);
  const returned = back ? backwardNumbers(k, i) : [];
  parts.push(...(now && now.phase === "backward" ? [...returned, ...forth] : [...forth, ...returned]));
  by("node").replaceChildren(...parts);
  by("node").hidden = false;
  by("overview").hidden = true;
  svg.setAttribute("aria-label", name);
  paint();
}

function overview() {
  chosen = null;
  by("node").hidden = true;
  by("overview").hidden = false;
  paint();
}

function onward(step) {
  const k = chosen ? chosen[0] : places.findIndex(place => place.kind === "neurons");
  const count = places[k].shown.length;
  choose(k, chosen ? (chosen[1] + step + count) % count : 0);
  reveal(`v-p${k}n${chosen[1]}`);
}

// The player

function goto(next) {
  step = Math.min(Math.max(next, 0), steps.length);
  by("slider").value = String(step);
  by("count").textContent = `${step} / ${steps.length}`;
  remember();
  const now = step ? steps[step - 1] : null;
  if (now) by("caption").replaceChildren(element("span", words[now.phase], `phase ${now.phase}`), now.caption);
  else by("caption").textContent = data.start;
  if (now && places[now.place].kind === "neurons")
    choose(now.place, Math.min(chosen ? chosen[1] : 0, places[now.place].shown.length - 1));
  else overview();
  if (now) reveal(`v-p${now.place}${chosen ? `n${chosen[1]}` : ""}`);
  if (step >= steps.length) pause();
}

function show(next) {
  example = (next + data.examples) % data.examples;
  by("example").textContent = `${example + 1} ${words.of} ${data.examples}`;
  if (chosen) choose(...chosen);
  else paint();
}

function pause() {
  clearInterval(timer);
  timer = 0;
  by("play").textContent = words.play;
}

function play() {
  if (timer) return pause();
  if (step >= steps.length) goto(0);
  by("play").textContent = words.pause;
  timer = setInterval(() => goto(step + 1), 1800 / Number(by("speed").value));
}

// The part of the picture that is seen

function setView(box) {
  view = box;
  svg.setAttribute("viewBox", box.map(x => x.toFixed(2)).join(" "));
}

function fit(least = 0) {
  const room = by("canvas").getBoundingClientRect(), [x, y, w, h] = home;
  const scale = Math.max(Math.min(2, room.width / w, room.height / h), least) || 1;
  const full = [room.width / scale, room.height / scale];
  setView([x - Math.max(full[0] - w, 0) / 2, y - Math.max(full[1] - h, 0) / 2, ...full]);
}

// At the start numbers can be read, on small windows too; the steps bring their layers into sight.
const readable = () => (large() ? 1.2 : 0.82);
const begin = () => { draw(); fit(readable()); };

// In a narrow window places stand nearer to each other.
const nearer = places.map(() => 0), ends = places.map((_, k) => k && /M(\S+) \S+L(\S+) /.exec(by(`v-w${k}`).innerHTML).slice(1).map(Number));
function draw() {
  const spare = places.reduce((sum, place) => sum + place.spare, 0);
  const share = Math.min(Math.max(natural[2] - by("canvas").clientWidth / readable(), 0) / (spare || 1), 1);
  home = [natural[0], natural[1], natural[2] - share * spare, natural[3]];
  places.forEach((place, k) => {
    nearer[k] = (k && nearer[k - 1]) + share * place.spare;
    by(`v-p${k}`).setAttribute("transform", `translate(${(-nearer[k]).toFixed(1)} 0)`);
    if (!k) return;
    const to = { M: ends[k][0] - nearer[k - 1], L: ends[k][1] - nearer[k] };
    by(`v-w${k}`).querySelectorAll("path").forEach(path =>
      path.setAttribute("d", path.getAttribute("d").replace(/([ML])\S+/g, (_, turn) => turn + to[turn].toFixed(1))));
  });
}

// The panel stands where it leaves the picture more room.
function resized() {
  const scales = [false, true].map(side => {
    document.body.classList.toggle("side", side);
    const { width, height } = by("canvas").getBoundingClientRect();
    return Math.min(width / natural[2], height / natural[3]);
  });
  document.body.classList.toggle("side", scales[1] > scales[0]);
  begin();
}

function reveal(id) {
  const box = by(id).getBBox(), [x, y, w, h] = view;
  box.x -= nearer[/\d+/.exec(id)];
  const inside = box.x >= x && box.x + box.width <= x + w && box.y >= y - 1 && box.y + box.height <= y + h + 1;
  if (inside) return;
  const low = (from, size, start, whole) => Math.min(Math.max(from, start), Math.max(start + whole - size, start));
  setView([low(box.x + box.width / 2 - w / 2, w, home[0], home[2]), low(box.y + box.height / 2 - h / 2, h, home[1], home[3]), w, h]);
}

function zoom(factor, clientX, clientY) {
  const room = by("canvas").getBoundingClientRect();
  const fx = clientX === undefined ? 0.5 : (clientX - room.left) / room.width;
  const fy = clientY === undefined ? 0.5 : (clientY - room.top) / room.height;
  const [x, y, w, h] = view, next = Math.min(Math.max(w / factor, 60), 10 * home[2]), ratio = next / w;
  setView([x + (1 - ratio) * w * fx, y + (1 - ratio) * h * fy, next, h * ratio]);
}

const canvas = by("canvas"), fingers = new Map();
document.documentElement.classList.add("live");
let moved = false, pressed = null;

canvas.addEventListener("pointerdown", event => {
  fingers.set(event.pointerId, event);
  moved = fingers.size > 1;
  pressed = event.target.closest(".neuron");
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", event => {
  const last = fingers.get(event.pointerId);
  if (!last || (!moved && Math.hypot(event.clientX - last.clientX, event.clientY - last.clientY) < 4)) return;
  moved = true;
  const other = [...fingers.values()].find(finger => finger.pointerId !== event.pointerId);
  if (other) {
    const far = finger => Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY);
    zoom(far(event) / Math.max(far(last), 1), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
  } else {
    const scale = view[2] / canvas.clientWidth;
    setView([view[0] - (event.clientX - last.clientX) * scale, view[1] - (event.clientY - last.clientY) * scale, view[2], view[3]]);
  }
  fingers.set(event.pointerId, event);
});
for (const end of ["pointerup", "pointercancel"])
  canvas.addEventListener(end, event => {
    fingers.delete(event.pointerId);
    if (moved || end === "pointercancel") return;
    const found = pressed && pressed.id.match(/p(\d+)n(\d+)$/);
    if (found) { choose(Number(found[1]), Number(found[2])); bringDetails(); }
    else overview();
  });
canvas.addEventListener("wheel", event => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * 0.0015), event.clientX, event.clientY);
}, { passive: false });

// Theme, buttons, keys

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  by("theme").textContent = theme === "dark" ? words.light : words.dark;
}

followTheme(data.theme);

const clicks = {
  smaller: () => zoom(0.8), larger: () => zoom(1.25), fit: () => fit(), play,
  first: () => goto(0), back: () => goto(step - 1), next: () => goto(step + 1), last: () => goto(steps.length),
  before: () => show(example - 1), after: () => show(example + 1),
  theme: otherTheme,
  large: () => { by("large").setAttribute("aria-pressed", String(document.documentElement.classList.toggle("large"))); resized(); },
  full: fullScreen,
  more: () => unfold("more", "menu"), keys: () => { unfold("more", "menu", false); unfold("keys", "help"); },
  "save-svg": saveSvg, "save-png": savePng,
};
for (const [id, action] of Object.entries(clicks)) by(id).addEventListener("click", action);
by("slider").addEventListener("input", event => { pause(); goto(Number(event.target.value)); });
by("slider").max = String(steps.length);
document.querySelector(".examples").hidden = data.examples < 2;
svg.setAttribute("tabindex", "0");
addEventListener("resize", resized);

const strokes = {
  ArrowRight: () => { pause(); goto(step + 1); }, ArrowLeft: () => { pause(); goto(step - 1); }, " ": play,
  ArrowDown: () => onward(1), ArrowUp: () => onward(-1), n: clicks.after, p: clicks.before,
  Home: () => { pause(); goto(0); }, End: () => { pause(); goto(steps.length); },
  "+": clicks.larger, "=": clicks.larger, "-": clicks.smaller, f: clicks.fit, t: clicks.theme, l: clicks.large, x: clicks.full, "?": clicks.keys,
  Escape: () => { unfold("more", "menu", false); if (!by("help").hidden) clicks.keys(); else overview(); },
};
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target;
  const own = target.matches?.("button, summary") ? [" "] : target.matches?.("input, select") ? ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"] : [];
  if (own.includes(event.key)) return;
  const action = strokes[event.key];
  if (action) { event.preventDefault(); action(); }
});

by("speed").addEventListener("change", () => { if (timer) { pause(); play(); } });

show(0);
resized();
goto(asked());
