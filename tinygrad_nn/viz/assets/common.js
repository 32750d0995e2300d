"use strict";
// What pages with a step player share: their data, elements, links to steps, paper

// Numbers that JSON does not have are texts
const data = JSON.parse(document.getElementById("data").textContent, (_, x) =>
  (/^#(NaN|-?Infinity)$/.test(x) ? Number(x.slice(1)) : x));
const by = id => document.getElementById(id);
const svg = document.querySelector(".level"), SVG = svg.namespaceURI;

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, typeof value === "number" ? value.toFixed(1) : value);
  return made;
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen?.();
}

const large = () => document.documentElement.classList.contains("large");

function unfold(button, what, open = by(what).hidden) {
  by(what).hidden = !open;
  by(button).setAttribute("aria-expanded", String(open));
  if (what === "menu") document.querySelector("header").classList.toggle("opened", open);
}

function otherTheme() {
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
}

function followTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  setTheme(data.theme === "auto" ? (dark.matches ? "dark" : "light") : data.theme);
  if (data.theme === "auto") dark.addEventListener("change", event => setTheme(event.matches ? "dark" : "light"));
}

function remember() {
  if (location.hash !== (step ? `#step=${step}` : "")) history.replaceState(null, "", step ? `#step=${step}` : location.pathname);
}

const asked = () => Number(/^#step=(\d+)$/.exec(location.hash)?.[1] || 0);
addEventListener("hashchange", () => { pause(); goto(asked()); });
let lit = "";
addEventListener("beforeprint", () => {
  lit = document.documentElement.dataset.theme;
  setTheme("light");
  svg.setAttribute("viewBox", home.join(" "));
});
addEventListener("afterprint", () => { setTheme(lit); setView(view); });
