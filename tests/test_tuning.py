"""What a plan tries, and what the record says of it."""

from __future__ import annotations

import numpy as np
import pytest
from support.workspaces import make_warm, run

from sftbench.errors import RequestError
from sftbench.protocol import Protocol, named_protocol
from sftbench.search import parse_tune, trials

RATES = (0.001, 0.03, 0.3)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1e-4..1e-1:log:4", (1e-4, 1e-3, 1e-2, 1e-1)),
        ("0..0.2:lin:3", (0.0, 0.1, 0.2)),
        ("0.1, 0.01,0.1", (0.1, 0.01)),
        ("3", (3.0,)),
    ],
)
def test_values(text: str, values: tuple[float, ...]) -> None:
    assert parse_tune("lr", text) == pytest.approx(values, rel=1e-12)


@pytest.mark.parametrize("text", ["", "a", "1..0:log:3", "0..1:log:3", "1..2:log:1", "nan", "1,,2"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="write LOW"):
        parse_tune("lr", text)


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    with pytest.raises(RequestError, match="did you mean 'lr_scale'"):
        parse_tune("lr_scal", "1,2")


def test_a_value_that_the_protocol_refuses() -> None:
    with pytest.raises(RequestError, match="label_smoothing"):
        trials(named_protocol("default", {"tune": {"label_smoothing": (0.1, 2.0)}}))
    with pytest.raises(RequestError, match="choose one of them"):
        trials(Protocol(tune={"lr": (1.0,), "lr_scale": (1.0,)}))
    with pytest.raises(RequestError, match="at most 256"):
        trials(Protocol(tune={"lr": tuple(float(i) for i in range(1, 300))}))


def test_trials_are_the_product() -> None:
    found = trials(Protocol(tune={"weight_decay": (0.0, 0.1), "lr_scale": (1.0, 2.0)}))
    assert len(found) == 4
    options, protocol = found[-1]
    assert options == {"lr_scale": 2.0, "weight_decay": 0.1}
    assert protocol.rates.head == pytest.approx(2 * Protocol().rates.head)
    assert protocol.weight_decay == 0.1
    assert protocol.tune == {}


def test_a_protocol_without_it_keeps_its_id() -> None:
    assert "tune" not in Protocol().model_dump(mode="json")
    assert "step_at" not in Protocol().model_dump(mode="json")


@pytest.mark.parametrize("strategy", ["full", "lp-ft"])
def test_the_best_on_validation_is_what_a_plain_cell_gives(strategy: str) -> None:
    warm = make_warm()
    tuned, kept = run(warm, strategy, tune={"lr": RATES})
    assert [row["options"] for row in tuned.search] == [{"lr": rate} for rate in RATES]
    alone = []
    for rate in RATES:
        rates = dict.fromkeys(("head_alone", "head", "backbone", "scratch"), rate)
        alone.append(run(warm, strategy, rates=rates))
    scores = [record.value("accuracy", "val") for record, _ in alone]
    assert [row["val"] for row in tuned.search] == scores
    best = int(np.argmax(scores))
    assert [row["chosen"] for row in tuned.search] == [i == best for i in range(3)]
    other = alone[best][1]
    assert np.array_equal(kept["test", "selected"].outputs, other["test", "selected"].outputs)
    drawn = sum(record.counts.drawn_examples for record, _ in alone)
    assert tuned.counts.drawn_examples == drawn
    assert all(row["seconds"] > 0 for row in tuned.search)


def test_heads_are_tuned_as_one_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    import sftbench.tuning as searching

    calls = []
    real = searching.train_heads
    monkeypatch.setattr(
        searching, "train_heads", lambda spaces: calls.append(len(spaces)) or real(spaces)
    )
    warm = make_warm()
    tuned, kept = run(warm, "head-only", tune={"lr": RATES}, epochs=3)
    assert calls == [3]
    best = next(row for row in tuned.search if row["chosen"])
    rates = dict.fromkeys(("head_alone", "head", "backbone", "scratch"), best["options"]["lr"])
    record, other = run(warm, "head-only", rates=rates, epochs=3)
    assert best["val"] == record.value("accuracy", "val")
    assert np.allclose(
        kept["test", "selected"].outputs, other["test", "selected"].outputs, atol=1e-4
    )


def test_what_diverges_does_not_win() -> None:
    tuned, _ = run(make_warm(), "full", tune={"lr": (1e30, 0.01)}, optimizer="momentum")
    assert [row["val"] is None for row in tuned.search] == [True, False]
    assert [row["chosen"] for row in tuned.search] == [False, True]
