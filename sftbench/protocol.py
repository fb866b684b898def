"""What every cell of a plan shares: budget, batch, rates, schedule, precision, selection.

A protocol is part of the request of every cell, hence of its id: changing a value makes new cells.
"""

from typing import Any, Literal

from pydantic import (
    BaseModel,
    Field,
    field_validator,
    model_validator,
)

from sftbench.errors import RequestError, about
from sftbench.measures import checked
from sftbench.names import unknown_name
from sftbench.options import Listed, Options, later_field, validate

Schedule = Literal["constant", "step", "linear", "poly", "tanh", "cosine", "one-cycle", "slanted"]
Precision = Literal["default", "auto", "fp32", "tf32", "bf16"]
_MOST_EXAMPLES = 2**53
Augment = Literal["none", "flip", "crop", "resized-crop", "trivial"]


class Rates(Options):
    """Peak learning rates by what is trained.

    `head_alone`: a head in front of a frozen backbone. `head` and `backbone`: both train and the
    backbone is pretrained. `scratch`: everything, where the backbone starts from random weights.
    """

    head_alone: float = Field(1e-2, gt=0)
    head: float = Field(3e-3, gt=0)
    backbone: float = Field(1e-3, gt=0)
    scratch: float = Field(3e-3, gt=0)


class Protocol(Options):
    """The settings of training and evaluation that every strategy of a plan shares.

    Units: `epochs` counts passes over the variant's training examples, `image_size` pixels,
    `warmup` a share of a stage's steps, `clip_norm` the L2 norm of all gradients.
    `augment` is the random view of training images, `erasing` the probability of one to lose a box,
    `mixup` and `cutmix` the alpha of the Beta distribution that shares are drawn from (0: none).
    `step_at` are the shares of the steps after the warm-up at which schedule `step` multiplies the
    rate by `step_factor`.
    `tune` holds values that each strategy tries, by key (`sftbench.search`); validation chooses.
    `evaluate` names what is measured of the selected weights besides metrics: `ood:NAME`,
    `corruptions`, `drift`, `forgetting`, `attribution` (`sftbench.measures`), sorted.
    `skip_unreadable` leaves out images that cannot be read, and counts them.
    `precision` is `default` (bf16 on CUDA, fp32 elsewhere), `auto` (the fastest by a measurement
    here whose losses stay near those of fp32), or named; `tf32` is fp32 whose products CUDA rounds.
    `default` and `auto` are resolved when the plan is made, so a cell's protocol holds none.
    """

    name: str = "default"
    epochs: float = Field(3, gt=0, le=10_000)
    batch_size: int = Field(32, ge=2, le=65_536)
    image_size: int | Literal["auto"] = "auto"
    validation_fraction: float = Field(0.1, ge=0, lt=1)
    limit_train: int | Literal["auto"] | None = "auto"
    limit_test: int | Literal["auto"] | None = "auto"
    optimizer: str = "adamw"
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.01, ge=0)
    decay_all: bool = False
    rates: Rates = Rates()
    schedule: Schedule = "one-cycle"
    warmup: float = Field(0.2, ge=0, lt=1)
    step_at: Listed[float] = later_field((0.5, 0.75))
    step_factor: float = later_field(0.1, gt=0, le=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    clip_norm: float | None = Field(None, gt=0)
    augment: Augment = "flip"
    erasing: float = later_field(0.0, ge=0, le=1)
    mixup: float = later_field(0.0, ge=0, le=100)
    cutmix: float = later_field(0.0, ge=0, le=100)
    selection: Literal["validation", "last"] = "validation"
    precision: Precision = "default"
    skip_unreadable: bool = later_field(default=False)
    tune: dict[str, Listed[float]] = later_field({})
    evaluate: Listed[str] = later_field(())

    @field_validator("image_size")
    @classmethod
    def _image_size(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 8 <= value <= 4096:
            raise ValueError("must be 8 to 4096 pixels, or auto")
        return value

    @field_validator("step_at")
    @classmethod
    def _step_at(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)) or not all(0 < share < 1 for share in value):
            raise ValueError("must be rising shares above 0 and below 1")
        return value

    @field_validator("evaluate", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """Let a plan file say `evaluate = "drift"` for a list of one."""
        return (value,) if isinstance(value, str) else value

    @field_validator("evaluate")
    @classmethod
    def _measures(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return checked(value)

    @field_validator("limit_train", "limit_test")
    @classmethod
    def _limit(cls, value: int | str | None) -> int | str | None:
        if isinstance(value, int) and value < 1:
            raise ValueError("must be at least 1")
        if isinstance(value, int) and value > _MOST_EXAMPLES:
            raise ValueError(f"must be at most {_MOST_EXAMPLES}")
        return value

    @model_validator(mode="after")
    def _selection_needs_validation(self) -> "Protocol":
        if self.tune and self.validation_fraction == 0:
            raise ValueError("tuning needs validation_fraction above 0")
        if self.selection == "validation" and self.validation_fraction == 0:
            raise ValueError("selection by validation needs validation_fraction above 0")
        return self


PROTOCOLS: dict[str, Protocol] = {
    "default": Protocol(),
    # The first of two stages: a source data set whole, from random weights.
    "pretrain": Protocol(name="pretrain", epochs=10, limit_train=None, limit_test=None),
    # The recipe of the source article: ResNet-50 from ImageNet to CIFAR-10, last epoch, no
    # validation split. timm's name for SGD with plain (not Nesterov) momentum is `momentum`.
    "article": Protocol(
        name="article",
        epochs=10,
        batch_size=128,
        image_size=224,
        validation_fraction=0.0,
        limit_train=None,
        limit_test=None,
        optimizer="momentum",
        momentum=0.9,
        weight_decay=0.0,
        rates=Rates(head_alone=1e-3, head=1e-3, backbone=1e-3, scratch=1e-3),
        schedule="constant",
        warmup=0.0,
        augment="none",
        selection="last",
        precision="fp32",
    ),
}


def named_protocol(name: str, changes: dict[str, Any] | None = None) -> Protocol:
    """Return the protocol `name` with `changes` laid over it.

    Raises:
        RequestError: Unknown name, unknown key, or a value that is not allowed.
    """
    if name not in PROTOCOLS:
        with about("protocol"):
            raise RequestError(unknown_name("protocol", name, PROTOCOLS))
    if not changes:
        return PROTOCOLS[name]
    values = PROTOCOLS[name].model_dump()
    rates = changes.get("rates")
    values.update(changes)
    if isinstance(rates, dict):
        values["rates"] = PROTOCOLS[name].rates.model_dump() | rates
    with about("changes"):
        return validate(Protocol, values, f"protocol {name!r}")


def differences(protocol: BaseModel, base: BaseModel) -> dict[str, Any]:
    """Return the fields of `protocol` whose values differ from those of `base`."""
    values, ground = protocol.model_dump(), base.model_dump()
    return {key: value for key, value in values.items() if value != ground.get(key)}
