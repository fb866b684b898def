"""Features on disk: later processes and others at the time find them; nothing wrong is found."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.workspaces import make_cell, make_warm, run, run_slow

from sftbench import cache
from sftbench.api import BlockBackbone, Model, Stage, Strategy, StrategyContext
from sftbench.data.row_files import ROWS, RowFile
from sftbench.preparation import Told
from sftbench.testing import TinyBackbone
from sftbench.transferability import score_plan
from sftbench.unit import run_unit


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def kept_bits(kept: Any) -> dict[Any, bytes]:
    return {key: predictions.outputs.tobytes() for key, predictions in kept.items()}


def test_a_later_cell_seed_and_process_run_nothing_through_the_prefix() -> None:
    warm = make_warm()
    (first, kept), (other, _) = run(warm), run(warm, seed=1)
    assert first.counts.prefix_forward == 64 + 32
    assert other.counts.prefix_forward == 0
    later, again = run(make_warm())  # as another worker, or tomorrow
    assert later.counts.prefix_forward == 0
    assert later.stages == first.stages
    assert later.stages[0].cached_features
    assert kept_bits(again) == kept_bits(kept)
    assert [entry.note for entry in cache.entries("features")].count(
        "tiny-convnet on tiny-images train, 3 blocks, 12 pixels, fp32"
    ) == 1


def test_a_later_process_does_not_even_try_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    _, kept = run(make_warm())

    def forward_to(*_: Any) -> None:
        raise AssertionError("the prefix ran")

    monkeypatch.setattr(BlockBackbone, "forward_to", forward_to)
    later, again = run(make_warm())
    assert later.status == "ok", later.error
    assert kept_bits(again) == kept_bits(kept)


def test_only_the_rows_that_are_missing_are_computed() -> None:
    first, _ = run(make_warm(), limit_train=20, limit_test=8)
    assert first.counts.prefix_forward == 28
    second, _ = run(make_warm())
    assert second.counts.prefix_forward == 64 + 32 - 28


def test_two_processes_at_once_run_each_image_once() -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        (one, _), (two, _) = pool.map(run_slow, [0, 1], chunksize=1)
        assert one + two == 1200 + 40
        (again, same), (_, bits) = pool.map(run_slow, [0, 0], chunksize=1)
    assert again == 0
    assert same == bits


@pytest.mark.parametrize("harm", ["bit", "manifest", "form", "cut off"])
def test_damaged_features_are_computed_again(
    place: Path, harm: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, kept = run(make_warm())
    for folder in (place / "features").iterdir():
        if not folder.is_dir():
            continue
        if harm == "bit":
            content = bytearray((folder / ROWS).read_bytes())
            for row in range(0, 32, 2):
                content[64 * row + 5] ^= 4
            (folder / ROWS).write_bytes(content)
        elif harm == "manifest":
            (folder / "entry.json").write_text("{}")
        elif harm == "form":
            (folder / "rows.json").write_text('{"dtype": "float32", "shape": [1], "num_rows": 9}')
        else:
            os.truncate(folder / ROWS, 100)
    monkeypatch.setattr(cache, "_checked", set())  # as another process
    second, again = run(make_warm())
    assert kept_bits(again) == kept_bits(kept)
    if harm == "bit":
        assert second.counts.prefix_forward == 32
    else:
        assert second.counts.prefix_forward == first.counts.prefix_forward
        assert "is damaged" in caplog.text
    third, _ = run(make_warm())
    assert third.counts.prefix_forward == 0


class Sharper(TinyBackbone):
    """The tiny network with other weights."""

    def pretrained(self, network: Any) -> Any:
        given = super().pretrained(network)
        given.state["model.0.0.weight"][0, 0, 0, 0] += 1e-6
        return given


class Leaky(TinyBackbone):
    """The tiny network with the same tensors and another activation, by an author in a hurry."""

    def build(self, image_size: int) -> Any:
        network = super().build(image_size)
        network.model[1][2] = torch.nn.LeakyReLU()
        return network


class Later(TinyBackbone):
    """The tiny network, by a careful author."""

    algorithm_version = 2


@pytest.mark.parametrize(
    "changed",
    [
        lambda: run(make_warm(Sharper)),
        lambda: run(make_warm(Leaky)),
        lambda: run(make_warm(Later)),
        lambda: run(make_warm(), precision="bf16"),
        lambda: run(make_warm(), image_size=16),
        lambda: run(make_warm(deterministic=True)),
        lambda: run(make_warm(), weights="none"),
    ],
    ids=["weight", "structure", "version", "precision", "size", "deterministic", "random"],
)
def test_a_changed_prefix_never_hits(changed: Callable[[], Any]) -> None:
    run(make_warm())
    record, _ = changed()
    assert record.counts.prefix_forward == 64 + 32


class Blocks(Strategy):
    """Trains the last blocks and the head."""

    name = "blocks"
    first = 1

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        def trains(name: str) -> bool:
            block = ctx.block_of(name)
            return block is None or block >= self.first

        return [Stage(name="train", trainable=trains)]


class FewerBlocks(Blocks):
    """As before, with a longer prefix."""

    name = "fewer-blocks"
    first = 2


def test_prefixes_in_the_middle_are_kept_each_for_itself() -> None:
    for strategy, cls in (("blocks", Blocks), ("fewer-blocks", FewerBlocks)):
        first, kept = run(make_warm(cls), strategy)
        assert first.stages[0].frozen_blocks == cls.first
        assert first.counts.prefix_forward == 64 + 32
        later, again = run(make_warm(cls), strategy)
        assert later.counts.prefix_forward == 0
        assert kept_bits(again) == kept_bits(kept)


class Crt(Strategy):
    """Trains everything, then the head alone on what came out."""

    name = "crt-like"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [
            Stage(name="all", trainable=lambda _name: True, share=0.5),
            Stage(name="head", trainable=ctx.is_head, share=0.5),
        ]


def test_weights_trained_inside_a_cell_stay_in_memory(place: Path) -> None:
    for _ in range(2):
        record, _ = run(make_warm(Crt), "crt-like")
        assert [stage.cached_features for stage in record.stages] == [False, True]
        assert record.counts.prefix_forward == 64
    run(make_warm(), weights="none")
    assert cache.entries("features") == []


class Tampering(Strategy):
    """Trains the head, and changes a frozen weight in a way that torch does not count."""

    name = "tampering"
    where = ""

    def _tamper(self, model: Model) -> None:
        next(model.backbone.parameters()).data.mul_(1.5)

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        def prepare(model: Model, _ctx: StrategyContext) -> None:
            if self.where == "prepare":
                self._tamper(model)

        def after_step(model: Model, step: int) -> None:
            if self.where == "after_step" and step == 1:
                self._tamper(model)

        def loss(output: Any) -> Any:
            if self.where == "loss" and output.progress == 0.0:
                self._tamper(output.model)
            return output.task_loss(output.logits, output.targets)

        return [
            Stage(
                name="head",
                trainable=ctx.is_head,
                prepare=prepare if self.where == "prepare" else None,
                after_step=after_step if self.where == "after_step" else None,
                loss=loss if self.where == "loss" else None,
            )
        ]


class TamperingEarly(Tampering):
    """Does so before the first stage."""

    name = "tampering-early"

    def adapt(self, model: Model, ctx: StrategyContext) -> Model:
        if self.where == "adapt":
            self._tamper(model)
        return model


class TamperingLate(Tampering):
    """Does so after the last stage."""

    name = "tampering-late"

    def finalise(self, model: Model, ctx: StrategyContext) -> Model:
        if self.where == "finalise":
            self._tamper(model)
        return model


@pytest.mark.parametrize(
    ("where", "num"),
    [
        ("adapt", 64 + 32),
        ("prepare", 64 + 32),
        # What is tested, and as many training images again, run through what was changed.
        ("after_step", 32 + 32),
        ("loss", 32 + 32),
        ("finalise", 16 + 32 + 32),
    ],
)
def test_a_weight_changed_behind_torchs_back_never_hits(
    where: str, num: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(make_warm())
    strategy = {"adapt": TamperingEarly, "finalise": TamperingLate}.get(where, Tampering)
    untouched, _ = run(make_warm(strategy), strategy.name, seed=1)
    assert untouched.counts.prefix_forward == 0
    monkeypatch.setattr(Tampering, "where", where)
    record, _ = run(make_warm(strategy), strategy.name, seed=1)
    assert record.counts.prefix_forward == num
    clean, _ = run(make_warm(), seed=1)
    assert clean.counts.prefix_forward == 0
    assert len(cache.entries("features")) == 2


def test_a_cache_that_cannot_be_written_is_said_once_and_done_without(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place.write_text("no folder")
    warm = make_warm()
    record, _ = run(warm)
    run(warm, seed=1)
    assert record.counts.prefix_forward == 64 + 32
    lines = [one.message for one in caplog.records if "cannot keep features" in one.message]
    assert len(lines) == 1
    assert lines[0].endswith("they are kept in memory alone")


def test_a_full_disk_is_said_once_and_done_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = kept_bits(run(make_warm(), seed=1)[1])
    for entry in cache.entries("features"):
        cache.remove("features", entry.key)
    monkeypatch.setattr(os, "pwrite", lambda *_: 0)
    record, kept = run(make_warm(), seed=1)
    assert record.counts.prefix_forward == 64 + 32
    assert kept_bits(kept) == expected
    assert caplog.text.count("No space left on device") == 1


def test_a_read_only_cache_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    run(make_warm(), limit_train=20, limit_test=8)
    opened = os.open

    def refuse(path: Any, flags: int, *more: int) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *more)

    monkeypatch.setattr(os, "open", refuse)
    for _ in range(2):
        record, _ = run(make_warm())
        assert record.counts.prefix_forward == 64 + 32 - 28


def test_features_beyond_the_limit_stay_in_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SFTBENCH_CACHE_LIMIT", "100")
    warm = make_warm()
    record, _ = run(warm)
    run(warm, seed=1)
    assert record.counts.prefix_forward == 64 + 32
    assert caplog.text.count("would take more than SFTBENCH_CACHE_LIMIT") == 2  # of either, once


def test_grown_features_make_room_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    run(make_warm())
    [*old] = cache.entries("features")
    sizes = sum(entry.size for entry in old)
    assert sizes >= (64 + 32) * 16 * 4
    for entry in old:
        os.utime(entry.path / "entry.json", (1, 1))
    monkeypatch.setenv("SFTBENCH_CACHE_LIMIT", str(sizes + 100))
    monkeypatch.setattr(cache, "_checked", set())  # as in another process
    run(make_warm(), precision="bf16")
    left = cache.entries("features")
    assert sum(entry.size for entry in left) <= sizes + 100
    assert sum("bf16" in entry.note for entry in left) == 2


def test_an_entry_that_grows_makes_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    old = cache.fill("arrays", "old", lambda folder: str((folder / "a").write_bytes(b"x" * 50_000)))
    os.utime(old / "entry.json", (1, 1))
    run(make_warm(Blocks), "blocks", limit_train=8)
    size = sum(entry.size for entry in cache.entries(*cache.REMADE))
    # No entry is made from here on; that of the training split grows by 56 rows of 1152 bytes.
    monkeypatch.setenv("SFTBENCH_CACHE_LIMIT", str(size + 40_000))
    monkeypatch.setattr(cache, "_checked", set())  # as in another process
    run(make_warm(Blocks), "blocks")
    assert cache.entries("arrays") == []
    assert len(cache.entries("features")) == 2


def test_rows_are_kept_in_the_type_that_they_are_computed_in(place: Path) -> None:
    run(make_warm(), precision="bf16")
    for entry in cache.entries("features"):
        with RowFile(entry.path) as file:
            assert file.form.dtype in {"bfloat16", "float32"}
            assert file.form.row_bytes == 16 * (2 if file.form.dtype == "bfloat16" else 4)


def test_scores_of_transferability_and_cells_share_features() -> None:
    warm = make_warm()
    score_plan([make_cell(warm)], {}, warm.catalog, warm.job, Told())
    record, _ = run(make_warm(), limit_test=8)
    assert record.counts.prefix_forward == 8


def test_cells_that_train_together_run_each_image_once() -> None:
    warm = make_warm()
    cells = [make_cell(warm, seed=seed) for seed in (0, 1)]
    records = [record for record, _ in run_unit(cells, warm, lambda _cells: lambda *_: None)]
    assert [record.timing.shared_by_cells for record in records] == [2, 2]
    assert sum(record.counts.prefix_forward for record in records) == 64 + 32
    later, _ = run(make_warm(), seed=1)
    assert later.counts.prefix_forward == 0


def test_cells_of_one_worker_agree_with_cells_of_many() -> None:
    one = make_warm(Blocks)
    alone = [run(make_warm(Blocks, disk=False), "blocks", seed=seed)[1] for seed in (0, 1)]
    shared = [run(one, "blocks", seed=seed)[1] for seed in (0, 1)]
    for first, second in zip(alone, shared, strict=True):
        assert kept_bits(first) == kept_bits(second)
        assert not np.array_equal(first["test", "last"].outputs, shared[0]["val", "last"].outputs)
