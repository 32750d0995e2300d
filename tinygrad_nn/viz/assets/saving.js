// The picture as it is shown, as a file

// Return the picture as SVG that needs nothing of the page
function picture() {
  const copy = svg.cloneNode(true), colours = getComputedStyle(document.documentElement);
  copy.querySelectorAll("[hidden], .edge.gradient:not(.on)").forEach(part => part.remove());
  const styles = [...document.styleSheets[0].cssRules].filter(rule => /^\.(level|drawn|node)[ .>:]/.test(rule.selectorText))
    .map(rule => rule.cssText.replace(/var\((--[\w-]+)\)/g, (_, name) => colours.getPropertyValue(name)));
  const style = shape("style", {}), ground = shape("rect", { class: "ground", x: home[0], y: home[1], width: home[2], height: home[3] });
  style.textContent = styles.join("\n");
  copy.prepend(style, ground);
  Object.entries({ xmlns: SVG, viewBox: home.join(" "), width: Math.round(home[2]), height: Math.round(home[3]) })
    .forEach(([key, value]) => copy.setAttribute(key, value));
  return new XMLSerializer().serializeToString(copy);
}

function save(content, type, suffix) {
  const link = element("a");
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  link.download = `${document.title.replace(/[^\p{L}\p{N}]+/gu, "_")}.${suffix}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const saveSvg = () => save(picture(), "image/svg+xml", "svg");

// Two pixels for each point, and no more than a browser can hold
function drawn() {
  return new Promise((done, failed) => {
    const image = new Image(), scale = Math.min(2, 16000 / Math.max(home[2], home[3]));
    image.onload = () => {
      const paper = element("canvas");
      [paper.width, paper.height] = [home[2] * scale, home[3] * scale];
      paper.getContext("2d").drawImage(image, 0, 0, paper.width, paper.height);
      paper.toBlob(done);
    };
    image.onerror = failed;
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(picture())}`;
  });
}

const savePng = () => drawn().then(blob => save(blob, "image/png", "png"));
