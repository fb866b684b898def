"""Where the images of a split are while they are trained on: on the device, or streamed to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from sftbench.contracts.execution import Placement

HOST_BYTES = 2 << 30
"""What `auto` keeps of a split where the device is the processor, in bytes."""
DEVICE_SHARE = 0.4
"""What `auto` takes of an accelerator's free memory for a split."""

Place = Literal["device", "stream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What it takes to have the images of a split at hand.

    Attributes:
        rows: Images that will be asked for, as far as is known.
        kept_bytes: For each of them, what has to be kept on the device.
        read_bytes: For each of them, what is read from a file that may not stay in memory.
    """

    rows: int
    kept_bytes: int
    read_bytes: int


def choose(placement: Placement, need: Need, device: torch.device) -> tuple[Place, int]:
    """Say where the images are, and how many of them may be kept at most.

    Args:
        placement: What was asked for.
        need: Of the split.
        device: Where the cell runs.

    Raises:
        MemoryError: They were to be on the device, and do not fit.
    """
    if placement == "stream":
        return "stream", 0
    free = free_bytes(device)
    if placement == "device":
        wanted = need.rows * need.kept_bytes
        if wanted > free:
            raise MemoryError(
                f"the images take {wanted / (1 << 30):.1f} GiB, and {device} has "
                f"{free / (1 << 30):.1f} GiB free; use --placement auto or stream"
            )
        return "device", free // max(1, need.kept_bytes)
    limit = HOST_BYTES if device.type == "cpu" else int(DEVICE_SHARE * free)
    if need.rows * (need.kept_bytes + need.read_bytes) > limit:
        return "stream", 0
    return "device", limit // max(1, need.kept_bytes)


def free_bytes(device: torch.device) -> int:
    """Return the memory of the device that nobody uses."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)
