"""The probe of a tiny network, which takes milliseconds, and of networks that go wrong."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from sftbench.engine import probe as probing
from sftbench.engine.hardware import compile_problem, device_name, precision_problem
from sftbench.engine.probe import measure, measure_compiled
from sftbench.probes import LOSS_TOLERANCE, Probe, Subject, choose_precision
from sftbench.testing.tiny import TinyBackbone, tiny_process

has_bf16 = pytest.mark.skipif(
    precision_problem("cpu", "bf16") is not None, reason=f"{precision_problem('cpu', 'bf16')}"
)


def subject(batch_size: int = 8) -> Subject:
    return Subject(
        backbone="tiny-convnet",
        version=1,
        image_size=12,
        batch_size=batch_size,
        device=device_name("cpu"),
        threads=1,
        torch=torch.__version__,
    )


def measured(backbone: Any = TinyBackbone, batch_size: int = 8, **wanted: Any) -> Probe:
    with tiny_process():
        return measure(backbone(), subject(batch_size), "cpu", wanted.get("wanted", ("bf16",)))


def of_layer(layer: type[nn.Module]) -> type[TinyBackbone]:
    """A backbone with one more layer behind its features."""

    class Changed(TinyBackbone):
        def build(self, image_size: int) -> nn.Module:
            network = super().build(image_size)
            network.add_module("last", layer())
            forward = network.forward
            network.forward = lambda x: network.last(forward(x))
            return network

    return Changed


@has_bf16
def test_every_format_and_precision_is_timed_and_its_losses_are_near() -> None:
    found = measured()
    titles = [one.title for one in found.candidates]
    assert titles == [
        "channels-last fp32",
        "contiguous fp32",
        "channels-last bf16",
        "contiguous bf16",
    ]
    assert found.usual == "channels-last"
    assert found.measured_batch == 8
    for one in found.candidates:
        assert one.problem == ""
        assert one.seconds is not None
        assert 0 < one.seconds < 1
        assert one.steps >= 2
        assert one.loss_difference is not None
        assert one.loss_difference < LOSS_TOLERANCE
    assert found.candidates[0].loss_difference == 0.0
    assert found.candidates[2].loss_difference > 0.0
    assert Probe.model_validate_json(found.model_dump_json()) == found


def test_a_precision_without_hardware_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    found = measured(wanted=("bf16", "tf32"))
    for one in found.candidates[2:]:
        assert (one.seconds, one.steps, one.loss_difference) == (None, 0, None)
        assert one.problem
    assert choose_precision(found)[0] == "fp32"


@has_bf16
@pytest.mark.parametrize("kind", ["infinite", "away", "raises", "no memory"])
def test_what_goes_wrong_in_bf16_is_not_chosen(kind: str) -> None:
    class Last(nn.Module):
        """Right in fp32, wrong under autocast, where it is quick."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not torch.is_autocast_enabled("cpu"):
                torch.linalg.eigh(torch.eye(200))  # so that bf16 would be chosen
                return x
            if kind == "raises":
                raise RuntimeError("not in bf16")
            if kind == "no memory":
                raise torch.OutOfMemoryError
            return x * (float("inf") if kind == "infinite" else 100.0)

    found = measured(of_layer(Last))
    precision, why = choose_precision(found)
    assert precision == "fp32"
    expected = {
        "infinite": "its loss is not finite",
        "away": "away from fp32's",
        "raises": "does not run: RuntimeError: not in bf16",
        "no memory": "out of memory",
    }[kind]
    assert expected in why
    assert all(expected in one.problem for one in found.candidates if one.precision == "bf16")
    assert all(one.seconds for one in found.candidates if one.precision == "fp32")


def test_a_network_that_never_runs_has_no_times() -> None:
    class Never(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ValueError("no images, please")

    found = measured(of_layer(Never))
    assert {one.seconds for one in found.candidates} == {None}
    assert "no images, please" in found.candidates[0].problem
    assert choose_precision(found) == ("fp32", "fp32 could not be measured")


def test_slow_steps_are_measured_on_fewer_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_STEP_SECONDS", 1e-9)
    assert measured(batch_size=100, wanted=()).measured_batch == 6
    assert measured(batch_size=3, wanted=()).measured_batch == 3


def test_large_networks_are_measured_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    start = probing._Trial.start

    def counted(trial: Any, bench: Any) -> None:
        start(trial, bench)
        runs.append(1)
        alive.append(sum(one.run is not None for one in seen))

    monkeypatch.setattr(probing, "_MOST_BYTES", 1)
    seen: list[Any] = []
    alive: list[int] = []
    turns = probing._take_turns

    def watched(group: Any, bench: Any) -> None:
        seen.extend(group)
        turns(group, bench)

    monkeypatch.setattr(probing._Trial, "start", counted)
    monkeypatch.setattr(probing, "_take_turns", watched)
    found = measured(wanted=())
    assert all(one.seconds for one in found.candidates)
    assert max(alive) == 1


def test_torchs_generator_is_left_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    measured(wanted=())
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.slow
@pytest.mark.skipif(compile_problem("cpu") is not None, reason=f"{compile_problem('cpu')}")
def test_compiling_is_timed_apart() -> None:
    with tiny_process():
        known = measure(TinyBackbone(), subject(), "cpu", ())
        found = measure_compiled(TinyBackbone(), known, "cpu", ("channels-last", "fp32"))
    one = found.compiling("channels-last", "fp32")
    assert one is not None
    assert one.problem == ""
    assert one.compile_seconds > 10 * one.compiled_seconds > 0
    assert one.eager_seconds > 0
    assert found.compiling("contiguous", "fp32") is None
