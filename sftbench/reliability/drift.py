"""Feature drift: how far the outputs of each block moved from what the cell started with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sftbench.contracts.backbone import Network
from sftbench.engine.runtime import autocast
from sftbench.measures import DRIFT
from sftbench.models.blocks import BlockBackbone
from sftbench.models.freezing import in_eval
from sftbench.reliability.subject import Found, Subject

MOST_EXAMPLES: Final = 512
_BATCH: Final = 64
_SIDE: Final = 8  # larger maps are averaged down to so many positions a side


def measure(subject: Subject, _name: str, found: Found) -> None:
    """Compare the backbone before and after on validation images, or test images without any.

    Blocks go by name: a strategy that drops or adds some is compared in those that both have.
    """
    ws = subject.ws
    has_val = len(ws.data.val_indices) > 0
    split = ws.data.train if has_val else ws.data.test
    chosen = ws.data.val_indices if has_val else ws.data.test_indices
    chosen = chosen[:MOST_EXAMPLES]
    before, after = subject.started_from(), subject.model.backbone

    def inputs() -> Iterator[Tensor]:
        for start in range(0, len(chosen), _BATCH):
            some = torch.from_numpy(chosen[start : start + _BATCH])
            yield cast(Tensor, split.source.inputs(some, "plain", None))

    with torch.no_grad(), autocast(ws.device, ws.protocol.precision):
        first, second = (grams(network, inputs()) for network in (before, after))
    names = [name for name in second if name in first]
    if not names:
        found.missing(DRIFT, "the tuned network has no block in common with the one it began as")
        return
    values: dict[str, float | None] = {
        f"cka_{name}": aligned(first[name], second[name]) for name in names
    }
    known = [value for value in values.values() if value is not None]
    values["cka_mean"] = float(np.mean(known)) if known else None
    found.values[DRIFT] = values


def linear_cka(first: NDArray[np.floating], second: NDArray[np.floating]) -> float | None:
    """Return the linear CKA of two sets of features of the same examples, in [0, 1].

    Args:
        first: float [N, P].
        second: float [N, Q].

    Returns:
        None where one of them is the same for every example.

    Source: Kornblith et al. 2019, arXiv:1905.00414, section 3, equation 3 with linear kernels.
    """
    return aligned(*(_centred(features @ features.T) for features in (first, second)))


def aligned(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """Return the cosine of two centred Gram matrices [N, N]; None where one is zero."""
    sizes = float(np.linalg.norm(first)) * float(np.linalg.norm(second))
    # Rounding may lift the cosine of equals above 1.
    return min(1.0, float((first * second).sum() / sizes)) if sizes > 0 else None


def grams(network: nn.Module, batches: Iterator[Tensor]) -> dict[str, NDArray[np.float64]]:
    """Return the centred Gram matrix float64 [N, N] of every block's outputs, by its name.

    Args:
        network: A `Network`.
        batches: Inputs [B, ...].
    """
    kept: dict[str, list[Tensor]] = {}
    with in_eval(network):
        for x in batches:
            for name, h in block_outputs(network, x):
                kept.setdefault(name, []).append(_rows(h).cpu())
    found = {}
    for name, parts in kept.items():
        rows = torch.cat(parts).numpy().astype(np.float64)
        rows -= rows.mean(axis=0)  # before the product, where a large mean would cost digits
        found[name] = rows @ rows.T
    return found


def block_outputs(network: nn.Module, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield name and output of each block; the last one's are the features."""
    named = cast(Network, network)
    h = x
    for k, name in enumerate(named.block_names, start=1):
        if isinstance(network, BlockBackbone):
            h = network.between(h, k - 1, k)
        else:
            h = named.forward_to(x, k)
        yield name, h


def _rows(h: Tensor) -> Tensor:
    """Return float32 [B, P] of a block's outputs: maps beyond 8 x 8 positions averaged to that."""
    if h.ndim == 4 and h.shape[2] == h.shape[3] and h.shape[2] > _SIDE:
        h = F.adaptive_avg_pool2d(h.float(), _SIDE)
    return h.float().flatten(1)


def _centred(gram: NDArray[np.floating]) -> NDArray[np.float64]:
    gram = gram.astype(np.float64)
    over = gram.mean(axis=0, keepdims=True)
    return np.asarray(gram - over - over.T + gram.mean())
