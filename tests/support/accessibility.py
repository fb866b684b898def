"""What axe-core finds against WCAG 2.1 AA and its own good practice."""

from __future__ import annotations

from typing import Any

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
_OPEN = "document.querySelectorAll('details').forEach((one) => { one.open = true })"


def violations(page: Any) -> list[str]:
    """Open everything that opens, and return a line for each element that breaks a rule."""
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate(_OPEN)
    found = Axe().run(page, options={"runOnly": _RULES, "resultTypes": ["violations"]})
    return [
        f"{rule['id']}: {node['target'][0]}"
        for rule in found.response["violations"]
        for node in rule["nodes"]
    ]
