"""OOD_DISTORTION: better on the task, and worse at telling what is foreign to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sftbench.names import one_line
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import Group, Section
from sftbench.verdicts.reasons.finding import Finding
from sftbench.verdicts.statistics import holm, sign_flip_p

_PREFIX = "ood:"
_METRIC = "auroc_max_softmax"


@dataclass(frozen=True, slots=True)
class Trial:
    """One group on one foreign data set: paired differences of AUROC to the frozen features'."""

    group: Group
    split: str
    differences: tuple[float, ...]
    p: float

    @property
    def mean(self) -> float:
        """Mean difference; below 0 the group tells foreign examples worse."""
        return float(np.mean(self.differences)) if self.differences else 0.0

    @property
    def name(self) -> str:
        """Name of the foreign data set."""
        return one_line(self.split.removeprefix(_PREFIX), 60)


def ood_distortions(section: Section, criteria: Criteria) -> dict[tuple[str, ...], Finding]:
    """Return the finding of each group whose OOD detection was given up for accuracy.

    A group is met where its mean in the primary metric is above that of the head on frozen
    features, over paired seeds, and its AUROC on a foreign data set significantly below: exact
    sign-flip over seeds, adjusted by Holm over every foreign data set and planned group. A trial
    that lacks a seed has p = 1 and stays in the count.

    Returns:
        By the group's key.
    """
    frozen, trials = section.frozen, ood_trials(section)
    if frozen is None or not trials:
        return {}
    worse: dict[tuple[str, ...], list[str]] = {}
    for one, p in trials:
        if p < criteria.alpha and one.mean < 0:
            worse.setdefault(one.group.key, []).append(_told(one, p, len(trials)))
    found = {}
    for group in section.groups:
        gain = _gain(group, frozen) if group.key in worse else 0.0
        if gain > 0 and group.metric is not None:
            text = f"{group.metric.name} {gain:.3f} better than {frozen.label}, but "
            text += "; ".join(worse[group.key])
            seeds = f"{len(group.completed)} seeds"
            found[group.key] = Finding("OOD_DISTORTION", hard=False, text=text, seeds=seeds)
    return found


def ood_trials(section: Section) -> list[tuple[Trial, float]]:
    """Return every group on every foreign data set, with the adjusted p of its difference."""
    frozen = section.frozen
    if frozen is None:
        return []
    records = [one for group in section.groups for one in group.completed.values()]
    splits = sorted({s for one in records for s in one.metrics["selected"] if _is_foreign(s)})
    trials = [_trial(g, frozen, split) for g in section.family(frozen) for split in splits]
    adjusted = holm([one.p for one in trials])
    return [(one, float(p)) for one, p in zip(trials, adjusted, strict=True)]


def _is_foreign(split: str) -> bool:
    return split.startswith(_PREFIX)


def _trial(group: Group, frozen: Group, split: str) -> Trial:
    mine, theirs = _by_seed(group, split), _by_seed(frozen, split)
    seeds = sorted(group.cells.keys() & frozen.cells.keys())
    differences = tuple(mine[s] - theirs[s] for s in seeds if s in mine and s in theirs)
    is_whole = bool(seeds) and len(differences) == len(group.cells)
    return Trial(group, split, differences, sign_flip_p(differences) if is_whole else 1.0)


def _by_seed(group: Group, split: str) -> dict[int, float]:
    found = {seed: one.value(_METRIC, split) for seed, one in group.completed.items()}
    return {seed: value for seed, value in found.items() if value is not None}


def _gain(group: Group, frozen: Group) -> float:
    """Return how much better its primary metric is, a mean over paired seeds."""
    mine, theirs = group.values, frozen.values
    mean = float(np.mean([mine[seed] - theirs[seed] for seed in mine.keys() & theirs.keys()]))
    return -mean if group.metric is not None and group.metric.direction == "min" else mean


def _told(trial: Trial, p: float, num_trials: int) -> str:
    return f"AUROC {trial.mean:+.3f} on {trial.name}, adjusted p {p:.3g} over {num_trials}"
