"""What a frozen prefix gives for each image, computed once for every cell that shares it."""

from __future__ import annotations

import functools
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import torch
from torch import Tensor

from sftbench.data.row_files import RowForm
from sftbench.engine.feature_disk import FeatureDisk, Kept
from sftbench.engine.feature_rows import FeatureRows
from sftbench.engine.runtime import autocast
from sftbench.engine.splits import SplitData
from sftbench.models.folding import folding
from sftbench.models.freezing import in_eval
from sftbench.models.model import Model
from sftbench.plan import canonical
from sftbench.protocol import Precision

_LAYOUT_VERSION: Final = 2  # raised where the same key would mean other numbers
_LIMIT_BYTES: Final = 2 << 30
# Numbers in one call's inputs, and calls' rows at most. On a CPU the maps of a batch should stay
# in its caches: 64 images of 64 px, 32 of 96 px, 8 of 224 px ran up to 1.8 times as fast as 128.
_CALL: Final = {"cpu": (8 * 3 * 224 * 224, 128), "cuda": (128 * 3 * 224 * 224, 512)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """The first blocks of a network, over one split.

    Attributes:
        model: Its first k blocks stay as they are while the rows are used.
        split: The official split; images are seen plain, one view.
        k: 1 to num_blocks.
        precision: Of the passes.
        digest: SHA-256 of the blocks' tensors.
        structure: What the network is besides its tensors: its name, and who changed it.
        title: For people, where its rows are kept on the disk; empty: they are not.
        count: Is told how many images ran through it.
    """

    model: Model
    split: SplitData
    k: int
    precision: Precision
    digest: str
    structure: str = ""
    title: str = ""
    count: Callable[[int], None] = lambda _num: None


class FeatureStore:
    """Outputs of frozen prefixes over official splits: in memory, and those to be shared on disk.

    The key is the SHA-256 of the prefix's tensors, the number of blocks, the split with its
    preprocessing, the precision, the kind of device and the structure: a changed weight, block,
    size, precision or adaptation never hits. In memory the least recently used go first.

    Args:
        limit_bytes: Of all rows in memory together.
        exactly: Where the bits must not depend on who filled the disk: what they depend on.
        disk: Whether rows are kept on the disk and found there.
    """

    def __init__(
        self, limit_bytes: int = _LIMIT_BYTES, *, exactly: str = "", disk: bool = True
    ) -> None:
        self._limit = limit_bytes
        self._exactly = exactly
        self._disk = FeatureDisk() if disk else None
        self._rows: OrderedDict[str, FeatureRows] = OrderedDict()
        self._forms: dict[tuple[object, ...], tuple[str, tuple[int, ...]]] = {}

    def rows(self, prefix: Prefix, wanted: Tensor | None = None) -> FeatureRows | None:
        """Return the outputs of a prefix.

        Args:
            prefix: Which.
            wanted: Indices int64 [n] (CPU) that are brought now, in full batches; None: all may
                be asked for, and are computed then.

        Returns:
            None where they would not fit.
        """
        device = next(prefix.model.backbone.parameters()).device
        key = self._key(prefix, device)
        kept = Kept(key, prefix.title) if prefix.title else None
        rows = self._rows.get(key)
        if rows is None:
            disk = None if kept is None else self._disk
            form = None
            if disk is not None and kept is not None:
                form = disk.form(kept, len(prefix.split.source))
            first = _first_inputs(prefix)
            if form is None:
                form = self._form(prefix, first, device)
            batch = batch_size(first, device)
            rows = FeatureRows(form, device, batch, disk=disk, kept=kept)
        num = len(prefix.split.source) if wanted is None else rows.num_with(wanted)
        if wanted is not None and num * rows.form.row_bytes > self._limit:
            # What earlier cells asked for must not decide how this one runs.
            rows, num = rows.emptied(), len(torch.unique(wanted))
        if num * rows.form.row_bytes > self._limit:
            return None
        self._rows[key] = rows
        self._rows.move_to_end(key)
        self._evict(num * rows.form.row_bytes, keep=key)
        rows.session = lambda: passes(prefix, device)
        if wanted is not None:
            rows.bring(wanted)
        return rows

    def release(self) -> None:
        """Let go of the models that would compute further rows; computed rows stay."""
        for rows in self._rows.values():
            rows.session = None

    def _key(self, prefix: Prefix, device: torch.device) -> str:
        parts = (
            _LAYOUT_VERSION,
            prefix.digest,
            prefix.structure,
            prefix.k,
            prefix.split.key,
            prefix.precision,
            device.type,
            self._exactly,
            _libraries(),
        )
        return hashlib.sha256(canonical(parts).encode()).hexdigest()[:20]

    def _form(self, prefix: Prefix, first: Tensor, device: torch.device) -> RowForm:
        """Return type and shape of the rows; they do not depend on the weights."""
        blank = torch.zeros_like(first)
        known = (prefix.structure, prefix.k, prefix.precision, blank.shape)
        if known not in self._forms:
            with _frozen(prefix, device):
                row = prefix.model.network.forward_to(blank, prefix.k)[0]
            self._forms[known] = str(row.dtype).removeprefix("torch."), tuple(row.shape)
        dtype, shape = self._forms[known]
        num = len(prefix.split.source)
        return RowForm.model_validate({"dtype": dtype, "shape": shape, "num_rows": num})

    def _evict(self, needed: int, keep: str) -> None:
        others = [key for key in self._rows if key != keep]
        while others and needed + sum(self._rows[key].nbytes for key in others) > self._limit:
            del self._rows[others.pop(0)]


def _first_inputs(prefix: Prefix) -> Tensor:
    """Return the inputs [1, ...] of the first example of a split."""
    index = torch.zeros(1, dtype=torch.int64)
    inputs: Tensor = prefix.split.source.inputs(index, "plain", None)
    return inputs


@functools.cache
def _libraries() -> tuple[str, ...]:
    """Name the libraries whose code computes the rows: another version may compute others."""
    return tuple(f"{name} {version(name)}" for name in ("torch", "torchvision", "timm"))


def batch_size(inputs: Tensor, device: torch.device) -> int:
    """Return how many rows run through a prefix at once, always: kernels go by the shape.

    Args:
        inputs: Of one row, [1, ...].
        device: Where.
    """
    numbers, most = _CALL.get(device.type, _CALL["cpu"])
    fitting = max(1, numbers // inputs.numel())
    return min(most, 1 << (fitting.bit_length() - 1))


@contextmanager
def passes(prefix: Prefix, device: torch.device) -> Iterator[Callable[[Tensor, int], Tensor]]:
    """Give a function that runs a prefix on plain views.

    It maps indices int64 [B] (CPU), of which the first `num` count, to rows [num, ...].
    """
    network, source = prefix.model.network, prefix.split.source
    folded: AbstractContextManager[object] | None = None

    def run(indices: Tensor, num: int) -> Tensor:
        nonlocal folded
        inputs = source.inputs(indices, "plain", None)
        if folded is None:
            folded = folding(lambda: network.forward_to(inputs[:1], prefix.k))
        prefix.count(num)
        with folded:
            rows = network.forward_to(inputs, prefix.k)
        return rows[:num]

    with _frozen(prefix, device):
        yield run


@contextmanager
def _frozen(prefix: Prefix, device: torch.device) -> Iterator[None]:
    """Run what is inside in eval mode, without gradients, in the precision of the prefix."""
    backbone = prefix.model.backbone
    frozen = [p for p in backbone.parameters() if not p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad = True  # torch keeps the bfloat16 copies of such alone
    try:
        # Not `inference_mode`: its tensors could not take part in autograd later.
        with torch.no_grad(), in_eval(backbone), autocast(device, prefix.precision):
            yield
    finally:
        for parameter in frozen:
            parameter.requires_grad = False
