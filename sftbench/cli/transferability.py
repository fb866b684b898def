"""`sftbench transferability`: which backbone promises most, beside what training gave."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from sftbench.cli.axes import make_session, plan_options

if TYPE_CHECKING:
    from sftbench.transferability import Score, Scores

_NAMES = {"log_me": "LogME", "nearest": "5-NN"}


@click.command()
@plan_options
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def transferability(*, as_json: bool, **options: Any) -> int:
    """Score the frozen features of each backbone of a plan; nothing is trained.

    LogME and 5-nearest-neighbour accuracy use the training split alone. Where the folder of
    --out has records of the plan, their results and the rank correlations stand beside them.
    What is printed is kept there too, as transferability-PLAN.json.
    """
    from sftbench.cli.telling import telling
    from sftbench.transferability import keep_scores, score_plan

    with telling() as told:
        session = make_session(options, told=told)
        session.prepare(told)
        records = session.store.scan().records
        scores = score_plan(session.plan.cells, records, session.catalog, session.job, told)
    path = keep_scores(scores, session.plan.plan_id, session.store.path)
    if as_json:
        click.echo(json.dumps(scores.model_dump(mode="json"), indent=2))
        return 0
    click.echo(_text(scores))
    click.echo(f"kept {path}", err=True)
    return 0


def _text(scores: Scores) -> str:
    lines: list[str] = []
    for data in dict.fromkeys(score.data for score in scores.scores):
        same = [score for score in scores.scores if score.data == data]
        lines += [*_table(data, same), *_agreements(scores, data), ""]
    lines.append("LogME in nats; 5-NN: accuracy of 5 nearest neighbours on validation; both means")
    lines.append("over seeds, of frozen features. Strategies: mean on the test split (seeds).")
    return "\n".join(lines)


def _table(data: str, same: list[Score]) -> list[str]:
    strategies = sorted({name for score in same for name in score.trained})
    rows = [["backbone", "weights", "M par.", "s", "LogME", "5-NN", *strategies]]
    for score in sorted(same, key=lambda score: -score.log_me):
        results = [
            f"{score.trained[name][0]:.3f} ({score.trained[name][1]})"
            if name in score.trained
            else "-"
            for name in strategies
        ]
        nearest = "-" if score.nearest is None else f"{score.nearest:.3f}"
        rows.append(
            [
                score.backbone,
                score.weights.partition("@")[0],
                f"{score.parameters / 1e6:.1f}",
                f"{score.seconds:.0f}",
                f"{score.log_me:.3f}",
                nearest,
                *results,
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [data] + [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _agreements(scores: Scores, data: str) -> list[str]:
    return [
        f"{_NAMES[found.score]} and {found.strategy}: Kendall {_signed(found.kendall)}, "
        f"Spearman {_signed(found.spearman)} over {found.backbones} backbones"
        for found in scores.correlations
        if found.data == data
    ]


def _signed(value: float | None) -> str:
    return "undecided (all equal)" if value is None else f"{value:+.2f}"
