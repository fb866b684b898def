"""What a run measures before its cells, what it does not, and what its workers make of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from sftbench import cache, probing
from sftbench.api import Backbone, Job, RequestError
from sftbench.cell import run_cell_safely
from sftbench.engine.choices import subject_of
from sftbench.executors.messages import decode, encode, job_from_dict, job_to_dict
from sftbench.plan import Cell
from sftbench.planning import make_plan
from sftbench.preparation import Told
from sftbench.pretraining import pretrained_weights, pretraining_cell
from sftbench.probes import Candidate, Compiled, Probe, keep_probe, kept_probe
from sftbench.probing import Precisions, check_compile, prepare_engine
from sftbench.request import Request
from sftbench.testing.tiny import TinyBackbone, TinyImages, tiny_catalog, tiny_process
from sftbench.warm import Warm

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path / "cache"))
    with tiny_process():
        yield


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(out=tmp_path, jobs=1)


class Said(list[str]):
    @property
    def told(self) -> Told:
        return Told(say=self.append)


def cells(
    job: Job, precision: str = "auto", told: Told | None = None, **changes: Any
) -> list[Cell]:
    request = Request(
        backbone=(TinyBackbone.name,),
        dataset=(TinyImages.name,),
        strategy=("full", "head-only"),
        seeds=(0, 1),
        changes={"precision": precision, "batch_size": 16, "validation_fraction": 0.25} | changes,
    )
    precisions = Precisions(job, told or Told())
    return list(make_plan(request, tiny_catalog(), "fp32", precisions.auto).cells)


def keep(job: Job, cell: Cell, threads: int = 1, **seconds: float) -> Probe:
    """Put a probe of these seconds a step into the cache, for `last_fp32` and so on."""
    names = {"last": "channels-last", "first": "contiguous"}
    pairs = {tuple(name.split("_")): value for name, value in seconds.items()}
    made = Probe(
        subject=subject_of(cell, CPU).model_copy(update={"threads": threads}),
        usual="channels-last",
        measured_batch=16,
        candidates=tuple(
            Candidate(memory_format=names[kind], precision=precision, seconds=value, steps=3)  # type: ignore[arg-type]
            for (kind, precision), value in pairs.items()
        ),
        made_at="now",
    )
    keep_probe(made)
    return made


def keep_compiled(job: Job, cell: Cell) -> Probe:
    """Put a probe into the cache that says: compiling pays back after 21 steps."""
    made = keep(job, cell, last_fp32=1.0)
    one = Compiled(
        memory_format="channels-last",
        precision="fp32",
        compile_seconds=10,
        eager_seconds=1.0,
        compiled_seconds=0.5,
    )
    keep_probe(made.model_copy(update={"compiled": (one,)}))
    return made


def engine_of(cell: Cell, job: Job) -> dict[str, Any]:
    warm = Warm(job, threads=1, catalog=tiny_catalog())
    record, _ = run_cell_safely(cell, warm, lambda *_: None)
    assert record.status == "ok", record.error
    found: dict[str, Any] = record.provenance["engine"]
    return found


def test_auto_is_measured_once_and_told_and_the_plan_is_the_same_again(job: Job) -> None:
    said, again = Said(), Said()
    first = cells(job, told=said.told)
    assert {cell.protocol.precision for cell in first} <= {"fp32", "bf16"}
    shape = "tiny-convnet@1 12 px, batch 16"
    assert said[0] == f"measuring {shape}: memory formats, fp32 and bf16"
    assert said[1].startswith("precision of tiny-convnet at 12 px: ")
    assert len(said) == 2
    # However many workers are asked for: ids do not depend on it.
    second = cells(replace(job, jobs=2), told=again.told)
    assert [cell.cell_id for cell in second] == [cell.cell_id for cell in first]
    assert again == said[1:]


@pytest.mark.parametrize("precision", ["default", "fp32", "bf16"])
def test_without_auto_nothing_is_measured(job: Job, precision: str) -> None:
    said = Said()
    found = cells(job, precision, said.told)
    expected = "fp32" if precision == "default" else precision
    assert {cell.protocol.precision for cell in found} == {expected}
    assert said == []
    assert cache.entries("probes") == []


def test_a_deterministic_run_measures_nothing(job: Job) -> None:
    said, deterministic = Said(), replace(job, deterministic=True)
    [first, *_] = cells(deterministic, told=said.told)
    assert first.protocol.precision == "fp32"
    assert said == [
        "precision of tiny-convnet at 12 px: fp32, as usual: deterministic runs measure nothing",
    ]
    keep(job, first, last_fp32=1.0, first_fp32=0.1)
    assert prepare_engine([first] * 10_000, tiny_catalog(), deterministic, Told()) == deterministic
    found = engine_of(first, deterministic)
    assert (found["memory_format"], found["compile"]) == ("channels-last", False)
    assert found["why"]["memory_format"] == "the rule of thumb"


def test_auto_takes_what_the_cache_has(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "usual_threads", lambda *_: 1)
    [cell, *_] = cells(job, "fp32")
    for seconds, expected in ((0.5, "bf16"), (0.95, "fp32")):
        keep(job, cell, last_fp32=1.0, last_bf16=seconds)
        assert {found.protocol.precision for found in cells(job)} == {expected}


def test_what_cannot_be_measured_has_the_usual_precision(job: Job) -> None:
    class Late(TinyBackbone):
        def build(self, image_size: int) -> Any:
            raise ValueError("only on Sundays")

    said = Said()
    precisions = Precisions(job, said.told)
    assert precisions.auto(Late(), 12, 16) == "fp32"
    assert said[-1] == (
        "tiny-convnet@1 12 px, batch 16 cannot be measured: ValueError: only on Sundays, "
        "so the usual is used"
    )


def test_each_backbone_has_its_own_precision_and_first_stage(job: Job) -> None:
    class Other(TinyBackbone):
        name = "other-convnet"

    request = Request(
        backbone=(TinyBackbone.name, Other.name),
        weights=("none", f"pretrain:{TinyImages.name}"),
        dataset=("digits",),
        strategy=("full",),
        seeds=(0,),
        changes={"precision": "auto", "batch_size": 16, "image_size": 12},
    )
    asked: list[tuple[str, int, int]] = []

    def measured(backbone: Any, image_size: int, batch_size: int) -> Any:
        asked.append((backbone.name, image_size, batch_size))
        return "bf16" if backbone.name == Other.name else "fp32"

    catalog = tiny_catalog(Other)
    found = make_plan(request, catalog, "fp32", measured).cells
    assert asked == [(TinyBackbone.name, 12, 16), (Other.name, 12, 16)]
    precisions = {cell.backbone: cell.protocol.precision for cell in found}
    assert precisions == {TinyBackbone.name: "fp32", Other.name: "bf16"}
    for cell in found:
        if cell.weights != "none":
            backbone = catalog.create("backbone", cell.backbone)
            first = pretraining_cell(
                cast(Backbone, backbone), TinyImages(), catalog, cell.protocol.precision
            )
            assert cell.weights == pretrained_weights(first)
            assert first.protocol.precision == cell.protocol.precision
    # Without a measurement `auto` is what `default` is.
    plain = make_plan(request, catalog, "bf16").cells
    assert {cell.protocol.precision for cell in plain} == {"bf16"}


def test_a_worker_is_told_all_of_it(job: Job) -> None:
    given = replace(job, memory_format="contiguous", compile="on", steps_ahead={"net@1": 7})
    line = encode(job_to_dict(given, "cpu"))
    assert job_from_dict(decode(line)) == given


def test_tf32_is_refused_where_there_is_none(job: Job) -> None:
    precisions = Precisions(job, Told())
    with pytest.raises(RequestError) as caught:
        precisions.check("tf32")
    assert str(caught.value) == (
        "precision 'tf32': TF32 is a format of CUDA GPUs; the device is cpu; use fp32, bf16 or auto"
    )
    assert caught.value.about == ("changes", "precision")
    for precision in ("default", "auto", "fp32", "bf16"):
        precisions.check(precision)


def test_the_memory_format_is_measured_where_many_steps_follow(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "usual_threads", lambda *_: 1)
    said = Said()
    due = cells(job, "fp32")  # of 4 cells, each 3 epochs of 48 images in batches of 16
    few = prepare_engine(due, tiny_catalog(), job, said.told)
    assert few.steps_ahead == {"tiny-convnet@1 12 px, batch 16": 4 * 9}
    assert said == []
    many = prepare_engine(due * 30, tiny_catalog(), replace(job, jobs=2), said.told)
    assert many.steps_ahead == {"tiny-convnet@1 12 px, batch 16": 30 * 4 * 9 // 2}
    assert said == ["measuring tiny-convnet@1 12 px, batch 16: memory formats, fp32"]
    kept = kept_probe(subject_of(due[0], CPU))
    assert kept is not None
    assert engine_of(due[0], many)["why"]["memory_format"].startswith("measured: ")
    # The precision can be asked for later: the probe then knows both.
    assert {cell.protocol.precision for cell in cells(job, told=said.told)} <= {"fp32", "bf16"}
    kept = kept_probe(subject_of(due[0], CPU))
    assert kept is not None
    assert kept.covers(("fp32", "bf16"))
    named = replace(job, memory_format="contiguous", compile="off")
    prepare_engine([replace_batch(cell) for cell in due * 100], tiny_catalog(), named, said.told)
    assert len(cache.entries("probes")) == 1


def replace_batch(cell: Cell) -> Cell:
    protocol = cell.protocol.model_copy(update={"batch_size": 8})
    return cell.model_copy(update={"protocol": protocol})


def test_a_cell_trains_in_the_format_of_the_probe_or_the_one_named(job: Job) -> None:
    [cell, *_] = cells(job, "fp32")
    assert engine_of(cell, job) == {
        "memory_format": "channels-last",
        "precision": "fp32",
        "compile": False,
        "why": {
            "memory_format": "the rule of thumb",
            "compile": "whether it pays was not measured",
        },
    }
    keep(job, cell, last_fp32=1.0, first_fp32=0.5)
    found = engine_of(cell, job)
    assert found["memory_format"] == "contiguous"
    assert found["why"]["memory_format"] == "measured: 2.00 times as fast as channels-last"
    named = engine_of(cell, replace(job, memory_format="channels-last", compile="off"))
    assert named["memory_format"] == "channels-last"
    assert named["why"] == {"memory_format": "asked for", "compile": "asked for"}


def test_formats_differ_in_speed_alone(job: Job) -> None:
    [cell, *_] = cells(job, "fp32")
    outputs = []
    for memory_format in ("channels-last", "contiguous"):
        warm = Warm(replace(job, memory_format=memory_format), threads=1, catalog=tiny_catalog())
        _, kept = run_cell_safely(cell, warm, lambda *_: None)
        assert kept is not None
        outputs.append(torch.from_numpy(kept["test", "last"].outputs))
    torch.testing.assert_close(*outputs, rtol=1e-2, atol=1e-3)


def test_compiling_is_chosen_where_it_pays_for_the_steps_ahead(job: Job) -> None:
    [cell, *_] = cells(job, "fp32")
    made = keep_compiled(job, cell)
    found = engine_of(cell, replace(job, steps_ahead={made.subject.shape: 41}))
    assert found["compile"] is False
    assert found["why"]["compile"] == "pays back after 21 steps; about 41 are ahead"


@pytest.mark.slow
def test_a_cell_is_compiled_where_that_pays(job: Job) -> None:
    check_compile(replace(job, compile="on"))
    [cell, *_] = cells(job, "fp32")
    made = keep_compiled(job, cell)
    found = engine_of(cell, replace(job, steps_ahead={made.subject.shape: 42}))
    assert found["compile"] is True
    torch._dynamo.reset()


@pytest.mark.slow
def test_a_long_run_measures_what_compiling_gives(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "usual_threads", lambda *_: 1)
    monkeypatch.setattr(probing, "_STEPS_WORTH_A_PROBE", 1)
    said, due = Said(), cells(job, "fp32")
    prepare_engine(due, tiny_catalog(), job, said.told)
    assert len(said) == 1
    monkeypatch.setattr(probing, "_SECONDS_WORTH_COMPILING", 0.0)
    prepare_engine(due, tiny_catalog(), replace(job, compile="off"), said.told)
    assert len(said) == 1
    for _ in range(2):
        prepare_engine(due, tiny_catalog(), replace(job, memory_format="contiguous"), said.told)
    kept = kept_probe(subject_of(due[0], CPU))
    assert kept is not None
    [one] = kept.compiled
    assert (one.memory_format, one.precision, one.problem) == ("contiguous", "fp32", "")
    assert said[1:] == [
        "measuring what compiling gives: tiny-convnet@1 12 px, batch 16, contiguous fp32"
    ]
    torch._dynamo.reset()


def test_without_a_compiler_compile_on_is_refused(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such")
    with pytest.raises(RequestError) as caught:
        check_compile(replace(job, compile="on"))
    assert str(caught.value) == (
        "compile on: torch.compile needs a compiler here: no-such; use --compile off"
    )
    check_compile(job)
    [cell, *_] = cells(job, "fp32")
    made = keep_compiled(job, cell)
    found = engine_of(cell, replace(job, steps_ahead={made.subject.shape: 10_000}))
    assert found["compile"] is False
    assert found["why"]["compile"] == "torch.compile needs a compiler here: no-such"
