"""Five data sets and more together: mean ranks, and which of them are tied."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from sftbench.pages.blocks import Facts, Figure, Figures, Section, Text
from sftbench.pages.plots import INK, MUTED, SERIES, WIDTH, drawing, finished
from sftbench.report.html.axes import names, told
from sftbench.report.html.source import SectionView
from sftbench.verdicts.across import LEAST_DATASETS, Ranking, rank_groups
from sftbench.verdicts.criteria import Criteria

_LEAST_GROUPS = 3
_MAX_GROUPS = 40
_Key = tuple[str, str, str, str]


def across_sections(views: Sequence[SectionView], criteria: Criteria) -> Iterator[Section]:
    """Yield one section for all sets of data sets that are large enough; nothing without one.

    A set shares backbone, weights, variant and protocol, and has each data set once.
    """
    sets: dict[_Key, list[SectionView]] = {}
    for view in views:
        one = view.section
        key = (one.backbone, one.weights, one.variant, one.protocol.name)
        sets.setdefault(key, []).append(view)
    blocks = tuple(
        found
        for key, members in sets.items()
        if (found := _one_set(key, members, criteria)) is not None
    )
    if blocks:
        yield Section(
            heading="Across data sets",
            id="across",
            lead="Ranks over data sets, each of which counts once.",
            blocks=blocks,
        )


def _one_set(key: _Key, views: Sequence[SectionView], criteria: Criteria) -> Section | None:
    datasets = [view.section.dataset for view in views]
    if len(datasets) < LEAST_DATASETS or len(set(datasets)) < len(datasets):
        return None
    means = [
        {one.row.label: _gain(view, one.row.mean) for one in view.rows if one.group.is_compared}
        for view in views
    ]
    labels = [name for name in means[0] if all(name in each for each in means)]
    heading = " · ".join(key)
    if not _LEAST_GROUPS <= len(labels) <= _MAX_GROUPS:
        text = (
            f"{len(labels)} strategies are in all {len(datasets)} data sets; ranks are compared "
            f"for {_LEAST_GROUPS} to {_MAX_GROUPS}."
        )
        return Section(heading=heading, blocks=(Text(text=text),))
    ranking = rank_groups([[each[name] for name in labels] for each in means], criteria.alpha)
    figure = _diagram(ranking, labels, views[0].key)
    return Section(heading=heading, blocks=(_facts(ranking, datasets, criteria), figure))


def _gain(view: SectionView, mean: float | None) -> float:
    """Return a mean, larger is better; NaN where a seed lacks, which ranks last."""
    if mean is None:
        return math.nan
    metric = view.section.metric
    return -mean if metric is not None and metric.direction == "min" else mean


def _facts(ranking: Ranking, datasets: Sequence[str], criteria: Criteria) -> Facts:
    alpha = criteria.alpha
    differ = ranking.p < alpha
    verdict = "strategies differ" if differ else "no strategy can be told from another"
    return Facts(
        pairs=(
            ("data sets", ", ".join(datasets)),
            ("Friedman", f"chi square {ranking.chi_square:.2f}, p {ranking.p:.3g}: {verdict}"),
            (
                "critical difference",
                f"{ranking.critical_difference:.2f} mean ranks (Nemenyi, alpha {alpha:g})",
            ),
        )
    )


def _diagram(ranking: Ranking, labels: Sequence[str], key: str) -> Figures:
    order = sorted(range(len(labels)), key=lambda place: ranking.mean_ranks[place])
    ranks = [ranking.mean_ranks[group] for group in order]
    below = len(ranks) - 0.4 + 0.3 * len(ranking.cliques)
    with drawing(WIDTH * 1.3, 1.2 + 0.26 * (below + 1)) as axes:
        axes.plot(ranks, range(len(ranks)), "o", color=SERIES[0], zorder=3)
        for number, group in enumerate(ranking.cliques):
            low, high = ranking.mean_ranks[group[0]], ranking.mean_ranks[group[-1]]
            axes.hlines(len(ranks) - 0.4 + 0.3 * number, low, high, color=INK, linewidth=3)
        axes.plot([1, 1 + ranking.critical_difference], [-0.85, -0.85], "|-", color=MUTED)
        axes.text(1, -1.0, "critical difference", fontsize=7, color=INK, va="bottom")
        names(axes, [labels[group] for group in order])
        axes.set_ylim(below, -1.6)
        axes.set_xlabel("mean rank (1 is best)")
        plot = finished(
            axes,
            name=f"ranks-{key}",
            alt="Mean ranks over data sets: "
            + told((labels[group], f"{ranking.mean_ranks[group]:.2f}") for group in order),
            columns=("strategy", "mean_rank", "cliques"),
            rows=[
                (
                    labels[group],
                    ranking.mean_ranks[group],
                    " ".join(str(n) for n, c in enumerate(ranking.cliques, 1) if group in c),
                )
                for group in order
            ],
        )
    caption = (
        "Mean ranks with Nemenyi's critical difference; a bar below spans strategies that cannot "
        "be told apart."
    )
    return Figures(figures=(Figure(plot=plot, caption=caption),))
