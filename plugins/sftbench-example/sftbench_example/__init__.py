"""A plugin of sftbench: what it brings, by name, so that listing it imports nothing heavy."""

from __future__ import annotations

from sftbench.api import Entry, hookimpl


@hookimpl
def sftbench_backbones() -> list[Entry]:
    """Return the backbone."""
    return [
        Entry(
            "two-conv",
            "sftbench_example.backbone:TwoConv",
            "two convolutions; the first sees edges of eight directions",
        )
    ]


@hookimpl
def sftbench_datasets() -> list[Entry]:
    """Return the data set."""
    return [Entry("stripes", "sftbench_example.dataset:Stripes", "stripes of four directions")]


@hookimpl
def sftbench_strategies() -> list[Entry]:
    """Return the strategy."""
    return [
        Entry(
            "top-blocks",
            "sftbench_example.strategy:TopBlocks",
            "train the last N blocks and the head",
            "N",
        )
    ]
