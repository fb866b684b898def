"""What a page's layout does to its words."""

from __future__ import annotations

from typing import Any

_BROKEN = """() => {
  const broken = [];
  for (const cell of document.querySelectorAll("caption, thead th, tbody th, tbody td")) {
    if (!cell.checkVisibility()) continue;
    const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node.parentElement.closest(".facts") || !node.parentElement.checkVisibility()) continue;
      for (const word of node.data.matchAll(/[\\w.]+/g)) {
        const range = document.createRange();
        range.setStart(node, word.index);
        range.setEnd(node, word.index + word[0].length);
        const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
        if (lines.size > 1) broken.push(word[0]);
      }
    }
  }
  return broken;
}"""


def broken_words(page: Any) -> list[str]:
    """Return the words and numbers of tables that do not stand on one line."""
    found: list[str] = page.evaluate(_BROKEN)
    return found
