"""Compiled training passes: the same numbers, one graph for every copy, nothing for odd batches."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException
from torch._dynamo.utils import counters
from torch._inductor import config

from sftbench.api import Job
from sftbench.cell import run_cell_safely
from sftbench.engine import forward as forward_module
from sftbench.engine.forward import Forward
from sftbench.engine.hardware import compile_problem
from sftbench.models.freezing import set_modes
from sftbench.models.layout import to_device
from sftbench.models.model import Model
from sftbench.planning import make_plan
from sftbench.request import Request
from sftbench.testing.tiny import TinyBackbone, TinyImages, tiny_catalog, tiny_process
from sftbench.warm import Warm

CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(
    compile_problem("cpu") is not None, reason=f"{compile_problem('cpu')}"
)


@pytest.fixture(autouse=True)
def _graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "kernels"))
    counters.clear()
    yield
    torch._dynamo.reset()
    forward_module._compiled_before.clear()


def num_graphs() -> int:
    return int(counters["stats"]["unique_graphs"])


class Net(nn.Module):
    """A stem with an in-place activation, a depthwise block with dropout: what has detours."""

    num_blocks = 1
    block_names = ("stem",)
    feature_width = 6

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.act = nn.SiLU(inplace=True)
        self.depthwise = nn.Conv2d(6, 6, 5, padding=2, groups=6)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(self.norm(self.depthwise(self.act(self.stem(x))))).mean((2, 3))

    def forward_from(self, h: torch.Tensor, k: int) -> torch.Tensor:
        return h.mean((2, 3))


def made() -> Model:
    torch.manual_seed(0)
    model = Model(Net(), nn.Linear(6, 4))
    to_device(model, CPU, channels_last=True)
    return model.train()


def train(model: Model, forward: Forward, sizes: tuple[int, ...] = (8, 8, 8)) -> list[float]:
    """Steps of plain gradient descent with an evaluation between them, as the engine has it."""
    torch.manual_seed(1)
    inputs, targets = torch.randn(8, 3, 8, 8), torch.arange(8) % 4
    inputs = inputs.to(memory_format=torch.channels_last)
    losses = []
    for size in sizes:
        outputs, features = forward(model, inputs[:size], full=size == 8)
        assert features.shape == (size, 6)
        loss = nn.functional.cross_entropy(outputs, targets[:size])
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.sub_(0.3 * parameter.grad)
                    parameter.grad = None
            model.eval()
            model.outputs(inputs)
            set_modes(model)
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.slow
@needs_compiler
def test_compiled_is_the_same_function_and_one_graph_serves_every_copy() -> None:
    plain, first, second = made(), made(), made()
    expected = train(plain, Forward("fp32"))
    compiled = Forward("fp32", compiled=True, required=True)
    x = torch.randn(8, 3, 8, 8).to(memory_format=torch.channels_last)
    assert compiled.is_new(first, x)

    found = train(first, compiled, (8, 8, 8))

    assert found == pytest.approx(expected, rel=1e-4)
    assert expected[0] != pytest.approx(expected[-1], rel=1e-3)
    for one, other in zip(first.state_dict().values(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert num_graphs() == 1
    assert not counters["graph_break"]
    assert not compiled.is_new(second, x)
    again = Forward("fp32", compiled=True, required=True)
    assert train(copy.deepcopy(second), again, (8, 5, 8, 3)) == pytest.approx(
        train(second, Forward("fp32"), (8, 5, 8, 3)), rel=1e-4
    )
    assert num_graphs() == 1, "another copy, an odd batch, or an evaluation compiled anew"


def test_odd_batches_and_what_lies_behind_a_frozen_prefix_are_not_compiled() -> None:
    forward = Forward("fp32", compiled=True, required=True)
    model, x = made(), torch.randn(8, 6, 4, 4)
    assert not forward.is_new(model, x, 1)
    assert not forward.is_new(model, x[:3], full=False)
    forward(model, x, 1)
    forward(model, torch.randn(3, 3, 8, 8), full=False)
    assert num_graphs() == 0


@needs_compiler
def test_what_does_not_compile_runs_as_it_is_unless_compiling_was_asked_for() -> None:
    x = torch.randn(8, 3, 8, 8).to(memory_format=torch.channels_last)
    with config.patch({"cpp.cxx": ("no-such-compiler",)}):
        with pytest.raises(TorchDynamoException):
            Forward("fp32", compiled=True, required=True)(made(), x)
        forward = Forward("fp32", compiled=True)
        torch.manual_seed(2)
        outputs, _ = forward(made(), x)
    torch.manual_seed(2)
    assert torch.equal(outputs, made().outputs(x)[0])
    assert not forward.compiled
    assert forward.problem.startswith("does not compile: ")
    assert not forward.is_new(made(), x)


@pytest.mark.slow
@needs_compiler
def test_the_record_of_a_compiled_cell_counts_compiling_apart(tmp_path: Path) -> None:
    catalog = tiny_catalog()
    request = Request(
        backbone=(TinyBackbone.name,),
        dataset=(TinyImages.name,),
        strategy=("full",),
        seeds=(0, 1),
        changes={"batch_size": 16, "epochs": 2, "validation_fraction": 0.25},
    )
    cells = make_plan(request, catalog, "fp32").cells
    records = {}
    with tiny_process():
        for mode in ("on", "off"):
            warm = Warm(Job(out=tmp_path, compile=mode), threads=1, catalog=catalog)
            for cell in cells:
                record, kept = run_cell_safely(cell, warm, lambda *_: None)
                assert record.status == "ok", record.error
                assert kept is not None
                records[mode, cell.seed] = record, kept["test", "last"].outputs
    for seed in (0, 1):
        compiled, plain = records["on", seed], records["off", seed]
        torch.testing.assert_close(
            *map(torch.from_numpy, (compiled[1], plain[1])), rtol=1e-2, atol=1e-3
        )
        assert compiled[0].provenance["engine"]["compile"] is True
        assert plain[0].provenance["engine"]["compile"] is False
    seconds = {key: record.timing.compile_seconds for key, (record, _) in records.items()}
    assert seconds["on", 0] > seconds["on", 1] == seconds["off", 0] == 0.0
    timing = records["on", 0][0].timing
    assert timing.train_seconds < timing.compile_seconds < timing.total_seconds
