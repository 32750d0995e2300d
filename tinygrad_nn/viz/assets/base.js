"use strict";
// What all pages share: their data, elements, what folds out, the theme

// Numbers that JSON does not have are texts
const data = JSON.parse(document.getElementById("data").textContent, (_, x) =>
  (/^#(NaN|-?Infinity)$/.test(x) ? Number(x.slice(1)) : x));
const by = id => document.getElementById(id);

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function unfold(button, what, open = by(what).hidden) {
  by(what).hidden = !open;
  by(button).setAttribute("aria-expanded", String(open));
  if (what === "menu") document.querySelector("header").classList.toggle("opened", open);
}

function otherTheme() {
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
}

function followTheme(wanted) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  setTheme(wanted === "auto" ? (dark.matches ? "dark" : "light") : wanted);
  if (wanted === "auto") dark.addEventListener("change", event => setTheme(event.matches ? "dark" : "light"));
}

// Paper is light
let lit = "";
addEventListener("beforeprint", () => { lit = document.documentElement.dataset.theme; setTheme("light"); });
addEventListener("afterprint", () => setTheme(lit));
