"""Weights as int8: the formula, what stays close, what is kept, and what the record says."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from compress_tiny import check_measures, model_of, ran
from sftbench_compress.int8 import Rounded, end_rounding, round_in_training, rounded
from sftbench_compress.measuring import saved_bytes
from sftbench_compress.quantize import Quantize, QuantizeQat, to_int8
from torch import nn

from sftbench.api import RequestError
from sftbench.testing import run_tiny
from sftbench.testing.tiny import TinyBackbone, TinyTransformer

MODES = ("int8-weight", "int8-dynamic")


def _by_hand(weight: Any) -> tuple[Any, Any]:
    """Return integers [O, I] and scales [O] of weights [O, I], row by row."""
    integers, scales = np.zeros(weight.shape, np.int64), np.zeros(len(weight), np.float32)
    for row, values in enumerate(weight):
        scales[row] = np.float32(max(abs(value) for value in values)) / np.float32(127.5)
        for column, value in enumerate(values):
            share = float(value * (np.float32(1) / scales[row]))
            integers[row, column] = min(max(round(share), -128), 127)
    return integers, scales


@pytest.mark.parametrize("mode", MODES)
def test_a_linear_layer_by_hand(mode: Any) -> None:
    torch.manual_seed(1)
    layer = nn.Linear(24, 5)
    x = torch.randn(7, 24)
    integers, scales = _by_hand(layer.weight.detach().numpy())
    bias = layer.bias.detach().numpy()
    model = nn.Sequential(layer).eval()
    to_int8(model, mode, convolutions=False)
    weight: Any = model[0].weight
    assert np.array_equal(weight.qdata.numpy(), integers)
    assert np.allclose(weight.scale.numpy().ravel(), scales)
    inputs = x.numpy()
    if mode == "int8-dynamic":
        of_rows = np.abs(inputs).max(axis=1, keepdims=True) / np.float32(127.5)
        inputs = np.clip(np.round(inputs * (1 / of_rows)), -128, 127) * of_rows
    expected = inputs @ (integers * scales[:, None]).T + bias
    with torch.no_grad():
        assert np.allclose(model(x).numpy(), expected, atol=1e-5)


def test_a_convolution_by_hand() -> None:
    torch.manual_seed(1)
    layer = nn.Conv2d(4, 6, 3, groups=2)
    integers, scales = _by_hand(layer.weight.detach().reshape(6, -1).numpy())
    x = torch.randn(2, 4, 8, 8)
    kept = torch.from_numpy((integers * scales[:, None]).astype(np.float32)).view(6, 2, 3, 3)
    expected = nn.functional.conv2d(x, kept, layer.bias, groups=2)
    model = nn.Sequential(layer).eval()
    assert to_int8(model, "int8-weight", convolutions=True) == (6 * 2 * 9) / (6 * 2 * 9 + 6)
    stored: Any = model[0].parametrizations.weight.original0
    assert stored.dtype == torch.int8
    assert np.array_equal(stored.reshape(6, -1).numpy(), integers)
    with torch.no_grad():
        assert torch.allclose(model(x), expected, atol=1e-6)


def test_the_rule_is_torchaos_to_the_bit() -> None:
    torch.manual_seed(2)
    layer = nn.Linear(64, 200)
    quantised, scale = rounded(layer.weight.detach())
    to_int8(nn.Sequential(layer), "int8-weight", convolutions=False)
    weight: Any = layer.weight
    assert torch.equal(weight.qdata, quantised)
    assert torch.equal(weight.scale, scale)


def test_a_row_of_zeros_stays_zero() -> None:
    quantised, scale = rounded(torch.zeros(2, 3))
    assert torch.equal(quantised * scale, torch.zeros(2, 3))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backbone", [TinyBackbone(), TinyTransformer()])
def test_outputs_stay_close(mode: Any, backbone: Any) -> None:
    model, images = model_of(backbone), torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        before = model(images)
        size = saved_bytes(model)
        to_int8(model, mode, convolutions=True)
        after = model(images)
        # Where inputs of layers are rounded too, there are two errors.
        tolerance = {"int8-weight": 0.02, "int8-dynamic": 0.04}[mode]
        assert (after - before).abs().max() < tolerance * before.abs().max()
        assert not torch.equal(after, before)
        assert saved_bytes(model) < size
        made = copy.deepcopy(model)
        made.load_state_dict(model.state_dict())
        assert torch.equal(made(images), after)


@pytest.mark.parametrize("backbone", [TinyBackbone(), TinyTransformer()])
def test_what_trains_with_rounded_weights_is_what_comes_out(backbone: Any) -> None:
    model, images = model_of(backbone), torch.randn(4, 3, 32, 32)
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    round_in_training(model)
    outputs = model(images)
    outputs.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    end_rounding(model)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, own[name])
    to_int8(model, "int8-weight", convolutions=True)
    with torch.no_grad():
        assert torch.allclose(model(images), outputs, atol=1e-5)


def test_gradients_pass_the_rounding() -> None:
    weight = torch.randn(3, 4, requires_grad=True)
    factor = torch.randn(3, 4)
    (Rounded()(weight) * factor).sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, factor)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backbone", [TinyBackbone, TinyTransformer])
def test_cells(mode: str, backbone: type[TinyBackbone]) -> None:
    record = ran(Quantize, backbone, settings={"mode": mode})
    check_measures(record, "before", "after")
    assert record.counts.parameters == record.measures["parameters_before"]
    assert record.counts.shipped_bytes < 0.5 * 4 * record.counts.parameters
    assert record.counts.delta_bytes is not None
    assert record.counts.delta_bytes <= record.counts.shipped_bytes
    assert record.measures["saved_bytes_after"] < record.measures["saved_bytes_before"]
    share = f"{100 * record.measures['quantised_share']:.3g} % of the parameters are int8"
    assert record.remarks[0].startswith(share)


def test_without_convolutions_little_is_int8() -> None:
    record = ran(Quantize, settings={"convolutions": False})
    # The head's 16 x 4 weights of 2948 parameters.
    assert record.measures["quantised_share"] == 64 / 2948
    assert record.remarks[0].startswith("2.17 % of the parameters are int8: ")


@pytest.mark.parametrize("backbone", [TinyBackbone, TinyTransformer])
def test_cells_with_rounding_in_training(backbone: type[TinyBackbone]) -> None:
    record = ran(QuantizeQat, backbone)
    check_measures(record, "before", "after")
    assert [stage.name for stage in record.stages] == ["train", "qat"]
    assert record.stages[0].trainable == record.stages[1].trainable
    # Convolutions too; biases and norms of so small a network stay floats.
    assert record.measures["quantised_share"] > 0.8
    assert record.counts.shipped_bytes < 0.5 * 4 * record.counts.parameters


def test_without_validation_there_is_nothing_to_measure() -> None:
    record, _ = run_tiny(Quantize, validation_fraction=0.0, selection="last")
    assert record.error is not None
    assert record.error.message == (
        "strategy 'quantize' measures accuracy on validation: it needs a protocol with "
        "validation_fraction above 0"
    )


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(RequestError, match="int8-dynamic"):
        run_tiny(Quantize, settings={"mode": "int4"})
