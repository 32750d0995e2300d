// What a step says besides its caption: its letters, the line of the user, entries of gradients as calculations

const words = data.words;
const say = (name, fields) => words[name].replace(/\{(\w+)\}/g, (_, key) => fields[key]);

function tell(now) {
  by("letters").textContent = now ? now.letters : "";
  by("entries").replaceChildren(...(now ? now.arrivals.flatMap(calculations) : []));
  const line = now && data.values[now.value].line;
  for (const shown of by("code").querySelectorAll("[data-at]")) {
    const lit = shown.dataset.at === line;
    shown.classList.toggle("lit", lit);
    if (lit) by("code").scrollTop = shown.offsetTop - by("code").clientHeight / 2;
  }
  // Arrows of gradients that nobody sees have no entry in the legend.
  document.querySelectorAll(".legend [data-kind=gradient]").forEach(entry => entry.classList.toggle("unseen", !document.querySelector(".edge.gradient.on")));
}

function calculations(one) {
  if (!one.entries) return [];
  const all = element("div", undefined, "entries"), line = element("p"), table = element("table");
  let row = null, due = "";
  const cells = one.entries.map(([place, text, calculation]) => {
    const cell = element("button", text), index = place.split(", ");
    cell.type = "button";
    cell.title = `[${place}]`;
    cell.addEventListener("click", () => {
      cells.forEach(other => { other.tabIndex = other === cell ? 0 : -1; other.setAttribute("aria-pressed", String(other === cell)); });
      line.textContent = `${name(one.to)}[${place}]: ${calculation ? `${calculation} = ` : ""}${text}`;
    });
    // A row goes on as long as entries follow each other, and says where it begins.
    if (!row || place !== due) (row = table.insertRow()).append(element("th", `[${place}]`));
    row.insertCell().append(cell);
    due = [...index.slice(0, -1), Number(index.at(-1)) + 1].join(", ");
    return cell;
  });
  all.addEventListener("keydown", event => {
    const next = cells[cells.indexOf(event.target) + { ArrowUp: -1, ArrowDown: 1 }[event.key]];
    if (!next) return;
    event.preventDefault();
    next.click();
    next.focus();
  });
  line.setAttribute("aria-live", "polite");
  // Where one was chosen already, there is nothing to choose.
  if (cells.length > 1) all.append(element("h3", words.entries.replace("{who}", name(one.to))), line, table);
  else all.append(line);
  cells[one.largest].click();
  return [all];
}

function listing({ file, lines }) {
  const made = element("div", undefined, "listing");
  made.append(element("h3", file), ...lines.map(([number, text]) => {
    const line = element("div");
    if (number) line.dataset.at = `${file}:${number}`;
    line.append(element("span", number || "", "number"), element("code", text));
    return line;
  }));
  return made;
}

by("code").append(...data.code.map(listing));
by("code").hidden = !data.code.length;
