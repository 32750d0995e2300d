// Arrays as small pictures, from texts with a character for each cell; see viz/looks.py

const LEVELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const levels = text => [...text.replace(/(.)\{(\d+)\}/g, (_, sign, count) => sign.repeat(count))].map(sign => LEVELS.indexOf(sign));
const colour = name => {
  const text = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  return [1, 3, 5].map(k => parseInt(text.slice(k, k + 2), 16));
};

function looks(look) {
  if (!look) return [];
  const all = element("div", undefined, "looks");
  for (const image of look.images || []) {
    const grey = level => Array(3).fill(255 * level / 63);
    all.append(grid(levels(image).map(grey), look.wide, 4, words.image));
  }
  const [low, middle, high] = ["input", "ground", "update"].map(colour), bad = colour("alert");
  // Blue below zero, orange above, and what is not finite in the colour of alerts.
  const between = level => {
    if (level < 0) return bad;
    const share = (level - 31.5) / 31.5, end = share < 0 ? low : high;
    return middle.map((from, k) => from + (end[k] - from) * Math.abs(share));
  };
  const about = say("heat map", { low: look.ends[0], high: look.ends[1] });
  const size = look.columns > 14 ? 6 : 9;
  const map = figure(grid(levels(look.cells).map(between), look.columns, size, about), look.ends);
  // Which colour is which number.
  map.lastChild.before(element("span", undefined, "scale"));
  all.append(map);
  const bars = levels(look.bars), path = bars.map((bar, k) => `M${k * 5} 42v${-Math.ceil(bar * 40 / 63)}h4v${Math.ceil(bar * 40 / 63)}z`).join("");
  const histogram = shape("svg", { viewBox: `0 0 ${bars.length * 5} 42`, class: "bars", role: "img", "aria-label": say("histogram", { low: look.span[0], high: look.span[1] }) });
  histogram.append(shape("path", { d: path }));
  all.append(figure(histogram, look.span));
  return [all];
}

function figure(content, ends) {
  const made = element("figure"), words = element("figcaption");
  words.append(...ends.map(end => element("span", end)));
  made.append(content, words);
  return made;
}

function grid(colours, columns, size, about) {
  const paper = element("canvas"), rows = colours.length / columns;
  [paper.width, paper.height] = [columns, rows];
  paper.style.cssText = `width:${columns * size}px;height:${Math.max(rows * size, 9)}px`;
  paper.setAttribute("role", "img");
  paper.setAttribute("aria-label", about);
  const context = paper.getContext("2d"), pixels = context.createImageData(columns, rows);
  colours.forEach((rgb, k) => pixels.data.set([...rgb, 255], 4 * k));
  context.putImageData(pixels, 0, 0);
  return paper;
}
