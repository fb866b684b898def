"""The work items: who does what, how often it counts, and what is compared with what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmarks.peers.contestants import PEERS
from benchmarks.peers.images import make_folder
from benchmarks.peers.work import Kind, Work

SMALL, LARGE = "tf_efficientnet_lite0", "resnet50"
_VARIANTS = ("balanced", "longtail:10")
_GRID = ("full", "scratch", "balanced-softmax", "head-only", "lp-ft")
# Strategies of one cost to a script: a change of the loss or of the weights is no more work.
_KIND_OF: dict[str, Kind] = {"head-only": "frozen", "lp-ft": "lp-ft"}
_FROZEN = (
    "frozen-ce",
    "frozen-balanced-softmax",
    "frozen-logit-adjust",
    "frozen-class-balanced",
    "frozen-focal",
    "frozen-ldam",
    "frozen-smooth",
    "frozen-sampled",
)
_RATES = (0.001, 0.0001, 0.0003, 0.003, 0.01)


@dataclass(frozen=True, slots=True)
class Part:
    """A training of a contestant, and how many equal ones it stands for."""

    work: Work
    times: int = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an item: a contestant and its trainings."""

    label: str
    contestant: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A ratio of two entries within a round.

    Attributes:
        row: Key of the row of "To reach", or empty.
        of: Label of the entry above the line; `peers`: the quickest of them in that round.
        by: Label of the entry below the line.
        measure: `speed`: images per second of `of` by that of `by`. `time`: seconds by seconds.
    """

    row: str
    of: str
    by: str
    measure: Literal["speed", "time"] = "speed"


@dataclass(frozen=True, slots=True)
class Item:
    """One work item."""

    key: str
    title: str
    entries: tuple[Entry, ...]
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of everything: `FULL` is what counts, `QUICK` shows that all of it runs."""

    images: int
    epochs: int
    large_images: int
    head_epochs: int
    head_seeds: int
    rates: tuple[float, ...]
    grid_images: int
    grid_seeds: int
    trial_batches: int
    start_ups: int


FULL = Scale(1024, 2, 128, 10, 10, _RATES, 512, 3, 8, 10)
QUICK = Scale(128, 1, 16, 2, 2, _RATES[:2], 128, 1, 0, 3)


