"""What the contestants that train timm's model themselves have in common: the clock's frame."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from benchmarks.peers.starting import build, head_prefix, moved
from benchmarks.peers.work import Outcome, Work

RATE, MOMENTUM = 1e-3, 0.9  # of the article's script


@dataclass(slots=True)
class Log:
    """Losses as they come (on the device: nobody waits for them), and images."""

    losses: list[Tensor] = field(default_factory=list)
    images: int = 0

    def add(self, loss: Tensor, num_images: int) -> None:
        """Note one step."""
        self.losses.append(loss.detach())
        self.images += num_images


Fit = Callable[[nn.Module, Log], None]


def timed(work: Work, fit: Fit) -> Callable[[], Outcome]:
    """Return what copies the model, trains it by `fit`, and reads the clock.

    The clock runs from the copy of a model that is in memory to the end of the last step; loaders,
    optimisers and trainers are made inside of it.
    """
    source = build(work)
    prefix = head_prefix(source)
    before = {name: p.detach().clone() for name, p in source.named_parameters()}

    def run() -> Outcome:
        log = Log()
        synchronise(work.device)
        start = time.perf_counter()
        model = copy.deepcopy(source).to(work.device)
        fit(model, log)
        synchronise(work.device)
        seconds = time.perf_counter() - start
        backbone, head = moved(model, before, prefix)
        return outcome(work, log, seconds, backbone_moved=backbone, head_moved=head)

    return run


def outcome(
    work: Work, log: Log, seconds: float, *, backbone_moved: bool | None, head_moved: bool | None
) -> Outcome:
    """Return the outcome of a training whose steps were noted."""
    losses = torch.stack(log.losses).float().cpu()
    last = max(1, round(len(losses) / work.epochs))
    return Outcome(
        seconds=seconds,
        images=log.images,
        steps=len(losses),
        first_loss=float(losses[0]),
        final_loss=float(losses[-last:].mean()),
        backbone_moved=backbone_moved,
        head_moved=head_moved,
        notes={"threads": torch.get_num_threads(), "num_workers": work.num_workers},
    )


def freeze(model: nn.Module, *, frozen: bool) -> None:
    """Set `requires_grad` of the backbone, as a script does that trains the head alone."""
    prefix = head_prefix(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not frozen or name.startswith(prefix))


def stretches(work: Work) -> list[tuple[bool, int]]:
    """Return (frozen, epochs) of the stages of a work."""
    epochs = int(work.epochs)
    if work.kind == "lp-ft":
        return [(True, epochs // 2), (False, epochs - epochs // 2)]
    return [(work.kind == "frozen", epochs)]


def synchronise(device: str) -> None:
    """Wait for the device."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
