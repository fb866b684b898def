"""The loss by hand, and a teacher that trains, teaches and is gone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from compress_tiny import check_measures, ran
from sftbench_compress.distil import Distil, distillation
from torch import nn
from torch.nn import functional as F

from sftbench.api import BackboneInfo, BlockBackbone, PretrainedWeights, StepOutput
from sftbench.catalog import Catalog
from sftbench.models.freezing import state_digest
from sftbench.testing import run_tiny
from sftbench.testing.tiny import TinyBackbone, tiny_catalog


class WideBackbone(TinyBackbone):
    """One convolution of 32 channels."""

    name = "wide-convnet"

    def build(self, image_size: int) -> nn.Module:
        model = nn.Sequential(
            nn.Conv2d(3, 32, 3, stride=2),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )
        return BlockBackbone(model, torch.zeros(2, 3, image_size, image_size))

    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        state = network.state_dict()
        digest = state_digest(state.items())
        return PretrainedWeights(state=state, head=None, digest=digest, origin="as built")


class OtherLook(WideBackbone):
    name = "other-look"

    def info(self) -> BackboneInfo:
        return replace(super().info(), mean=(0.1, 0.2, 0.3))


class NewerBackbone(WideBackbone):
    name = "newer-convnet"
    algorithm_version = 3


class DistilWide(Distil):
    """Learns from the wide network."""

    example = "wide-convnet"


class DistilOther(Distil):
    """Learns from one that sees other images."""

    example = "other-look"


def _base() -> Catalog:
    return tiny_catalog(WideBackbone, OtherLook, NewerBackbone, DistilWide)


def _softmax(values: Any) -> Any:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _by_hand(logits: Any, taught: Any, temperature: float) -> float:
    wanted, found = _softmax(taught / temperature), _softmax(logits / temperature)
    total = 0.0
    for row in range(len(logits)):
        for column in range(logits.shape[1]):
            ratio = wanted[row, column] / found[row, column]
            total += wanted[row, column] * float(np.log(ratio))
    return temperature**2 * total / len(logits)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_divergence_by_hand(temperature: float) -> None:
    generator = np.random.default_rng(0)
    logits, taught = generator.normal(0, 3, (2, 6, 5))
    found = distillation(torch.from_numpy(logits), torch.from_numpy(taught), temperature)
    assert float(found) == pytest.approx(_by_hand(logits, taught, temperature), rel=1e-12)
    same = distillation(torch.from_numpy(taught), torch.from_numpy(taught), temperature)
    assert float(same) == pytest.approx(0, abs=1e-12)


class _Taught(nn.Module):
    """A model whose teacher gives what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.ModuleDict({"aside": nn.Identity()})


def _loss(alpha: float, temperature: float) -> tuple[torch.Tensor, Any]:
    torch.manual_seed(0)
    step = StepOutput(
        logits=torch.randn(6, 5, dtype=torch.float64, requires_grad=True),
        features=torch.zeros(6, 2),
        targets=torch.randint(5, (6,)),
        model=_Taught(),  # type: ignore[arg-type]
        initial={},
        streams={},
        task_loss=F.cross_entropy,
        progress=0.0,
        inputs=torch.randn(6, 5, dtype=torch.float64),
    )
    options = Distil.options_model(teacher="x", alpha=alpha, temperature=temperature)
    return Distil(options)._loss(step), step  # noqa: SLF001


def test_without_the_teacher_it_is_cross_entropy() -> None:
    loss, step = _loss(alpha=0.0, temperature=1.0)
    assert torch.equal(loss, F.cross_entropy(step.logits, step.targets))


def test_both_parts_are_weighted() -> None:
    loss, step = _loss(alpha=0.7, temperature=3.0)
    logits, taught = step.logits.detach().numpy(), step.inputs.numpy()
    hard = -np.log(_softmax(logits)[np.arange(6), step.targets.numpy()]).mean()
    expected = 0.3 * hard + 0.7 * _by_hand(logits, taught, 3.0)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    loss.backward()
    assert step.logits.grad is not None


def test_at_high_temperature_gradients_compare_logits() -> None:
    # Hinton et al. 2015, equation 4: with logits of mean zero, T^2 dC/dz = (z - v) / N.
    torch.manual_seed(0)
    given = torch.randn(2, 3, 5, dtype=torch.float64)
    z, v = given - given.mean(dim=2, keepdim=True)
    z.requires_grad_()
    distillation(z, v, 1e4).backward()
    assert z.grad is not None
    assert torch.allclose(z.grad, (z - v).detach() / 5 / 3, atol=1e-4)


def test_a_cell() -> None:
    record = ran(DistilWide, base=_base(), settings={"teacher_share": 0.25}, epochs=4)
    check_measures(record, "teacher", "student")
    teacher, student = record.stages
    assert (teacher.name, student.name) == ("teacher", "student")
    assert teacher.trainable == 27 * 32 + 32 + 64 + 128 * 4 + 4
    assert student.trainable == record.counts.parameters == 2948
    assert teacher.examples * 3 == student.examples
    assert record.measures["parameters_teacher"] == teacher.trainable
    # Every image of the student's stage passes through the teacher, too.
    assert record.counts.backward == teacher.examples + student.examples
    assert record.counts.forward == record.counts.backward + student.examples
    # The teacher is not shipped.
    assert record.counts.shipped_bytes < 4 * record.counts.parameters + 4 * 100
    assert record.remarks[0].startswith("teacher wide-convnet has validation ")


def test_the_student_learns_from_its_teacher_alone() -> None:
    """With alpha 1 no label reaches the student, so what it knows came from the teacher."""
    settings = {"alpha": 1.0, "temperature": 2.0}
    record = ran(DistilWide, base=_base(), settings=settings, epochs=30)
    assert record.measures["validation_teacher"] > 0.9
    assert record.measures["validation_student"] > 0.6


def test_a_teacher_that_sees_other_images_is_refused() -> None:
    reason = "teacher other-look wants images with mean and deviation"
    with pytest.raises(Exception, match=reason) as caught:
        run_tiny(DistilOther, base=_base())
    assert "is skipped" in str(caught.value)


def test_the_teachers_version_counts() -> None:
    older = _base().create("strategy", "distil:wide-convnet")
    newer = _base().create("strategy", "distil:newer-convnet")
    assert (older.algorithm_version, newer.algorithm_version) == (1, 3)
    assert newer.backbones == ("newer-convnet",)  # type: ignore[attr-defined]
