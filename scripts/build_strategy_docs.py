"""Write docs/strategies.md from the catalogue and the records of results/.

python scripts/build_strategy_docs.py [--check]
"""

from __future__ import annotations

import sys
from collections import defaultdict
from importlib.metadata import EntryPoint
from pathlib import Path
from statistics import mean
from typing import cast

from fresh_page import write_or_check

from sftbench.catalog import BUILTIN, Catalog
from sftbench.contracts.strategy import Strategy
from sftbench.discovery import GROUP, build_catalog
from sftbench.store import Store

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "strategies.md"
_HEAD = """Made from the catalogue and the records of results/ by
`python scripts/build_strategy_docs.py`; a test keeps it fresh. Options, defaults and the source of
each: `sftbench show strategy NAME`."""
_TAIL = """CIFAR-10 with 500 training images of the largest class and 5 of the smallest,
EfficientNet-Lite0 with ImageNet weights, 96 pixels, 5 epochs, 9 seeds
(`plans/cifar10-lt-cpu.toml`, results/imbalance-cpu; what it teaches: [results.md](results.md)).
Passes: images through the whole network, forward and backward, mean of a cell; those of a frozen
network are shared by all cells that need them.
"""
PACKAGES = ("compress", "peft", "semi")
# Where strategies are compared with each other.
MEASURED = {
    "balanced": ("reference-cpu", "fashion-mnist-mini", "balanced"),
    "long tail": ("reference-cpu", "fashion-mnist-mini", "longtail:50"),
}
# What a strategy decides says which family it is of.
FAMILIES = (
    ("What trains, and how", ("",)),
    ("Structure", ("head", "stem", "blocks", "adapters")),
    ("Losses and sampling", ("loss", "sampler", "smoothing", "mixing", "final")),
    ("Without labels", ("streams",)),
    ("Compression", ("compression",)),
)
ADVICE = """
## Which one

* **First `head-only` and `full`.** The first costs one pass of each image through the network;
  the second shows what the network can gain. Where they are equal, keep the head. With few images
  or a long tail, `full` at the same budget can be the worse one (the table below).
* **`full` forgets or jumps**: `lp-ft`, `layer-decay`, `l2-sp`, `wise-ft`.
* **Little memory, or many tasks on one network**: `bias-only`, `norm-only`, `ssf`, `adapter:16`,
  `lora:8`; the record's `counts.delta_bytes` is what must be shipped for each task.
* **Classes of unequal size**: `balanced-softmax` or `logit-adjust` first, they cost nothing. With
  few images, over a frozen backbone: `head-only+balanced-softmax`, `head-only+class-balanced`
  (measured below). `crt` and `tau-norm` mend the head alone, and help where features are good.
* **Few labels, many images**: `fixmatch` on `labels:N`, beside `head-only`.
* **A smaller or faster network**: `quantize` for bytes, `prune-structured:0.5` or
  `distil:TEACHER` for time; `prune` saves neither (plugins/sftbench-compress has figures).
* **More budget to spend**: `model-soup` (k times), `sam` (two passes a step), `--tune`.
"""


def document() -> str:
    """Return the page."""
    catalog = _catalog()
    figures = _figures()
    parts = [
        "# Strategies\n",
        _HEAD,
        ADVICE,
        "## All of them\n",
        "Budget: target images drawn, as a multiple of the plan's. Figures: accuracy, and seconds "
        "of a cell on two CPU\ncores, where a reference plan runs the strategy: "
        + "; ".join(
            f"{key}: {dataset} / {variant}" for key, (_, dataset, variant) in MEASURED.items()
        )
        + " (results/reference-cpu).\n",
    ]
    parts[3:3] = ["## On a long tail\n", _TAIL, _tail_table() + "\n"]
    rows: dict[str, list[str]] = defaultdict(list)
    for offer in catalog.listing("strategy"):
        if offer.name not in catalog.names("strategy"):
            continue
        cls = cast("type[Strategy]", catalog.get("strategy", offer.name))
        rows[_family(cls)].append(_row(offer.signature, cls, offer.plugin.label, figures))
    for title, _ in FAMILIES:
        parts.append(f"### {title}\n")
        heads = ["strategy", "what", "decides", "budget", "from", *MEASURED]
        parts.append("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
        parts.append("\n".join(rows[title]) + "\n")
    return "\n".join(parts)


def _catalog() -> Catalog:
    points = [EntryPoint(BUILTIN, "sftbench.builtin", GROUP)]
    for name in PACKAGES:
        sys.path.insert(0, str(ROOT / "plugins" / f"sftbench-{name}"))
        points.append(EntryPoint(f"sftbench-{name}", f"sftbench_{name}", GROUP))
    return build_catalog(points, chosen=",".join(f"sftbench-{name}" for name in PACKAGES))


def _family(cls: type[Strategy]) -> str:
    # A last word is of the family of what it is the end of.
    claimed = cls.claims - {"final"} or cls.claims
    for title, claims in reversed(FAMILIES):
        if claimed & set(claims):
            return title
    return FAMILIES[0][0]


def _row(
    signature: str, cls: type[Strategy], plugin: str, figures: dict[tuple[str, str], str]
) -> str:
    decides = ", ".join(sorted(claim.partition(":")[0] for claim in cls.claims)) or "-"
    parameter = (
        cls.argument is not None and cls.options_model.model_fields[cls.argument].is_required()
    )
    budget = cls.budget_factor if parameter else cls(cls.options_model()).budget_factor
    package = plugin.split(maxsplit=1)[0]
    brought = "" if package in {BUILTIN, "sftbench"} else package
    found = [figures.get((cls.name, key), "") for key in MEASURED]
    cells = [f"`{signature}`", cls.summary, decides, f"{budget:g}", brought, *found]
    return "| " + " | ".join(cells) + " |"


def _tail_table() -> str:
    """Return strategies by accuracy on the long tail, the best first."""
    found = defaultdict(list)
    for record in Store(ROOT / "results" / "imbalance-cpu").scan().records.values():
        accuracy = record.value("accuracy")
        recalls = [one.recall for one in record.per_class if one.recall is not None]
        counts = record.counts
        # A stage over cached features runs the head alone.
        whole = sum(stage.examples for stage in record.stages if not stage.cached_features)
        passes = 2 * whole + counts.prefix_forward
        if accuracy is not None:
            found[record.cell.strategy].append((accuracy, min(recalls), passes))
    means = {name: [mean(each) for each in zip(*rows, strict=True)] for name, rows in found.items()}
    lines = ["| strategy | accuracy | worst class | passes |", "|---|---|---|---|"]
    for name, (accuracy, worst, passes) in sorted(means.items(), key=lambda item: -item[1][0]):
        lines.append(f"| `{name}` | {accuracy:.3f} | {worst:.2f} | {passes:,.0f} |")
    return "\n".join(lines)


def _figures() -> dict[tuple[str, str], str]:
    found = {}
    for key, (store, dataset, variant) in MEASURED.items():
        by_name = defaultdict(list)
        for record in Store(ROOT / "results" / store).scan().records.values():
            cell = record.cell
            value = record.value("accuracy")
            if (cell.dataset, cell.variant) == (dataset, variant) and value is not None:
                by_name[cell.strategy].append((value, record.timing.total_seconds))
        for name, pairs in by_name.items():
            accuracy, seconds = (mean(column) for column in zip(*pairs, strict=True))
            found[name, key] = f"{accuracy:.3f}, {seconds:.3g} s"
    return found


if __name__ == "__main__":
    sys.exit(write_or_check(TARGET, document()))
