"""The story as text: what a person reads in a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.stories import ANSWERS, EVIL, answered, broken, cell, ended_well, write_story_store

from sftbench.plan import Plan
from sftbench.records import ClassResult
from sftbench.results import Results
from sftbench.store import Store
from sftbench.story.tell import Story
from sftbench.story.text import plain_story

GOLDEN = """\
Classes, the most suffered first
  class  train  test  recall  to head-only
  Bag      120     2    0.50         -0.33
  Boot     120     2    0.83         -0.17
  Shirt    120     3    0.89         -0.11

Confusions
5 errors among 21 answers of 3 seeds
percent of each class (row) that was taken for another (column)
            0   1   2
  0 Shirt  89   .  11
  1 Boot   17  83   .
  2 Bag    50   .  50
  class  taken for  times  of the class  of all errors
  Bag    Shirt          3          50 %           60 %
  Shirt  Bag            1          11 %           20 %
  Boot   Shirt          1          17 %           20 %

Worst errors
test examples that most seeds had wrong, the most confident first
  index  class  taken for  confidence   seeds
     55  Bag    Shirt            0.96  3 of 3
      8  Shirt  Bag              0.96  1 of 3
     21  Boot   Shirt            0.96  1 of 3

Calibration
temperature 2.19 (1.61 to 2.49), fitted on the validation outputs of 3 seeds; the predicted classes
stay
                                 before  after scaling
  ECE (15 equal bins)             0.203          0.000
  negative log likelihood, nats   0.988          0.701

What a success needs
  quantity                                                found                         beyond by
  seeds without a result                                  0 (met <= 0)         met             +0
"""


def test_golden(story: Story) -> None:
    text = plain_story(story)
    assert GOLDEN in text
    assert text.startswith("full\nnet · pretrained · fashion-mnist-mini / balanced\n")
    assert "  verdict                  inconclusive ↓\n" in text
    assert "  validation loss  █▁█    0.9 to 0.9, least 0.6 at epoch 2.5\n" in text
    assert "  1.  head-only is the best of this section\n" in text


@pytest.mark.parametrize("width", [60, 100])
def test_lines_fit(story: Story, width: int) -> None:
    lines = plain_story(story, width).splitlines()
    assert max(map(len, lines)) <= width
    assert any("DIVERGED" in line for line in lines)


def test_one_cell_by_the_beginning_of_its_id(store: Path) -> None:
    wanted = cell("full", 0)
    text = plain_story(Results(store).story(wanted.cell_id[:8]))
    assert text.startswith("full, seed 0\n")
    assert f"this cell                {wanted.cell_id}, ok\n" in text
    assert "2 errors among 7 answers of 1 seed\n" in text
    assert "temperature 2.49, fitted on the validation outputs of 1 seed" in text
    assert f"     0  {wanted.cell_id}  ok <     0.714" in text


def test_a_cell_that_failed_has_a_story_too(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add_plan(Plan(cells=(cell("full", 0), cell("full", 1))))
    store.write(broken(0))
    store.write(broken(0))
    text = plain_story(Results(tmp_path).story("full"))
    beginning = f"seed 0, {cell('full', 0).cell_id}: crashed after 2 attempts: RuntimeError: cannot"
    assert beginning in text
    known = (
        "known by then: last seen at epoch 1.5 of stage train, step 12, train loss 0.7; 12.5 s of"
    )
    assert known in text
    assert "peak 2000 MB of the process" in text.replace("\n", " ")
    assert "train loss    ▅  0.7\n" in text
    assert "    line 23\n" in text
    assert "    line 22\n" not in text
    assert "\x1b" not in text
    assert "\\x1b[31mred\\x1b[0m\\u202e<script>" in text
    assert "mend the cause, and run these cells again [--retry-failed]" in text
    assert "run the plan again: only what is missing runs" in text
    assert f"     1  {cell('full', 1).cell_id}  missing       -     -" in text


def test_names_of_others_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one = cell("full", 0, dataset=f"data{EVIL}", variant=EVIL)
    store.add_plan(Plan(cells=(one,)))
    kept = answered(ANSWERS["full"][0])
    results = tuple(
        ClassResult(label=f"{number}{EVIL}", train_count=1, support=2, recall=0.5)
        for number in range(3)
    )
    record = ended_well(one, kept, per_class=results, remarks=(EVIL,))
    store.write(record, {("test", "selected"): kept})
    text = plain_story(Results(tmp_path).story("full"))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "Confusions" in text


def test_why_predictions_say_nothing(tmp_path: Path) -> None:
    store = write_story_store(tmp_path)
    one = cell("full", 0)
    kept = next((store.path / "cells" / one.cell_id).glob("*.parquet"))
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    story = Results(tmp_path).story("full")
    assert story.unread == (
        f"seed 0: {kept}: was changed by hand: its SHA-256 is not the record's",
    )
    text = plain_story(story)
    assert "no classes from predictions: seed 0: " in text.replace("\n", " ")
    assert "3 errors among 14 answers of 2 seeds\n" in text


def test_predictions_that_do_not_fit_the_record_are_told_of(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one = cell("full", 0)
    store.add_plan(Plan(cells=(one,)))
    kept = answered(ANSWERS["full"][0])
    fewer = ended_well(one, kept).per_class[:2]
    store.write(ended_well(one, kept, per_class=fewer), {("test", "selected"): kept})
    text = plain_story(Results(tmp_path).story("full"))
    assert "seed 0: predictions of test: 3 outputs for 2 classes of the record" in text
    assert "Worst errors" not in text
