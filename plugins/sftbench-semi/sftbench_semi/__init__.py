"""Semi-supervised fine-tuning: a plugin of sftbench. Everything is lazy."""

from __future__ import annotations

from sftbench.api import Entry, hookimpl


@hookimpl
def sftbench_strategies() -> list[Entry]:
    """Return the strategies that use images without labels."""
    return [
        Entry(
            "pseudo-label",
            "sftbench_semi.strategies:PseudoLabel",
            "full, with the network's own sure answers as labels of unlabelled images",
        ),
        Entry(
            "fixmatch",
            "sftbench_semi.strategies:FixMatch",
            "full, with sure answers on weak views as labels of strong ones",
        ),
    ]
