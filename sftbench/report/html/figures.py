"""All plots of one section."""

from __future__ import annotations

from sftbench.pages.blocks import Figure
from sftbench.report.html.axes import Looks
from sftbench.report.html.comparing import cost, differences
from sftbench.report.html.resources import memory, times
from sftbench.report.html.source import SectionView
from sftbench.report.html.training import curves, recalls
from sftbench.verdicts.criteria import Criteria


def section_figures(view: SectionView, looks: Looks, criteria: Criteria) -> tuple[Figure, ...]:
    """Return the plots that the section has numbers for.

    Args:
        view: Rows with their records.
        looks: The number of each label's colour.
        criteria: The margin, which is drawn.
    """
    found = (
        differences(view, criteria),
        cost(view, looks),
        curves(view, looks),
        recalls(view, looks),
        times(view),
        memory(view),
    )
    return tuple(one for one in found if one is not None)
