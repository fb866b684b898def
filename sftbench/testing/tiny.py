"""A tiny network, tiny images, and a cell of both that runs in a second on a CPU."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn

from sftbench.api import (
    Backbone,
    BackboneInfo,
    BlockBackbone,
    Component,
    Dataset,
    DatasetInfo,
    Examples,
    Job,
    Kind,
    PretrainedWeights,
    Record,
    RequestError,
    Split,
)
from sftbench.catalog import BUILTIN, KINDS, Catalog, Offer, PluginInfo
from sftbench.cell import Kept, run_cell_safely
from sftbench.discovery import GROUP, build_catalog
from sftbench.models.freezing import state_digest
from sftbench.planning import make_plan
from sftbench.request import Request
from sftbench.warm import Warm

_PIXELS = 12
_WIDTHS = (3, 8, 12, 16)


class TinyBackbone(Backbone):
    """Three blocks of convolution, batch norm and ReLU; 16 features; 3,000 parameters."""

    name = "tiny-convnet"
    summary = "three small blocks, for tests"

    def info(self) -> BackboneInfo:
        """Return 12 pixels, and mean and deviation 0.5."""
        return BackboneInfo(image_size=_PIXELS, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    def build(self, image_size: int) -> nn.Module:
        """Build the network."""
        blocks = [
            nn.Sequential(
                nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            )
            for before, after in itertools.pairwise(_WIDTHS)
        ]
        model = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return BlockBackbone(model, torch.zeros(2, 3, image_size, image_size))

    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        """Return seeded weights with a head of five source classes, as if they were trained."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            state = self.build(_PIXELS).state_dict()
            head = nn.Linear(_WIDTHS[-1], 5).state_dict()
        return PretrainedWeights(
            state=state, head=head, digest=state_digest(state.items()), origin="seed 7"
        )


class TinyTransformer(TinyBackbone):
    """A vision transformer of two blocks with two heads of attention; 16 features."""

    name = "tiny-transformer"
    summary = "two blocks of attention, for tests"

    def build(self, image_size: int) -> nn.Module:
        """Build the network; patches are 4 pixels wide."""
        from timm.models.vision_transformer import VisionTransformer

        model = VisionTransformer(
            img_size=image_size,
            patch_size=4,
            embed_dim=_WIDTHS[-1],
            depth=2,
            num_heads=2,
            num_classes=0,
        )
        return BlockBackbone(model, torch.zeros(2, 3, image_size, image_size))

    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        """Return the weights that it was built with, as if they were trained."""
        state = network.state_dict()
        return PretrainedWeights(
            state=state, head=None, digest=state_digest(state.items()), origin="as built"
        )


class TinyImages(Dataset):
    """Four classes of coloured noise, 16 + 8 images of each, 12 pixels."""

    name = "tiny-images"
    summary = "four patterns with noise, for tests"

    def info(self) -> DatasetInfo:
        """Describe the images."""
        return DatasetInfo(
            name=self.reference,
            class_names=("a", "b", "c", "d"),
            num_train=64,
            num_test=32,
            image_size=_PIXELS,
            licence="CC0-1.0",
        )

    def load(self, split: Split, image_size: int) -> Examples:
        """Return images uint8 [N, 12, 12, 3]: half pattern of the class, half noise."""
        size, seed = (64, 1) if split == "train" else (32, 2)
        shape = (_PIXELS, _PIXELS, 3)
        patterns = np.random.default_rng(0).integers(0, 256, (4, *shape))
        generator = np.random.default_rng(seed)
        targets = generator.permutation(np.arange(size, dtype=np.int64) % 4)
        noise = generator.integers(0, 256, (size, *shape))
        return Examples(((patterns[targets] + noise) // 2).astype(np.uint8), targets)


def kind_of(component: type[Component]) -> Kind:
    """Return the kind of a component's class.

    Raises:
        RequestError: It has none.
    """
    for kind, base in KINDS.items():
        if issubclass(component, base):
            return kind
    raise RequestError(f"{component.__name__} is a subclass of none of sftbench.api's eight kinds")


def tiny_catalog(*components: type[Component], base: Catalog | None = None) -> Catalog:
    """Return a catalog of `base`, the tiny components, and `components` in place of their names.

    Args:
        components: Classes. They replace whatever has their names.
        base: The built-ins, where it is None.
    """
    if base is None:
        base = build_catalog([EntryPoint(BUILTIN, "sftbench.builtin", GROUP)], chosen="")
    offered: dict[type[Component], None] = dict.fromkeys((TinyBackbone, TinyImages, *components))
    plugin = PluginInfo("tiny", "", "", components=len(offered))
    offers = dict(base.offers)
    for cls in offered:
        kind = kind_of(cls)
        parameter = cls.argument.upper() if cls.argument else None
        offers[kind, cls.name] = (Offer(kind, cls.name, cls.summary, parameter, plugin, cls),)
    return replace(base, offers=MappingProxyType(offers), plugins=(*base.plugins, plugin))


def reference_of(component: type[Component]) -> str:
    """Return the name to ask for: `longtail:10` where the class has an example."""
    return component.name if component.example is None else f"{component.name}:{component.example}"


def run_tiny(
    *components: type[Component],
    base: Catalog | None = None,
    settings: Mapping[str, Any] | None = None,
    variant: str = "balanced",
    **changes: Any,
) -> tuple[Record, Kept | None]:
    """Run one cell on the CPU, deterministically, and return its record and predictions.

    The cell is `full` on tiny images with the tiny network for one epoch, but for what is given.

    Args:
        components: Classes of any kinds, each in the place of its kind.
        base: Where further components are looked up; None: the built-ins.
        settings: Options of the strategy.
        variant: Reference of the variant, where none is among the components.
        changes: Fields of the protocol: `epochs=3`.

    Raises:
        RequestError: The cell cannot be planned, or its strategy does not support it.
    """
    catalog = tiny_catalog(*components, base=base)
    names = {kind_of(cls): reference_of(cls) for cls in components}
    strategy = names.get("strategy", "full")
    protocol = {
        "epochs": 1,
        "batch_size": 16,
        "validation_fraction": 0.25,
        "image_size": 32 if "backbone" in names else _PIXELS,
    }
    request = Request(
        backbone=(names.get("backbone", TinyBackbone.name),),
        dataset=(names.get("dataset", TinyImages.name),),
        variant=(names.get("variant", variant),),
        strategy=(strategy,),
        seeds=(0,),
        changes=protocol | changes,
        settings={strategy.partition(":")[0]: dict(settings or {})},
        baseline=strategy,
    )
    plan = make_plan(request, catalog, "fp32")
    for skip in plan.skipped:
        raise RequestError(f"{skip.cell.title} is skipped: {skip.reason}")
    with tiny_process():
        # Nothing is written: the executor writes records, and there is none here, nor features.
        warm = Warm(Job(out=Path("unused"), deterministic=True), catalog=catalog, disk=False)
        return run_cell_safely(plan.cells[0], warm, lambda *_: None)


@contextmanager
def tiny_process() -> Iterator[None]:
    """Run what is inside on one thread, the fastest for so little, and put the choices back."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    # A worker flushes denormal numbers to zero; torch does not say whether it did so before.
    flushes = sys.float_info.min / 2 == 0.0
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
        torch.set_flush_denormal(flushes)
