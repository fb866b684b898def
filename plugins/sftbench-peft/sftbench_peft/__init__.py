"""LoRA and its kin: a plugin of sftbench. Everything is lazy."""

from __future__ import annotations

from sftbench.api import Entry, hookimpl

_KIN = {
    "lora": ("Lora", "train low-rank changes of frozen layers, and the head", "RANK"),
    "rslora": ("RsLora", "lora, scaled by alpha / sqrt(r)", "RANK"),
    "dora": ("Dora", "lora on directions of linear layers, magnitudes trained apart", "RANK"),
    "loha": ("Loha", "train Hadamard products of low-rank changes, and the head", "RANK"),
    "lokr": ("Lokr", "train Kronecker products of low-rank changes, and the head", "RANK"),
    "ia3": ("Ia3", "train a scale for each output of frozen layers, and the head", None),
}


@hookimpl
def sftbench_strategies() -> list[Entry]:
    """Return the methods that peft brings."""
    return [
        Entry(name, f"sftbench_peft.strategies:{cls}", summary, parameter)
        for name, (cls, summary, parameter) in _KIN.items()
    ]
