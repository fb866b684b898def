from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sftbench.api import RequestError, Stage, Step, StepOutput, Strategy, StrategyContext
from sftbench.builtin.strategies.full import Full
from sftbench.builtin.strategies.head_only import HeadOnly
from sftbench.data.augment.mix import Mix
from sftbench.engine import mixing
from sftbench.engine.mixing import Mixer
from sftbench.planning import make_plan
from sftbench.request import Request
from sftbench.testing import run_tiny
from sftbench.testing.tiny import tiny_catalog


@pytest.fixture
def mixes(monkeypatch: pytest.MonkeyPatch) -> list[Mix]:
    """Return a list of every mix of the cell that runs."""
    seen: list[Mix] = []
    whole = Mixer.__call__

    def spied(mixer: Mixer, inputs: torch.Tensor) -> tuple[torch.Tensor, Mix]:
        mixed, mix = whole(mixer, inputs)
        assert mixed.shape == inputs.shape
        assert not torch.equal(mixed, inputs) or mix.lam == 1.0
        seen.append(mix)
        return mixed, mix

    monkeypatch.setattr(mixing.Mixer, "__call__", spied)
    return seen


def ok(*components: type, **changes: Any) -> Any:
    record, kept = run_tiny(*components, **changes)
    assert record.status == "ok", record.error
    return record, kept


class Watched(Strategy):
    """Trains everything, and notes what its loss was given."""

    name = "watched"
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        def loss(output: StepOutput) -> torch.Tensor:
            self.seen.append((output.logits.detach(), output.targets))
            return output.task_loss(output.logits, output.targets)

        return [Stage(name="train", loss=loss)]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("changes", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_the_loss_is_cross_entropy_with_soft_targets(
    changes: dict[str, float], smoothing: float, mixes: list[Mix]
) -> None:
    Watched.seen.clear()
    record, _ = ok(Watched, label_smoothing=smoothing, **changes)
    assert len(mixes) == 3 == len(Watched.seen) / 2
    (logits, own), (again, partners) = Watched.seen[:2]
    assert logits is again or torch.equal(logits, again)
    mix = mixes[0]
    assert torch.equal(partners, own[mix.partner])
    hot = F.one_hot(own, 4).float()
    soft = mix.lam * hot + (1 - mix.lam) * hot[mix.partner]
    expected = F.cross_entropy(logits, soft, label_smoothing=smoothing)
    assert 0 < mix.lam < 1
    assert record.history[0].train_loss == pytest.approx(float(expected), rel=1e-5)


def test_the_tasks_own_loss_is_mixed_alike(mixes: list[Mix]) -> None:
    Watched.seen.clear()
    (watched, kept), (plain, other) = ok(Watched, mixup=0.4), ok(Full, mixup=0.4)
    assert [row.train_loss for row in watched.history] == [row.train_loss for row in plain.history]
    assert np.array_equal(kept["test", "last"].outputs, other["test", "last"].outputs)
    assert [mix.lam for mix in mixes[:3]] == [mix.lam for mix in mixes[3:]]
    unmixed, _ = ok(Full)
    assert len(mixes) == 6
    assert unmixed.history[-1].train_loss != plain.history[-1].train_loss


def test_several_passes_of_one_step_see_the_same_mixture(mixes: list[Mix]) -> None:
    losses: list[float] = []

    class Twice(Strategy):
        """Looks at the loss twice before it moves."""

        name = "twice"

        def stages(self, ctx: StrategyContext) -> list[Stage]:
            def update(step: Step) -> None:
                with step.frozen_statistics():
                    losses.extend([float(step.loss().detach()), float(step.loss().detach())])
                step.backward(step.loss())
                step.apply()

            return [Stage(name="train", update=update)]

    ok(Twice, mixup=0.4)
    assert losses[::2] == losses[1::2]
    assert len(mixes) == 3


def test_a_frozen_prefix_sees_plain_images(mixes: list[Mix]) -> None:
    changes = {"augment": "trivial", "erasing": 1.0, "mixup": 1.0, "cutmix": 1.0}
    (changed, kept), (plain, other) = ok(HeadOnly, **changes), ok(HeadOnly)
    assert mixes == []
    assert changed.stages[0].views == 1
    assert np.array_equal(kept["test", "last"].outputs, other["test", "last"].outputs)
    assert changed.cell_id != plain.cell_id


def test_of_both_one_is_chosen_for_each_batch() -> None:
    inputs = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 20, 20)
    mixer = Mixer(1.0, 1.0, torch.Generator().manual_seed(0))
    pasted = 0
    for _ in range(200):
        mixed, _ = mixer(inputs)
        pasted += bool((mixed == mixed.round()).all())  # nothing was added up
    assert 70 < pasted < 130
    for alphas, is_whole in (((1.0, 0.0), False), ((0.0, 1.0), True)):
        mixed, _ = Mixer(*alphas, torch.Generator().manual_seed(0))(inputs)
        assert bool((mixed == mixed.round()).all()) is is_whole


def test_what_is_no_batch_of_images_is_not_mixed() -> None:
    mixer = Mixer(1.0, 0.0, torch.Generator())
    with pytest.raises(RequestError) as caught:
        mixer(torch.zeros(4, 7))
    assert str(caught.value) == "mixup and cutmix need inputs [B, C, H, W]; set both to 0"


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_views_of_one_image_are_not_mixed(name: str) -> None:
    request = Request(
        backbone=("tiny-convnet",),
        dataset=("simclr:tiny-images",),
        strategy=("full",),
        changes={name: 0.5},
        baseline="full",
    )
    with pytest.raises(RequestError) as caught:
        make_plan(request, tiny_catalog(), "fp32")
    assert str(caught.value) == (
        f"{name} mixes an image with another and their labels; task 'contrastive' compares 2 views "
        "of one image"
    )
    assert caught.value.about == ("changes", name)


@pytest.mark.parametrize(
    "changes",
    [{"augment": name} for name in ("crop", "resized-crop", "trivial")] + [{"erasing": 0.5}],
)
def test_a_cell_under_each_augmentation_is_seeded_and_differs(changes: dict[str, Any]) -> None:
    (_, first), (_, again), (_, plain) = ok(Full, **changes), ok(Full, **changes), ok(Full)
    assert np.array_equal(first["test", "last"].outputs, again["test", "last"].outputs)
    assert not np.array_equal(first["test", "last"].outputs, plain["test", "last"].outputs)
