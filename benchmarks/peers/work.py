"""What is to be trained, and what came of it: plain data that passes between processes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

Kind = Literal["full", "frozen", "lp-ft"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One training, the same for everybody: images, weights, steps.

    Attributes:
        kind: `full`: every parameter, with padded crop and flip. `frozen`: the head alone, on plain
            images. `lp-ft`: half of the epochs frozen, half full.
        backbone: timm's name.
        weights: `pretrained` or `none`.
        start: File of the starting weights, backbone and head (see `starting`).
        folder: Images and labels (see `images`).
        num_images: Images of the training split.
        limit: Use this many of them; None: all. For warming up and trials.
        image_size: Pixels.
        batch_size: Images a step.
        epochs: Passes over the images.
        variant: The variant whose images are used, under seed 0.
        device: `cpu` or `cuda`.
        num_workers: Worker processes of the data loader, for those who have one.
        precision: Of sftbench and of its bare step; the others run in fp32.
        strategies: Of sftbench's grid.
        seeds: Of sftbench's grid.
        variants: Of sftbench's grid.
        rates: Learning rates of sftbench's grid.
    """

    kind: Kind
    backbone: str
    weights: str
    start: str
    folder: str
    num_images: int
    image_size: int
    batch_size: int
    epochs: float
    device: str
    strategies: tuple[str, ...]
    limit: int | None = None
    variant: str = "balanced"
    num_workers: int = 0
    precision: str = "fp32"
    seeds: tuple[int, ...] = (0,)
    variants: tuple[str, ...] = ("balanced",)
    rates: tuple[float, ...] = (1e-3,)

    def short(self, batches: int) -> Work:
        """Return one epoch of a few batches of this work, one cell of a grid."""
        return replace(
            self,
            limit=min(self.num_images, batches * self.batch_size),
            epochs=1 if self.kind != "lp-ft" else 2,
            variant="balanced",
            strategies=self.strategies[:1],
            seeds=self.seeds[:1],
            variants=("balanced",),
            rates=self.rates[:1],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One training as it was: the clock, and the signs that the work was done.

    Attributes:
        seconds: On the clock.
        images: Drawn for training.
        steps: Of the optimiser.
        first_loss: Of the first step.
        final_loss: Mean over the last epoch.
        backbone_moved: Whether any parameter of the backbone changed; None: not looked at.
        head_moved: The same of the head.
        notes: What else is worth keeping (threads, the engine's own clock).
    """

    seconds: float
    images: int
    steps: int
    first_loss: float
    final_loss: float
    backbone_moved: bool | None = None
    head_moved: bool | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    def problem(self, work: Work) -> str | None:
        """Say which sign of the work is missing, or None."""
        if not self.final_loss < float("inf"):
            return f"the final loss is {self.final_loss}"
        if self.steps < 1 or self.images < self.steps:
            return f"{self.steps} steps on {self.images} images"
        if self.head_moved is False:
            return "the head did not move"
        expected = work.kind != "frozen"
        if self.backbone_moved is not None and self.backbone_moved != expected:
            return f"the backbone {'moved' if self.backbone_moved else 'did not move'}"
        return None
