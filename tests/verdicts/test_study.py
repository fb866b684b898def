"""The study of verdicts: its truths are true, its shortcut is none, and it sees a broken rule."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.verdicts import trials as sut
from benchmarks.verdicts.__main__ import main
from benchmarks.verdicts.regimes import REGIMES, BetaBinomial, Latent
from benchmarks.verdicts.report import read, tables, with_tables
from benchmarks.verdicts.stored import SameGroup, TwoGroups, stored_regimes
from benchmarks.verdicts.study import SEEDS, Setting, settings, simulate
from sftbench.contracts.task import Predictions, Task
from sftbench.discovery import build_catalog
from sftbench.evaluation.resampling import Resampled
from sftbench.records import Record
from sftbench.scoring import resampled_predictions
from sftbench.verdicts.judge import Judged, judge_section
from sftbench.verdicts.statistics import Interval

ROOT = Path(__file__).parent.parent.parent
BY_NAME = {regime.name: regime for regime in REGIMES}


@pytest.mark.parametrize("regime", REGIMES, ids=lambda regime: regime.name)
def test_the_truth_of_a_regime_is_what_it_says(regime: Latent | BetaBinomial) -> None:
    gain = 0.02
    hits = regime.draw((0.0, gain), 3, 1000, np.random.default_rng(0))
    assert hits.shape == (1000, 2, 3, regime.num_examples)
    rates = hits.mean(axis=(2, 3))
    errors = rates.std(axis=0) / np.sqrt(1000)
    assert rates.mean(axis=0) == pytest.approx(
        [regime.accuracy, regime.accuracy + gain], abs=4 * errors.max()
    )
    assert regime.truth((0.0, gain)) == gain


def test_a_regime_whose_parts_are_too_large_is_refused() -> None:
    broken = Latent("wide", "", 0.1, 0.9, 0.1)
    with pytest.raises(ValueError, match="wide: its shares are more than 1"):
        broken.draw((0.0, 0.0), 2, 1, np.random.default_rng(0))


class PredictionsScoring:
    """The whole path: logits of one record after the other, through the task."""

    def __init__(self, logits: dict[str, np.ndarray], targets: np.ndarray) -> None:
        self.task = cast(Task, build_catalog(chosen="").create("task", sut.TASK))
        self.logits, self.targets = logits, targets

    def reasons_of(self, task: str, records: Iterable[Record]) -> frozenset[str]:
        return self.task.reasons

    def resampled_of(self, record: Record) -> Resampled:
        index = np.arange(len(self.targets))
        outputs = self.logits[record.cell_id]
        return resampled_predictions(self.task, Predictions(index, self.targets, outputs))


@pytest.mark.parametrize("gains", [(0.0, 0.0), (0.0, 0.05, -0.05)])
def test_what_is_done_for_many_records_at_once_decides_as_one_by_one(
    gains: tuple[float, ...],
) -> None:
    num_trials, rng = 6, np.random.default_rng(5)
    regime = BY_NAME["shared"]
    hits = regime.draw(gains, 7, num_trials, rng)
    trials = sut.Trials.of(len(gains), 7)
    for found, trial in zip(trials.judge(hits), hits, strict=True):
        targets = rng.integers(3, size=regime.num_examples)
        cells = [cell for group in found for cell in group.group.cells.values()]
        logits = {
            cell.cell_id: np.eye(3, dtype=np.float32)[np.where(hit, targets, (targets + 1) % 3)]
            for cell, hit in zip(cells, trial.reshape(-1, regime.num_examples), strict=True)
        }
        groups = tuple(one.group for one in found)
        section = sut.replace(trials.section, groups=groups, baseline=groups[0])
        expected = judge_section(section, PredictionsScoring(logits, targets), trials.criteria)
        assert [told(one) for one in found] == [told(one) for one in expected]
    kinds = {one.verdict.kind for trial in trials.judge(hits) for one in trial}
    assert "inconclusive" in kinds


def told(judged: Judged) -> tuple[object, ...]:
    comparison = judged.comparison
    if comparison is None or comparison.interval is None:
        return (judged.verdict,)
    interval = comparison.interval
    numbers = (
        comparison.estimate,
        comparison.p,
        comparison.p_adjusted,
        interval.low,
        interval.high,
    )
    return (judged.verdict, *(round(float(number or 0.0), 12) for number in numbers))


def test_ties_are_seldom_decided() -> None:
    rates = simulate(Setting("same", BY_NAME["shared, most"], (0.0, 0.0), 9), 200)
    assert rates.trials == sum(rates.kinds.values()) == 200
    assert rates.sign_flip > 0.4
    assert rates.decided <= 0.05 + 3 * 0.0154
    assert 0.9 < rates.covered < 0.99


def test_a_rule_without_the_interval_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Interval, "excludes_zero", property(lambda _: True))
    monkeypatch.setattr(Interval, "p", property(lambda _: 0.0))
    rates = simulate(Setting("same", BY_NAME["shared, most"], (0.0, 0.0), 9), 100)
    assert rates.decided > 0.3


def test_a_family_without_holm_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting("family", BY_NAME["seeds, wide"], (0.0,) * 6, 9)
    honest = simulate(setting, 100)
    assert honest.any_decided <= 0.05 + 3 * 0.0218
    for module in ("sftbench.verdicts.comparisons", "benchmarks.verdicts.trials"):
        monkeypatch.setattr(f"{module}.holm", np.asarray)
    assert simulate(setting, 100).any_decided > honest.any_decided + 0.03


def test_a_study_that_no_longer_decides_as_verdicts_do_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setting = Setting("gain", BY_NAME["seeds, answers"], (0.0, 0.1), 7)
    monkeypatch.setattr("sftbench.verdicts.comparisons.holm", np.ones_like)
    with pytest.raises(RuntimeError, match=r"\['inconclusive'\] on the whole path, and not so"):
        simulate(setting, 10)


def test_a_setting_gives_the_same_rates_again() -> None:
    setting = Setting("gain", BY_NAME["beta, shared"], (0.0, 0.05), 7)
    assert simulate(setting, 20) == simulate(setting, 20)
    assert simulate(setting, 20).truth == 0.05


def test_pairs_of_one_stored_group_are_two_of_its_seeds() -> None:
    # Each seed's examples all carry its number in binary, over three examples.
    hits = np.array([[number >> bit & 1 for bit in range(3)] for number in range(5)], dtype=bool)
    drawn = sut_same(hits).draw((0.0, 0.0), 8, 50, np.random.default_rng(0))
    assert drawn.shape == (50, 2, 8, 3)
    rates = sut_same(np.eye(5, dtype=bool)).draw((0.0, 0.0), 400, 1, np.random.default_rng(0))
    # Of five seeds that are right on one example each, two of a pair are never right on the same.
    assert not (rates[0, 0] & rates[0, 1]).any()
    assert rates.any()


def sut_same(hits: np.ndarray) -> SameGroup:
    return SameGroup("group", "by hand", hits)


def test_pairs_of_two_stored_groups_keep_their_seeds_together() -> None:
    base = np.random.default_rng(1).random((7, 40)) < 0.5
    regime = TwoGroups("pair", "by hand", np.stack([base, ~base]))
    drawn = regime.draw((0.0, 0.0), 9, 20, np.random.default_rng(0))
    assert np.array_equal(drawn[:, 0], ~drawn[:, 1])
    assert regime.truth((0.0, 0.0)) == pytest.approx(1 - 2 * base.mean())


def test_stored_predictions_of_this_repository_are_found() -> None:
    found = list(stored_regimes([ROOT / "results" / "reference-cpu"]))
    names = [one.name for one in found]
    assert "full - head-only, fashion-mnist-mini/balanced" in names
    assert len(names) == len(set(names)) == 14
    pair = found[names.index("full - head-only, fashion-mnist-mini/balanced")]
    # As results/reference-cpu/README.md has it.
    assert pair.truth((0.0, 0.0)) == pytest.approx(0.043, abs=5e-4)


def test_the_command_writes_figures_and_tables(tmp_path: Path) -> None:
    out, page = tmp_path / "deep" / "out.json", tmp_path / "page.md"
    page.write_text("# Page\n<!-- study: family -->\nold\n<!-- end -->\nbelow\n")
    empty = tmp_path / "none"
    options = ["--trials", "3", "--kind", "family", "--stores", str(empty), "--out", str(out)]
    done = CliRunner().invoke(main, [*options, "--docs", str(page)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    figures = json.loads(out.read_text())
    assert [row["regime"] for row in figures["rows"]] == [regime.name for regime in REGIMES]
    assert {row["trials"] for row in figures["rows"]} == {3}
    assert "| shared, most |" in out.with_suffix(".md").read_text()
    text = page.read_text()
    assert "old" not in text
    assert text.startswith("# Page\n<!-- study: family -->\n| regime |")
    assert text.endswith("<!-- end -->\nbelow\n")


def test_every_regime_is_seen_with_every_number_of_seeds() -> None:
    found = list(settings([]))
    for regime in REGIMES:
        seeds = [one.num_seeds for one in found if one.regime is regime and one.kind == "same"]
        assert tuple(seeds) == SEEDS
    assert len({one.key for one in found}) == len(found)


def test_the_page_shows_the_kept_figures() -> None:
    figures = read(ROOT / "benchmarks" / "results" / "verdicts.json")
    page = (ROOT / "docs" / "verdicts.md").read_text()
    assert with_tables(page, figures) == page
    shown = [name for name in tables(figures) if f"<!-- study: {name} -->" in page]
    assert {"summary", "false alarms", "coverage", "power"} <= set(shown)
    assert all(row["trials"] >= 2000 for row in figures["rows"])
