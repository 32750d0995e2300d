"""What a page says, wherever it says it, and which of its words are English."""

import re

NAMES = {"NaN", "SVG", "PNG", "GIF", "Home", "End", "Tab", "Esc", "Space", "Enter", "MNIST"}
"""Names of keys, formats and the like, which are the same in every language."""

_SAID = """
const found = [];
const walk = node => {
  if (node.nodeType === Node.TEXT_NODE) found.push(node.data);
  if (node.nodeType !== Node.ELEMENT_NODE || node.matches('script, style, noscript, code, #code')) return;
  for (const name of ['aria-label', 'title', 'placeholder', 'alt', 'aria-valuetext', 'aria-description'])
    if (node.hasAttribute(name)) found.push(node.getAttribute(name));
  node.childNodes.forEach(walk);
};
walk(document.body);
found.push(document.title);
return found.filter(text => text.trim());
"""


def said_by(window):
    """Return all texts of the page in a window: those in menus that are closed, labels for readers and titles too."""
    return window.run(_SAID)


_WORD = re.compile(r"(?<![A-Za-z0-9_])[A-Za-z][A-Za-z0-9_]+")
_PLACE = re.compile(r"\S+\.py:\d+")


def english(texts, names=()):
    """Return the words of texts that are written in Latin letters and no names, with one of their texts each."""
    known = NAMES | {part for name in names for part in _WORD.findall(name)}
    return {word: text for text in texts for word in _WORD.findall(_PLACE.sub("", text)) if word not in known}
