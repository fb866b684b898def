"""What was measured besides the task's metrics, as the page draws it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.reports import source, study
from support.tables import cell, record

from sftbench.records import Record
from sftbench.report.html.document import render_html
from sftbench.report.html.reliability_series import (
    Spread,
    beside,
    by_severity,
    corrupted,
    drift,
    foreign,
)

EVIL = "<script>alert(1)</script>"


def measured(seed: int, accuracy: float = 0.8, **splits: dict[str, float | None]) -> Record:
    test = {"test": {"accuracy": accuracy}}
    return record(cell("full", seed), accuracy, metrics={"selected": {**test, **splits}})


def under(values: dict[str, float]) -> dict[str, Any]:
    return {f"corrupted:{where}": {"accuracy": value} for where, value in values.items()}


def test_accuracy_by_severity_is_over_kinds_then_seeds() -> None:
    one = measured(0, 0.9, **under({"fog:1": 0.8, "snow:1": 0.6, "fog:2": 0.5, "snow:2": 0.3}))
    two = measured(1, 0.7, **under({"fog:1": 0.6, "snow:1": 0.4, "fog:2": 0.3, "snow:2": 0.1}))
    found = by_severity([one, two])
    assert [value.mean for value in found] == pytest.approx([0.8, 0.6, 0.3])
    assert [value.low for value in found] == pytest.approx([0.7, 0.5, 0.2])
    assert found[0] == Spread(pytest.approx(0.8), 0.7, 0.9, 2)
    assert corrupted([one, two], "snow", 2) == Spread(pytest.approx(0.2), 0.1, 0.3, 2)
    # A seed that lacks one kind would be the mean of others.
    half = measured(2, 0.8, **under({"fog:1": 0.9}))
    assert by_severity([one, two, half])[1] == found[1]
    assert by_severity([measured(0)]) == []


def test_foreign_data_and_blocks_have_their_own_names() -> None:
    scores = {"auroc_max_softmax": 0.9, "auroc_energy": 0.1, "fpr95_max_softmax": 0.2}
    blocks = {"cka_stem": 1.0, "cka_head": 0.5, "cka_mean": 0.75}
    one = measured(0, **{"ood:digits": scores, "drift": blocks, "corrupted": {"ratio": 0.7}})
    one = one.model_copy(update={"measures": {"latency (ms)": 3.0}})
    two = measured(1, **{"ood:digits": {"auroc_max_softmax": None}})
    assert foreign([one, two]) == {"digits": Spread(0.9, 0.9, 0.9, 1)}
    assert list(drift([one, two])) == ["stem", "head"]
    assert {name: value.mean for name, value in beside([one, two]).items()} == {
        "ood:digits: auroc max softmax": 0.9,
        "ood:digits: fpr95 max softmax": 0.2,
        "drift: cka mean": 0.75,
        "corrupted: ratio": 0.7,
        "latency (ms)": 3.0,
    }


def test_the_page_draws_it_and_its_names_stay_text() -> None:
    plan, records = study({"head-only": 0.7, "full": 0.8}, 3)
    splits = {
        **under({"fog:1": 0.6, "fog:2": 0.4}),
        f"ood:{EVIL}": {"auroc_max_softmax": 0.8125},
        "drift": {f"cka_{EVIL}": 0.5, "cka_mean": 0.5},
    }
    for key, one in records.items():
        metrics = {"selected": {**one.metrics["selected"], **splits}}
        measures = {EVIL: 1.5}
        records[key] = one.model_copy(update={"metrics": metrics, "measures": measures})
    html = render_html(source([plan], records, with_predictions=False))
    assert "<script>alert" not in html
    assert "Reliability and measures" in html
    for kind in ("corruption", "foreign", "drift"):
        assert len(re.findall(rf'download="{kind}-[0-9a-f]+\.csv"', html)) == 1, kind
    assert len(re.findall(r'data-v="0.8125"', html)) == 2
    plain = render_html(source([plan], study({"head-only": 0.7}, 3)[1], with_predictions=False))
    assert "Reliability and measures" not in plain
