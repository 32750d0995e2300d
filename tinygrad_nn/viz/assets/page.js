// Details, and the step player

let level = -1, step = 0, chosen = null, timer = 0, hits = [], hit = -1;

// Told once: the last sum that arrives is the gradient
data.steps.flatMap(one => one.arrivals).reverse().forEach(a => { data.values[a.to].gradient ??= a.total; });

// Details of a value, or of the values that a folded module stands for

function row(table, head, content, className) {
  if (content === undefined || content === "" || content.length === 0) return;
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
  head.append(element("span", data.outputs.includes(index) ? say("is output", value) : value.kind, "kind"));
  parts.push(head);
  const table = element("table");
  row(table, words.call, value.call && [element("code", value.call)]);
  row(table, words.shape, value.shape.length ? `(${value.shape.join(", ")}${value.shape.length === 1 ? "," : ""})` : `() ${words.scalar}`);
  row(table, words.dtype, value.dtype);
  row(table, words.module, value.module);
  row(table, words.phase, value.of ? say("gradient of", { phase: value.phase, who: value.of }) : value.phase);
  row(table, words.value, value.value && [value.value, ...looks(data.looks[index])]);
  row(table, words.alert, value.alert, "alert-text");
  row(table, words.gradient, value.gradient || (data.steps.some(s => s.arrivals.length) ? words["no gradient"] : ""), "grad");
  row(table, "", looks(data.gradient_looks[index]));
  const users = data.values.flatMap((other, k) => (other.operands || []).includes(index) ? [k] : []);
  for (const [operand, rule, place] of value.rules || [])
    row(table, say("rule", { who: operand }), [element("pre", rule, "rule"), element("span", place, "from")]);
  row(table, words["made from"], value.operands && value.operands.map(linkTo));
  row(table, words["used by"], users.length ? users.map(linkTo) : "");
  parts.push(table);
  return parts;
}

function choose(index, show) {
  chosen = index;
  document.querySelectorAll(".chosen").forEach(node => node.classList.remove("chosen"));
  const close = element("button", words.overview);
  close.type = "button";
  close.id = "close";
  close.title = words.back;
  close.addEventListener("click", overview);
  const parts = typeof index === "string" ? moduleDetails(index) : valueDetails(index);
  const id = typeof index === "string" ? index : at(index);
  by("node").replaceChildren(close, ...parts);
  by("node").hidden = false;
  by("overview").hidden = true;
  const node = item(id);
  if (node) node.classList.add("chosen");
  if (show) reveal(id);
}

function moduleDetails(id) {
  const { lines: [title, ...lines], values } = data.folded[id], table = element("table");
  row(table, words.module, lines.join(" · "));
  const most = 30, rest = values.length - most;
  row(table, words.inside, [...values.slice(0, most).map(linkTo), ...(rest > 0 ? [say("and more", { n: rest })] : [])]);
  if (!data.units[id]) return [element("h2", title), table];
  const shut = closed.has(id), change = element("button", shut ? words.open : words.close);
  change.type = "button";
  change.id = "open";
  change.addEventListener("click", () => toggle(id, !shut));
  return [element("h2", title), change, table];
}

function overview() {
  chosen = null;
  document.querySelectorAll(".chosen").forEach(node => node.classList.remove("chosen"));
  by("node").hidden = true;
  by("overview").hidden = false;
}

// The step player: step 0 shows the whole graph, step k the k-th op, forward and then backward

