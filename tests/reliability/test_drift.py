from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.workspaces import make_warm, make_workspace, run

from sftbench.reliability.drift import aligned, block_outputs, grams, linear_cka
from sftbench.testing import TinyTransformer


def brute_force(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """HSIC of Gretton et al. 2005, entry by entry, in plain Python."""
    count = len(first)

    def gram(rows: NDArray[np.float64]) -> list[list[float]]:
        return [[sum(a * b for a, b in zip(x, y, strict=True)) for y in rows] for x in rows]

    def centred(gram: list[list[float]]) -> list[list[float]]:
        means = [sum(row) / count for row in gram]
        whole = sum(means) / count
        return [
            [gram[i][j] - means[i] - means[j] + whole for j in range(count)] for i in range(count)
        ]

    def hsic(k: list[list[float]], m: list[list[float]]) -> float:
        return sum(k[i][j] * m[i][j] for i in range(count) for j in range(count))

    k, m = centred(gram(first)), centred(gram(second))
    return hsic(k, m) / (hsic(k, k) * hsic(m, m)) ** 0.5


@pytest.mark.parametrize(("wide", "offset"), [(3, 0.0), (7, 50.0)])
def test_linear_cka_is_the_brute_force(wide: int, offset: float) -> None:
    generator = np.random.default_rng(wide)
    first = generator.normal(size=(9, 4)) + offset
    second = generator.normal(size=(9, wide)) + first[:, :1]
    assert linear_cka(first, second) == pytest.approx(brute_force(first, second), rel=1e-9)


def test_it_does_not_see_turns_scales_and_shifts() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(12, 5))
    turn, _ = np.linalg.qr(generator.normal(size=(5, 5)))
    assert linear_cka(features, 3 * features @ turn + 2) == pytest.approx(1)
    assert linear_cka(features, np.ones((12, 2))) is None


def test_a_frozen_backbone_has_not_moved_and_a_trained_one_has() -> None:
    warm = make_warm()
    frozen, _ = run(warm, evaluate="drift")
    names = [f"cka_{name}" for name in make_workspace(warm).model.network.block_names]
    assert list(frozen.metrics["selected"]["drift"]) == [*names, "cka_mean"]
    assert frozen.metrics["selected"]["drift"] == pytest.approx(
        dict.fromkeys([*names, "cka_mean"], 1.0)
    )
    tuned, _ = run(warm, "full", evaluate="drift", epochs=3)
    values = tuned.metrics["selected"]["drift"]
    assert all(value is not None and 0 <= value < 1 - 1e-6 for value in values.values())
    mean = np.mean([value for name, value in values.items() if name in names])
    assert values["cka_mean"] == pytest.approx(mean)


def test_what_is_measured_is_the_cka_of_the_outputs() -> None:
    networks = [make_workspace(make_warm(), seed=s, weights="none").model.backbone for s in (0, 1)]
    x = torch.randn(9, 3, 12, 12)
    with torch.no_grad():
        found = [grams(network, iter([x[:4], x[4:]])) for network in networks]
        outputs = [dict(block_outputs(network.eval(), x)) for network in networks]
    for name in outputs[0]:
        rows = [one[name].flatten(1).numpy().astype(np.float64) for one in outputs]
        measured = aligned(found[0][name], found[1][name])
        assert measured == pytest.approx(brute_force(*rows), rel=1e-6)


def test_large_maps_are_averaged_down_to_eight_positions_a_side() -> None:
    class Whole(torch.nn.Module):
        num_blocks, block_names, feature_width = 1, ("all",), 768

        def forward_to(self, x: torch.Tensor, k: int) -> torch.Tensor:
            return x

    x = torch.randn(5, 3, 16, 16)
    mean = x.view(5, 3, 8, 2, 8, 2).mean(dim=(3, 5)).flatten(1).numpy().astype(np.float64)
    kept = grams(Whole(), iter([x]))["all"]
    centred = mean - mean.mean(axis=0)
    assert kept == pytest.approx(centred @ centred.T, rel=1e-4)


def test_block_outputs_are_those_of_the_first_k_blocks() -> None:
    for warm, backbone in ((make_warm(), "tiny-convnet"), (make_warm(TinyTransformer), None)):
        ws = make_workspace(warm, backbone=backbone or "tiny-transformer")
        network = ws.model.network
        x = torch.randn(3, 3, 12, 12)
        with torch.no_grad():
            for k, (_, h) in enumerate(block_outputs(ws.model.backbone.eval(), x), start=1):
                assert torch.equal(h, network.forward_to(x, k))
        assert k == network.num_blocks


@pytest.mark.parametrize("strategy", ["drop-last:1", "adapter", "scratch"])
def test_strategies_that_change_the_network(strategy: str) -> None:
    record, _ = run(make_warm(), strategy, evaluate="drift")
    values = record.metrics["selected"]["drift"]
    assert values["cka_mean"] is not None
    assert not any(remark.startswith("drift") for remark in record.remarks)