class Items:
    """Makes the items of one run.

    Args:
        scratch: Folder for images and starting weights.
        scale: How large they are.
        device: `cpu` or `cuda`.
        precision: Of sftbench, where the item does not say `auto`.
    """

    def __init__(self, scratch: Path, scale: Scale, device: str, precision: str) -> None:
        self._scratch = scratch
        self._scale = scale
        self._device = device
        self._precision = precision

    def make(self, key: str) -> Item:
        """Return the item of that letter."""
        item: Item = getattr(self, f"_{key}")()
        return item

    def passes(self) -> list[list[Work]]:
        """Return runs that share a cache, for item e: one and then the other; both in one run."""
        first = self._heads(("head-only",))
        second = replace(first, strategies=("frozen-balanced-softmax",))
        both = replace(first, strategies=("head-only", "frozen-balanced-softmax"))
        return [[first, second], [both]]

    def _a(self) -> Item:
        work = self._work("full", self._scale.images, self._scale.epochs, ("full",))
        names = ("bare", "bare-plain", *PEERS, "sftbench")
        entries = tuple(Entry(name, name, (Part(work),)) for name in names)
        ratios = [Comparison("", "sftbench", name) for name in ("bare-plain", *PEERS)]
        return Item(
            "a",
            f"{_said(work)}, full fine-tuning with crop and flip",
            entries,
            (
                Comparison("bare", "sftbench", "bare"),
                Comparison("peers", "sftbench", "peers"),
                *ratios,
            ),
        )

    def _b(self) -> Item:
        batch = 64 if self._device == "cuda" else 16
        work = replace(
            self._work("full", self._scale.large_images, 1, ("full",)),
            backbone=LARGE,
            weights="none",
            start=str(self._scratch / f"{LARGE}.safetensors"),
            image_size=224,
            batch_size=batch,
        )
        own = replace(work, precision="auto")
        return Item(
            "b",
            f"{_said(work)}, full fine-tuning; sftbench with precision auto",
            (
                Entry("bare", "bare", (Part(own),)),
                Entry("article", "article", (Part(work),)),
                Entry("sftbench", "sftbench", (Part(own),)),
            ),
            (Comparison("large", "sftbench", "article"), Comparison("", "sftbench", "bare")),
        )

    def _c(self) -> Item:
        work = self._heads(("head-only",))
        return Item(
            "c",
            f"{_said(work)}, the head alone",
            (
                Entry("article", "article", (Part(work),)),
                Entry("sftbench", "sftbench", (Part(work),)),
            ),
            (Comparison("head", "sftbench", "article"),),
        )

    def _d(self) -> Item:
        one = self._heads(("head-only",))
        many = replace(one, rates=self._scale.rates, seeds=tuple(range(self._scale.head_seeds)))
        count = len(many.seeds) * len(many.rates)
        return Item(
            "d",
            f"{_said(one)}, the head alone: {len(many.seeds)} seeds x {len(many.rates)} learning "
            "rates, and one",
            (
                Entry("one", "sftbench", (Part(one),)),
                Entry(f"{count} heads", "sftbench", (Part(many),)),
            ),
            (Comparison("many", f"{count} heads", "one", "time"),),
        )

    def _f(self) -> Item:
        work = self._work("full", self._scale.grid_images, 2, _GRID)
        return self._grid("f", "grid", replace(work, epochs=2))

    def _g(self) -> Item:
        return self._grid("g", "frozen-grid", self._heads(_FROZEN))

    def _grid(self, key: str, row: str, work: Work) -> Item:
        """Return a grid in sftbench, beside the article's script once for each of its cells."""
        seeds = tuple(range(self._scale.grid_seeds))
        grid = replace(work, seeds=seeds, variants=_VARIANTS)
        kinds = [
            "frozen" if work.kind == "frozen" else _KIND_OF.get(strategy, "full")
            for strategy in work.strategies
        ]
        parts = tuple(
            Part(
                replace(work, kind=kind, variant=variant, strategies=("full",)),
                kinds.count(kind) * len(seeds),
            )
            for kind in dict.fromkeys(kinds)
            for variant in _VARIANTS
        )
        cells = len(work.strategies) * len(seeds) * len(_VARIANTS)
        title = (
            f"{_said(work)}: {len(work.strategies)} strategies x {len(seeds)} seeds x "
            f"{len(_VARIANTS)} variants = {cells} cells; article: {len(parts)} kinds, each counted "
            "as often as it occurs"
        )
        return Item(
            key,
            title,
            (Entry("article", "article", parts), Entry("sftbench", "sftbench", (Part(grid),))),
            (Comparison(row, "sftbench", "article"),),
        )

    def _heads(self, strategies: tuple[str, ...]) -> Work:
        return self._work("frozen", self._scale.images, self._scale.head_epochs, strategies)

    def _work(self, kind: Kind, num_images: int, epochs: int, strategies: tuple[str, ...]) -> Work:
        return Work(
            kind=kind,
            backbone=SMALL,
            weights="pretrained",
            start=str(self._scratch / f"{SMALL}.safetensors"),
            folder=str(make_folder(self._scratch, num_images)),
            num_images=num_images,
            image_size=96,
            batch_size=64,
            epochs=epochs,
            device=self._device,
            precision=self._precision,
            strategies=strategies,
        )


def _said(work: Work) -> str:
    return (
        f"{work.backbone} at {work.image_size} px, batch {work.batch_size}, {work.num_images:,} "
        f"CIFAR-10 images x {work.epochs:g}"
    )
