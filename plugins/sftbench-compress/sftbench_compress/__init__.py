"""Compression: a plugin of sftbench. Everything is lazy."""

from __future__ import annotations

from sftbench.api import Entry, hookimpl


@hookimpl
def sftbench_strategies() -> list[Entry]:
    """Return the ways of making a model smaller."""
    here = "sftbench_compress"
    return [
        Entry("quantize", f"{here}.quantize:Quantize", "full, then weights as int8", "MODE"),
        Entry(
            "quantize-qat",
            f"{here}.quantize:QuantizeQat",
            "full, then on with weights rounded to int8, which stay so",
        ),
        Entry(
            "prune",
            f"{here}.prune:Prune",
            "full, then on without the share AMOUNT of smallest weights",
            "AMOUNT",
        ),
        Entry(
            "prune-structured",
            f"{here}.prune_structured:PruneStructured",
            "full, then on without the share RATIO of each layer's channels",
            "RATIO",
        ),
        Entry(
            "distil",
            f"{here}.distil:Distil",
            "fine-tune a larger TEACHER, then learn from its outputs",
            "TEACHER",
        ),
    ]
