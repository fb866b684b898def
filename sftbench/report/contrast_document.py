"""Two groups side by side as plain values, for JSON; numbers are not rounded."""

from __future__ import annotations

import dataclasses
from typing import Any

from sftbench.names import one_line
from sftbench.verdicts.contrast import SectionContrast
from sftbench.verdicts.datasets import Across, Contrast

_TEXT_CHARACTERS = 2000


def document(contrast: Contrast) -> dict[str, Any]:
    """Return dictionaries, lists, numbers and texts; None where a number is missing.

    Fields are those of `Contrast` and of what it holds; differences are a minus b.
    """
    return {
        "a": one_line(contrast.a, _TEXT_CHARACTERS),
        "b": one_line(contrast.b, _TEXT_CHARACTERS),
        "criteria": contrast.criteria.model_dump(mode="json"),
        "sections": [_fields(section) for section in contrast.sections],
        "across": [_fields(across) for across in contrast.across],
        "remarks": [one_line(remark, _TEXT_CHARACTERS) for remark in contrast.remarks],
    }


def _fields(one: SectionContrast | Across) -> dict[str, Any]:
    values = {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
    values["metric"] = one.metric.model_dump(mode="json")
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: _plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return one_line(value, _TEXT_CHARACTERS) if isinstance(value, str) else value