function paint() {
  const reached = new Set(), graded = new Map(), flows = new Set(), folds = id => id in data.folded;
  data.values.forEach((value, k) => { if (data.place[k] && !value.call && !folds(at(k))) reached.add(at(k)); });
  data.steps.slice(0, step).forEach(one => {
    reached.add(at(one.value));
    one.arrivals.forEach(a => {
      graded.set(at(a.to), a.total);
      flows.add(`${at(one.value)} ${at(a.to)}`);
    });
  });
  const now = step ? data.steps[step - 1] : null;
  const active = now && at(now.value);
  const backward = now !== null && now.arrivals.length > 0;
  svg.classList.toggle("stepping", step > 0);
  svg.querySelectorAll(".node").forEach(node => {
    const id = node.id.slice(svg.id.length);
    node.classList.toggle("later", !reached.has(id));
    node.classList.toggle("now", id === active);
    node.classList.toggle("graded", graded.has(id) || (backward && id === at(data.outputs[0])));
    const sum = graded.get(id);
    write(node, step && sum && !sum.includes("·") ? say("grad", { what: sum }) : "");
  });
  data.links.forEach(([from, to, kind], k) => {
    const edge = item(`e${k}`), [tail, head] = [from, to].map(standsFor);
    const used = kind ? backward && tail === active : now !== null && !backward && head === active;
    edge.classList.toggle("now", used);
    edge.classList.toggle("on", kind !== "" && flows.has(`${tail} ${head}`));
    edge.classList.toggle("later", kind === "" && !(reached.has(tail) && reached.has(head)));
  });
  if (active) reveal(active);
}

// Write a gradient on a box, in its one or two lines; nothing brings back what stood there
function write(node, text) {
  const lines = [...node.querySelectorAll("text.gradient")], middle = text.length / 2;
  if (!lines.length) return;
  const cuts = [...text.matchAll(/, /g)].map(match => match.index + 1).sort((a, b) => Math.abs(a - middle) - Math.abs(b - middle));
  const parts = lines.length > 1 && cuts.length ? [text.slice(0, cuts[0]), text.slice(cuts[0] + 1)] : [text];
  lines.forEach((line, k) => {
    line.dataset.final ??= line.textContent;
    line.textContent = text ? parts[k] || "" : line.dataset.final;
  });
}

function arrivals(now) {
  if (!now.arrivals.length) return [];
  const table = element("table"), head = table.createTHead().insertRow();
  for (const text of words.heads) {
    const th = element("th", text);
    th.scope = "col";
    head.append(th);
  }
  const body = table.createTBody();
  for (const one of now.arrivals) {
    const line = body.insertRow();
    line.insertCell().append(linkTo(one.to));
    line.insertCell().textContent = one.before || "–";
    line.insertCell().textContent = one.before ? `+ ${one.added}` : one.total;
    const sum = line.insertCell();
    sum.className = "sum";
    sum.textContent = one.before ? `= ${one.total}` : one.total;
  }
  // Where nothing was there before, what arrives is what is there now.
  table.classList.toggle("first", now.arrivals.every(one => !one.before));
  return [table];
}

function goto(next) {
  step = Math.min(Math.max(next, 0), data.steps.length);
  by("slider").value = String(step);
  const now = step ? data.steps[step - 1] : null;
  by("outline").hidden = step > 0;
  by("count").textContent = `${step} / ${data.steps.length}`;
  remember();
  if (now) {
    const phase = element("span", words[now.phase], `phase ${now.phase}`);
    by("caption").replaceChildren(phase, now.caption);
    if (now.arrivals.length) by("arrivals").replaceChildren(...arrivals(now));
    else by("arrivals").replaceChildren();
    choose(now.value);
  } else {
    const backward = data.steps.some(one => one.arrivals.length);
    by("caption").textContent = data.steps.length
      ? words[backward ? "begin both" : "begin"] : "";
    by("arrivals").replaceChildren();
    overview();
  }
  paint();
  tell(now);
  if (step >= data.steps.length) pause();
}

function pause() {
  clearInterval(timer);
  timer = 0;
  by("play").textContent = words.play;
}

function play() {
  if (timer) return pause();
  if (step >= data.steps.length) goto(0);
  by("play").textContent = words.pause;
  timer = setInterval(() => goto(step + 1), 1400 / Number(by("speed").value));
}
