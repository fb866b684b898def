"""What a worker keeps between cells: catalog, networks, weights, data and features."""

from __future__ import annotations

import contextlib
import gc
from collections import OrderedDict
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from sftbench.catalog import Catalog
from sftbench.contracts.backbone import Backbone
from sftbench.contracts.dataset import Dataset, Split
from sftbench.contracts.execution import Job
from sftbench.contracts.task import BatchContext, Task
from sftbench.data.fingerprints import fingerprint
from sftbench.data.loading import load_split
from sftbench.discovery import build_catalog
from sftbench.engine.features import FeatureStore
from sftbench.engine.runtime import prepare_process
from sftbench.engine.splits import SplitData
from sftbench.models.prefixes import Original
from sftbench.models.starting import StartWeights, load_start
from sftbench.protocol import Protocol
from sftbench.provenance import hardware
from sftbench.seeding import derive
from sftbench.weights import parse_weights

_KEEP_NETWORKS = 4
_KEEP_SPLITS = 6


class Warm:
    """The memory of one worker process.

    Args:
        job: How cells run here.
        threads: CPU threads of this worker; None leaves torch's choice.
        catalog: In place of the installed plugins.
        disk: Whether frozen features are kept on the disk and found there.
    """

    def __init__(
        self,
        job: Job,
        *,
        threads: int | None = None,
        catalog: Catalog | None = None,
        disk: bool = True,
    ) -> None:
        prepare_process(job.device, threads=threads, deterministic=job.deterministic)
        self.job = job
        self.device = torch.device(job.device)
        self.features = FeatureStore(exactly=_circumstances(job), disk=disk)
        self._catalog = catalog
        self._networks: OrderedDict[tuple[str, str, int], tuple[Original, StartWeights]] = (
            OrderedDict()
        )
        self._splits: OrderedDict[tuple[object, ...], SplitData] = OrderedDict()

    @cached_property
    def catalog(self) -> Catalog:
        """The components of this process."""
        return self._catalog or build_catalog(chosen=self.job.plugins)

    def network(
        self, backbone: Backbone, weights: str, image_size: int, seed: int
    ) -> tuple[nn.Module, StartWeights, Original | None]:
        """Return a network of its own for one cell, and what it is a copy of.

        Args:
            backbone: Builds it.
            weights: `none` (random under `seed`), or what is read once and then copied.
            image_size: Pixels.
            seed: Seed index of the cell.
        """
        reference = parse_weights(weights)
        if reference.kind == "none":
            return _build(backbone, image_size, seed), StartWeights("none"), None
        key = (backbone.reference, weights, image_size)
        if key not in self._networks:
            network = _build(backbone, image_size, 0)
            start = load_start(weights, reference, backbone, network, self.catalog)
            self._networks[key] = (Original(network), start)
            _trim(self._networks, _KEEP_NETWORKS)
        self._networks.move_to_end(key)
        original, start = self._networks[key]
        return original.copy(), start, original

    def split(
        self,
        dataset: Dataset,
        name: Split,
        task: Task,
        backbone: Backbone,
        protocol: Protocol,
        *,
        channels_last: bool,
    ) -> SplitData:
        """Return one official split on the device, decoded once."""
        size = int(protocol.image_size)
        info, seen = dataset.info(), backbone.info()
        look: tuple[object, ...] = (seen.mean, seen.std, seen.interpolation)
        if seen.preprocessing:  # what had none keeps its key
            look = (*look, seen.preprocessing)
        changed = (protocol.augment, protocol.erasing)
        skip = protocol.skip_unreadable
        key = (dataset.reference, name, task.reference, size, look, changed, channels_last, skip)
        if key not in self._splits:
            examples = load_split(dataset, name, size, skip_unreadable=skip)
            ctx = BatchContext(
                device=self.device,
                image_size=size,
                backbone=seen,
                augment=protocol.augment,
                horizontal_flip=info.horizontal_flip,
                channels_last=channels_last,
                erasing=protocol.erasing,
                placement=self.job.placement,
                limit=_number(protocol.limit_train if name == "train" else protocol.limit_test),
                component=backbone,
            )
            preprocessing = (size, *look)
            try:
                source = task.batches(examples, ctx)
            except MemoryError:
                # What earlier cells left must not decide how this one ends.
                self.forget_splits()
                source = task.batches(examples, ctx)
            self._splits[key] = SplitData(
                key=f"{fingerprint(examples)}:{name}:{preprocessing}",
                source=source,
                targets=np.asarray(examples.targets, dtype=np.int64),
                groups=examples.groups,
                num_unreadable=len(examples.unreadable),
                counts=examples.class_counts,
                has_truth=examples.truth is not None,
            )
            _trim(self._splits, _KEEP_SPLITS)
        self._splits.move_to_end(key)
        return self._splits[key]

    def release(self) -> None:
        """Let go of a finished cell's memory; also after it ran out of memory."""
        self.features.release()
        if self.device.type == "cuda":
            with contextlib.suppress(RuntimeError):  # see `is_usable`
                torch.cuda.empty_cache()

    def forget_splits(self) -> None:
        """Let go of every split; the cell that runs keeps its own."""
        self._splits.clear()
        gc.collect()  # a source and what it computes with know each other
        self.release()

    def close(self) -> None:
        """End whoever reads ahead for this process; called after its last cell."""
        for split in self._splits.values():
            split.announce(())

    @property
    def is_usable(self) -> bool:
        """Whether a further cell can run here: after some errors a CUDA device never answers."""
        if self.device.type == "cuda":
            try:
                torch.cuda.synchronize(self.device)
            except RuntimeError:
                return False
        return True


def _circumstances(job: Job) -> str:
    """Name what bits depend on besides the cell, where they are promised to be the same."""
    if not job.deterministic:
        return ""
    machine = {key: value for key, value in hardware(job.device).items() if key != "device"}
    ways = (torch.__version__, torch.get_num_threads(), job.memory_format, job.placement)
    return f"{ways} {sorted(machine.items())}"


def _build(backbone: Backbone, image_size: int, seed: int) -> nn.Module:
    """Build a network with random weights that depend on backbone and seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive("backbone-init", seed, backbone.reference))
        return backbone.build(image_size)


def _number(limit: int | str | None) -> int | None:
    """Return a limit of a cell's protocol, which holds no `auto`."""
    return None if limit is None else int(limit)


def _trim(kept: OrderedDict[Any, Any], limit: int) -> None:
    while len(kept) > limit:
        kept.popitem(last=False)
