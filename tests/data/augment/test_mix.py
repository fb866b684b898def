from __future__ import annotations

import pytest
import torch
from scipy import stats
from torchvision.transforms import v2

from sftbench.data.augment.mix import Mix, cutmix, draw_cut, draw_share, mixup

FORMATS = [torch.contiguous_format, torch.channels_last]
TARGETS = torch.tensor([0, 3, 1, 1, 2])


def soft(mix: Mix) -> torch.Tensor:
    hot = torch.nn.functional.one_hot(TARGETS, 4).float()
    return mix.lam * hot + (1 - mix.lam) * hot[mix.partner]


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_mixup_is_torchvisions(lam: float, layout: torch.memory_format) -> None:
    inputs = torch.rand(5, 3, 6, 8).contiguous(memory_format=layout)
    before = inputs.clone()
    oracle = v2.MixUp(num_classes=4)
    params = {"lam": lam, "labels": TARGETS, "batch_size": 5}
    found, mix = mixup(inputs, lam)
    assert torch.equal(found, oracle.transform(inputs, params))
    torch.testing.assert_close(soft(mix), oracle.transform(TARGETS, params))
    assert found.is_contiguous(memory_format=layout)
    assert torch.equal(inputs, before)


@pytest.mark.parametrize("layout", FORMATS)
def test_cutmix_is_torchvisions(layout: torch.memory_format) -> None:
    inputs = torch.rand(5, 3, 9, 12).contiguous(memory_format=layout)
    before = inputs.clone()
    oracle = v2.CutMix(num_classes=4)
    generator = torch.Generator().manual_seed(0)
    shares = set()
    for lam in (0.0, 0.1, 0.5, 0.9, 1.0):
        box = draw_cut(lam, 9, 12, generator)
        found, mix = cutmix(inputs, box)
        top, left, bottom, right = box
        params = {
            "box": (left, top, right, bottom),
            "lam_adjusted": mix.lam,
            "labels": TARGETS,
            "batch_size": 5,
        }
        assert torch.equal(found, oracle.transform(inputs, params))
        torch.testing.assert_close(soft(mix), oracle.transform(TARGETS, params))
        assert found.is_contiguous(memory_format=layout)
        own = (found == inputs).all(1).float().mean()
        assert float(own) == pytest.approx(mix.lam)
        shares.add(mix.lam)
    assert len(shares) > 2
    assert torch.equal(inputs, before)


@pytest.mark.parametrize("lam", [0.2, 0.7])
def test_cuts_are_those_of_torchvision_given_the_same_draws(lam: float) -> None:
    oracle = v2.CutMix(num_classes=4)
    oracle._dist = torch.distributions.Beta(1.0, 1.0)
    for seed in range(20):
        with torch.random.fork_rng(devices=[]), pytest.MonkeyPatch.context() as patch:
            patch.setattr(oracle._dist, "sample", lambda _shape: torch.tensor(lam))
            torch.manual_seed(seed)
            params = oracle.make_params([torch.zeros(3, 20, 30)])
        box = draw_cut(float(torch.tensor(lam)), 20, 30, torch.Generator().manual_seed(seed))
        top, left, bottom, right = box
        assert (left, top, right, bottom) == params["box"]
        _, mix = cutmix(torch.zeros(2, 3, 20, 30), box)
        assert mix.lam == params["lam_adjusted"]


@pytest.mark.parametrize("alpha", [0.001, 0.2, 1.0, 100.0])
def test_shares_are_beta(alpha: float) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [draw_share(alpha, generator) for _ in range(1500)]
    assert all(0.0 <= lam <= 1.0 for lam in drawn)
    if alpha >= 0.2:  # of smaller ones nearly every draw rounds to 0 or 1
        assert stats.kstest(drawn, stats.beta(alpha, alpha).cdf).pvalue > 1e-4
    else:
        assert sum(drawn) / 1500 == pytest.approx(0.5, abs=0.05)


def test_the_partner_is_the_image_before() -> None:
    inputs = torch.arange(4.0).view(4, 1, 1, 1)
    found, mix = mixup(inputs, 0.0)
    assert torch.equal(found, inputs[mix.partner])
    assert mix.partner.tolist() == [3, 0, 1, 2]
