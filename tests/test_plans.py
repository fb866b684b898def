"""The plans of this repository: each is read and planned, and is what its comments say."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from sftbench.builtin.datasets.cifar import BATCHES, BATCHES_FOLDER
from sftbench.cli.axes import given_values, make_request
from sftbench.discovery import build_catalog
from sftbench.engine.schedules import factor
from sftbench.plan import Plan
from sftbench.plan_files import read_plan_file
from sftbench.planning import make_plan
from sftbench.protocol import PROTOCOLS, Protocol, named_protocol
from sftbench.request import Request
from sftbench.store import Store
from sftbench.verdicts.statistics import seeds_needed

REPOSITORY = Path(__file__).parent.parent
PLANS = sorted((REPOSITORY / "plans").glob("*.toml"))
REFERENCE = REPOSITORY / "results" / "reference-cpu"


def request_of(name: str) -> Request:
    path = REPOSITORY / "plans" / name
    return make_request(read_plan_file(path).values, given_values({"plan_file": path}))


def planned(request: Request) -> Plan:
    return make_plan(request, build_catalog(chosen=""), "fp32")


@pytest.fixture
def cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with CIFAR-10's files, empty: a plan only looks whether they are there."""
    folder = tmp_path / BATCHES_FOLDER
    folder.mkdir()
    for name in [name for split in BATCHES.values() for name in split]:
        (folder / name).touch()
    monkeypatch.setenv("SFTBENCH_DATA", str(tmp_path))


def test_the_plans_are_here() -> None:
    four = {"default", "article", "cifar10-cpu", "imbalance-cpu"}
    others = {"backbones-cpu", "resnet18-digits-cpu", "cifar10-lt-resnet32", "cifar10-lt-cpu"}
    assert {path.stem for path in PLANS} == four | others


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_every_plan_can_be_planned_and_decide(path: Path, cifar10: None) -> None:
    plan = planned(request_of(path.name))
    assert plan.skipped == ()
    first = plan.cells[0]
    mine = {cell.group for cell in plan.cells if cell.section == first.section}
    seeds = {cell.seed for cell in plan.cells}
    needed = seeds_needed(len(mine) - 1)
    # Three seeds of cifar10-cpu stand beside a measurement and decide nothing (docs/results.md).
    assert len(seeds) == 3 if path.stem == "cifar10-cpu" else len(seeds) >= needed


def test_the_default_plan_is_what_runs_alone() -> None:
    alone = planned(make_request({}, given_values({})))
    assert planned(request_of("default.toml")).plan_id == alone.plan_id


@pytest.mark.parametrize(
    ("name", "dataset"), [("default", "fashion-mnist-mini"), ("cifar10-cpu", "cifar10")]
)
def test_the_reference_records_were_made_with_these_plans(
    name: str, dataset: str, cifar10: None
) -> None:
    kept = [plan for plan in Store(REFERENCE).plans() if plan.cells[0].dataset == dataset]
    assert [planned(request_of(f"{name}.toml")).plan_id] == [plan.plan_id for plan in kept]


def test_the_article_is_written_out_value_by_value(cifar10: None) -> None:
    request = request_of("article.toml")
    protocol = named_protocol(request.protocol, request.changes)
    assert protocol == PROTOCOLS["article"]
    values = tomllib.loads((REPOSITORY / "plans" / "article.toml").read_text(encoding="utf-8"))
    # What is None there cannot be written in TOML.
    unwritten = {key for key in Protocol.model_fields if getattr(protocol, key) is None}
    assert set(values["changes"]) == set(Protocol.model_fields) - unwritten
    cells = planned(request).cells
    assert {cell.backbone for cell in cells} == {"resnet50.tv_in1k"}
    assert {cell.protocol.limit_train for cell in cells} == {None}


def test_the_long_tail_is_trained_as_in_the_literature(cifar10: None) -> None:
    """By epochs of 200: warm-up over 5, full rate until 160, 1/100 until 180, then 1/10,000."""
    protocol = planned(request_of("cifar10-lt-resnet32.toml")).cells[0].protocol
    steps = round(200 * 12_157 / 128)
    rates = [
        protocol.rates.scratch
        * factor("step", step, steps, protocol.warmup, (protocol.step_at, protocol.step_factor))
        for step in range(steps)
    ]
    epoch = steps / 200
    assert rates[0] < 0.001
    assert rates[round(2.5 * epoch)] == pytest.approx(0.05, rel=0.01)
    assert rates[round(5 * epoch)] == pytest.approx(0.1)
    falls = [one for one in range(1, steps) if rates[one] < rates[one - 1]]
    assert [fall / epoch for fall in falls] == pytest.approx([160, 180], abs=0.05)
    assert [rates[fall] for fall in falls] == pytest.approx([1e-3, 1e-5])


def test_every_plan_is_in_the_docs() -> None:
    page = (REPOSITORY / "docs" / "plans.md").read_text(encoding="utf-8")
    assert [path.name for path in PLANS if f"plans/{path.name}" not in page] == []
    keys = [*Request.model_fields, *Protocol.model_fields]
    assert [key for key in keys if f"`{key}`" not in page] == []
