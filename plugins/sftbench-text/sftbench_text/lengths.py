"""Texts of differing length in one batch: trimmed, and run together with those of their length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from sftbench_text.batches import rounded

# Rows of one call. With few of them little is padded, and more are hardly faster on a CPU.
_ROWS: Final = {"cpu": 8, "cuda": 64}
_STEP: Final = 16  # lengths of calls


def trimmed(rows: Tensor, present: Tensor) -> Tensor:
    """Return rows [B, T, ...] without the places that no text reaches, a multiple of 8 wide.

    Args:
        rows: Tokens, or what blocks made of them.
        present: bool [B, T], where there are tokens; they stand at the beginning of a row.
    """
    if torch.compiler.is_compiling() or rows.shape[1] <= _STEP // 2:
        return rows  # a look at the data would break the graph; batches come trimmed to training
    longest = int(extents(present).max())
    return rows[:, : min(rows.shape[1], rounded(longest))]


def extents(present: Tensor) -> Tensor:
    """Return how far each text reaches, int64 [B]."""
    places = torch.arange(1, present.shape[1] + 1, device=present.device)
    return (present * places).amax(dim=1)


def by_length(rows: Tensor, present: Tensor, part: Callable[[Tensor], Tensor]) -> Tensor:
    """Run a part of a network on texts of similar length at a time; return its rows in order.

    Calls have a fixed number of rows, the last one repeated, and a width that the text's own length
    decides: kernels are chosen by shape, so a text's values do not depend on those beside it.

    Args:
        rows: [B, T, ...], zero or padding behind each text.
        present: bool [B, T], where there are tokens.
        part: Maps [R, t, ...] to [R, D] or [R, t, H]; the latter are filled up with zeros.
    """
    width = rows.shape[1]
    lengths = extents(present).cpu()
    widths = (-(-lengths // _STEP) * _STEP).clamp(max=width)
    size = _ROWS.get(rows.device.type, _ROWS["cpu"])
    made: Tensor | None = None
    for one in torch.unique(widths).tolist():
        places = torch.nonzero(widths == one).flatten()
        for chosen in torch.split(places, size):
            full = torch.cat([chosen, chosen[-1:].expand(size - len(chosen))]).to(rows.device)
            found = part(rows[full, :one].contiguous())[: len(chosen)]
            if made is None:
                shape = (width, *found.shape[2:]) if found.ndim == 3 else found.shape[1:]
                made = found.new_zeros((len(rows), *shape))
            place = full[: len(chosen)]
            if found.ndim == 3:
                made[place, :one] = found
            else:
                made[place] = found
    if made is None:
        raise ValueError("no text")
    return made
