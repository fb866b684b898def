"""What can be measured of a cell besides its task's metrics: `--ood NAME`, `--drift` and so on.

A protocol holds them as texts (`Protocol.evaluate`), each a kind, and for `ood` a data set behind
a colon. Pure, without torch; the measuring itself is `sftbench.reliability`.
"""

from __future__ import annotations

from collections.abc import Iterable

from sftbench.names import shown, unknown_name

OOD = "ood"
CORRUPTIONS = "corruptions"
DRIFT = "drift"
FORGETTING = "forgetting"
ATTRIBUTION = "attribution"
KINDS = (ATTRIBUTION, CORRUPTIONS, DRIFT, FORGETTING, OOD)
# A split of the predictions is named after an `ood` measure, and its name has an end.
MOST_CHARACTERS = 200


def kind_of(measure: str) -> str:
    """Return the kind of a measure: `ood` of `ood:digits`."""
    return measure.partition(":")[0]


def ood_names(measures: Iterable[str]) -> tuple[str, ...]:
    """Return the data sets that out-of-distribution examples are asked of."""
    return tuple(one.partition(":")[2] for one in measures if kind_of(one) == OOD)


def checked(measures: Iterable[str]) -> tuple[str, ...]:
    """Return measures sorted, each once.

    Raises:
        ValueError: There is no such measure, or it is not written as it should be.
    """
    for measure in measures:
        kind, colon, name = measure.partition(":")
        if kind not in KINDS:
            raise ValueError(unknown_name("measure", kind, KINDS))
        if kind == OOD and not name:
            raise ValueError("write the data set behind ood, as in ood:digits")
        if kind != OOD and colon:
            raise ValueError(f"{kind} has no parameter, got {shown(measure)}")
        if len(measure) > MOST_CHARACTERS:
            raise ValueError(f"longer than {MOST_CHARACTERS} characters: {shown(measure)}")
    return tuple(sorted(set(measures)))
