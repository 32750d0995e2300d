// What if: the numbers of a leaf are changed in its panel, and the graph follows. Needs words.js and numbers.js.

(() => {
const trial = data.whatif, { run, zeros, mean, spread, norm } = arithmetic;

function described(numbers, shape) {
  if (numbers.length <= 4) {
    const nested = (from, [first, ...rest]) => {
      if (first === undefined) return number(numbers[from]);
      const size = rest.reduce((a, b) => a * b, 1);
      return `[${zeros(first).map((_, n) => nested(from + n * size, rest)).join(", ")}]`;
    };
    return nested(0, shape);
  }
  const finite = numbers.filter(Number.isFinite);
  if (!finite.length) return words["none finite"];
  const middle = mean(finite), none = finite.filter(x => x === 0).length;
  const fields = { mean: number(middle), std: number(Math.sqrt(spread(finite))), low: number(Math.min(...finite)), high: number(Math.max(...finite)) };
  const text = say("statistics", fields);
  return none ? say("zeros", { text, share: Number((100 * none / numbers.length).toPrecision(3)) }) : text;
}

const brief = (numbers, shape) => (numbers.length <= 4 ? described(numbers, shape) : say("norm", { norm: number(norm(numbers)) }));
const gradientLabel = (numbers, shape) => (numbers.some(x => x !== 0) ? say("grad", { what: brief(numbers, shape) }) : words["grad zero"]);

// An array as looks.js draws it
function seen(numbers, shape) {
  const columns = shape.length > 1 ? numbers.length / shape[0] : numbers.length, finite = numbers.filter(Number.isFinite);
  if (numbers.length <= 4 || columns > 24 || !finite.length) return undefined;
  const most = Math.max(...finite.map(Math.abs)), low = Math.min(...finite), high = Math.max(...finite), bars = zeros(24);
  const apart = high - low > 1e-9 * most;
  finite.forEach(x => { bars[apart ? Math.min(Math.floor(24 * (x - low) / (high - low)), 23) : 12] += 1; });
  const text = shares => shares.map(x => (Number.isFinite(x) ? LEVELS[Math.floor(Math.min(Math.max(x * 63.99, 0), 63))] : " ")).join("");
  const cells = text(numbers.map(x => 0.5 + 0.5 * x / (most || 1)));
  return { cells, columns, ends: [number(-most), number(most)], bars: text(bars.map(x => x / Math.max(...bars))), span: [number(low), number(high)] };
}

function tryOut() {
  const { words, leaves, movable } = trial;
  const captured = run(trial, leaves), tried = structuredClone(leaves);
  const told = data.values.map(({ value, gradient, alert }) => ({ value, gradient, alert })), steps = structuredClone(data.steps);
  const looked = { values: { ...data.looks }, gradients: { ...data.gradient_looks } };
  let now = captured;

  const same = (a, b) => a === b || (a && b && a.every((x, n) => Object.is(x, b[n])));
  const moved = k => !same(now.values[k], captured.values[k]);
  const turned = k => now.gradients[k] && !same(now.gradients[k], captured.gradients[k]);

  const bar = element("span", undefined, "trying"), names = element("span");
  names.setAttribute("role", "status");
  const reset = element("button", words["put back"]);
  reset.type = "button";
  reset.addEventListener("click", () => { Object.assign(tried, structuredClone(leaves)); follow(); refresh(); });
  bar.append(names, reset);
  bar.hidden = true;
  document.querySelector("header").append(bar);

  // Everything that is told of values and gradients, where they are others than those captured.
  function follow() {
    now = run(trial, tried);
    data.values.forEach((value, k) => {
      Object.assign(value, told[k]);
      if (moved(k)) Object.assign(value, { value: described(now.values[k], value.shape), alert: "" });
      if (turned(k)) value.gradient = described(now.gradients[k], value.shape);
      if (data.place[k] === `n${k}`) label(item(data.place[k]), k);
      data.looks[k] = moved(k) ? seen(now.values[k], value.shape) : looked.values[k];
      data.gradient_looks[k] = turned(k) ? seen(now.gradients[k], value.shape) : looked.gradients[k];
    });
    data.steps.forEach((one, n) => {
      const arrivals = now.arrived[one.value], before = captured.arrived[one.value];
      if (!one.arrivals.length || !arrivals) return;
      const kept = arrivals.every((arrival, j) => same(arrival.added, before[j].added));
      one.caption = kept ? steps[n].caption : trial.captions[n].replace(/\0(\d+)\0/g, (_, j) => brief(arrivals[j].added, []).replaceAll("-", "−"));
      one.arrivals.forEach((arrival, j) => {
        arrival.entries = same(arrivals[j].added, before[j].added) ? steps[n].arrivals[j].entries : undefined;
        for (const key of ["before", "added", "total"])
          arrival[key] = same(arrivals[j][key], before[j][key]) ? steps[n].arrivals[j][key] : described(arrivals[j][key], data.values[arrival.to].shape);
      });
    });
    [...by("outline").children].forEach((entry, n) => { entry.firstElementChild.lastChild.textContent = data.steps[n].caption; });
    const changed = movable.filter(moved);
    names.textContent = changed.length ? words.changed.replace("{names}", () => changed.map(k => data.values[k].name).join(", ")) : "";
    bar.toggleAttribute("hidden", !changed.length);
    paint();
  }

  // A number with more digits than the box has room for is drawn closer.
  function squeeze(text, node) {
    text.removeAttribute("textLength");
    const shape = node.querySelector(".shape"), room = shape.getBBox().width * (shape.tagName === "ellipse" ? 0.8 : 1) - 8;
    if (room <= 0 || text.getComputedTextLength() <= room) return;
    text.setAttribute("textLength", room.toFixed(1));
    text.setAttribute("lengthAdjust", "spacingAndGlyphs");
  }

  function label(node, k) {
    const value = node.querySelector("text.value"), lines = [...node.querySelectorAll("text.gradient")];
    if (value) {
      value.dataset.captured ??= value.textContent;
      value.textContent = moved(k) ? data.values[k].value : value.dataset.captured;
      squeeze(value, node);
    }
    lines.forEach(line => { line.dataset.captured ??= line.dataset.final ?? line.textContent; });
    if (turned(k)) write(node, gradientLabel(now.gradients[k], data.values[k].shape));
    lines.forEach(line => {
      line.dataset.final = line.textContent = turned(k) ? line.textContent : line.dataset.captured;
      squeeze(line, node);
    });
  }

  function refresh() {
    const focused = document.activeElement?.dataset?.entry, leaf = picked;
    goto(step);
    if (leaf !== null) choose(leaf);
    if (focused) by("node").querySelector(`[data-entry="${focused}"]`)?.focus();
  }

  function entry(k, n) {
    let rest = n;
    const places = [...data.values[k].shape].reverse().map(size => { const place = rest % size; rest = (rest - place) / size; return place; }).reverse();
    return places.length ? `${data.values[k].name}[${places.join(", ")}]` : data.values[k].name;
  }

  // The sliders of a leaf, and what the result and its gradient are meanwhile.
  function sliders(k) {
    const section = element("section", undefined, "whatif"), said = element("p", undefined, "sum");
    const tell = () => {
      const result = data.values[trial.output].name, parts = [`${result} = ${described(now.values[trial.output], data.values[trial.output].shape)}`];
      if (now.gradients[k]) parts.push(`∂${result}/∂${data.values[k].name} = ${described(now.gradients[k], data.values[k].shape)}`);
      said.textContent = parts.join("   ");
    };
    section.append(element("h3", words["what if"]));
    tried[k].forEach((x, n) => {
      const row = element("div"), name = element("label", entry(k, n)), range = element("input"), field = element("input");
      const start = Number(leaves[k][n]), reach = Math.max(1, 2 * Math.abs(start)) || 1;
      Object.assign(range, { type: "range", min: start - reach, max: start + reach, step: "any", value: x, id: `try${n}` });
      Object.assign(field, { type: "number", step: "any", value: Number(Number(x).toPrecision(6)) });
      name.htmlFor = range.id;
      range.dataset.entry = `range${n}`;
      field.dataset.entry = `field${n}`;
      field.setAttribute("aria-label", entry(k, n));
      const set = next => { if (Number.isFinite(next)) { tried[k][n] = next; follow(); tell(); } };
      range.addEventListener("input", () => { field.value = Number(range.valueAsNumber.toPrecision(4)); set(range.valueAsNumber); });
      field.addEventListener("input", () => { range.value = field.value; set(field.valueAsNumber); });
      for (const input of [range, field]) input.addEventListener("change", refresh);
      row.append(name, range, field);
      section.append(row);
    });
    section.append(said, element("p", words.captured, "from"));
    // What is typed here is no command for the page.
    section.addEventListener("keydown", event => { if (event.key !== "Escape") event.stopPropagation(); });
    tell();
    return section;
  }

  let picked = null;
  const chooseBefore = choose;
  choose = (index, show) => {
    chooseBefore(index, show);
    picked = movable.includes(chosen) ? chosen : null;
    if (picked === null) return;
    const panel = by("node"), table = panel.querySelector("table");
    if (table) table.before(sliders(picked));
    else panel.append(sliders(picked));
  };
}

if (trial && trial.missing) by("notes").after(element("p", trial.words.missing.replace("{names}", trial.missing.join(", "))));
else if (trial) tryOut();
})();
