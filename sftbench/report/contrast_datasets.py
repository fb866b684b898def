"""Groups over many data sets, in words and numbers that every rendering shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sftbench.report.contrast_blocks import (
    Block,
    Drawing,
    Facts,
    Grid,
    Heading,
    Line,
    estimate_text,
    p_text,
)
from sftbench.report.critical_difference import draw
from sftbench.report.wording import NONE
from sftbench.verdicts.datasets import Across, Contrast


def across_blocks(contrast: Contrast, across: Across, width: int) -> Iterator[Block]:
    """Yield what is said of five or more data sets together.

    Args:
        contrast: All of it.
        across: The data sets.
        width: Columns that the diagram may have.
    """
    level = f"{100 * contrast.criteria.level:g} %"
    metric, ranking = across.metric, across.ranking
    yield Heading(
        f"{len(across.datasets)} data sets · {across.backbone} · {across.weights} · "
        f"{across.variant} · protocol {across.protocol}",
        1,
    )
    yield Line(f"data sets: {', '.join(across.datasets)}")
    order: Sequence[int] = range(len(across.labels))
    ranks: Sequence[float] = ranking.mean_ranks if ranking else ()
    if ranking:
        order = sorted(order, key=lambda place: ranks[place])
    yield Grid(
        ("group", "mean rank", f"IQM of {metric.name} [{level} of seeds]"),
        tuple(
            (
                across.labels[place],
                f"{ranks[place]:.2f}" if ranks else NONE,
                estimate_text(across.interquartile[place], metric),
            )
            for place in order
        ),
        frozenset({0, 2}),
    )
    yield Facts(tuple(_across_facts(contrast, across)))
    if ranking:
        yield Drawing(tuple(draw(ranking, across.labels, width)))
    for remark in across.remarks:
        yield Line(f"note: {remark}")


def _across_facts(contrast: Contrast, across: Across) -> Iterator[tuple[str, str]]:
    ranking, metric = across.ranking, across.metric
    alpha = contrast.criteria.alpha
    if ranking:
        verdict = "groups differ" if ranking.p < alpha else "no group can be told from another"
        yield (
            "Friedman",
            f"chi square {ranking.chi_square:.2f}, p {p_text(ranking.p)}: {verdict}",
        )
        yield (
            "critical difference",
            f"{ranking.critical_difference:.2f} mean ranks (Nemenyi, alpha {alpha:g})",
        )
    if across.difference:
        yield (
            "A - B",
            f"IQM {estimate_text(across.difference, metric, signed=True)}",
        )
    if across.improvement:
        yield (
            "A better",
            (
                f"probability {estimate_text(across.improvement, None)} over all pairs of seeds, "
                "mean over data sets"
            ),
        )
    if across.signed_rank_p is not None:
        num = len(across.datasets)
        least = f"; {num} data sets can give {p_text(2.0 / 2.0**num)} at least"
        yield "Wilcoxon", f"p {p_text(across.signed_rank_p)} over data sets{least}"
