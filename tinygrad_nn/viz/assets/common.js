// What pages with a step player share: shapes, links to steps, paper

const svg = document.querySelector(".level"), SVG = svg.namespaceURI;
// They are those of the picture without script.
svg.removeAttribute("width");
svg.removeAttribute("height");

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, typeof value === "number" ? value.toFixed(1) : value);
  return made;
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen?.();
}

// In a narrow window details stand below the steps, out of sight of who has asked for them
function bringDetails() {
  if (matchMedia("(max-width:760px)").matches) by("details").scrollIntoView({ block: "start" });
}

const large = () => document.documentElement.classList.contains("large");

function remember() {
  if (location.hash !== (step ? `#step=${step}` : "")) history.replaceState(null, "", step ? `#step=${step}` : location.pathname);
}

const asked = () => Number(/^#step=(\d+)$/.exec(location.hash)?.[1] || 0);
addEventListener("hashchange", () => { pause(); goto(asked()); });
addEventListener("beforeprint", () => svg.setAttribute("viewBox", home.join(" ")));
addEventListener("afterprint", () => setView(view));
