"""Choices behind `?` in a reference: `NAME?KEY=VALUE&KEY=VALUE`."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import parse_qsl

from sftbench.api import Options, RequestError
from sftbench.names import unknown_name
from sftbench.options import validate

ChoiceT = TypeVar("ChoiceT", bound=Options)


def parse_query(text: str, model: type[ChoiceT], where: str) -> tuple[str, ChoiceT]:
    """Return what stands before the `?`, and the choices behind it.

    Args:
        text: As a person wrote it.
        model: Of the choices.
        where: What they belong to, for messages.

    Raises:
        RequestError: An unknown key, one that is given twice, or a value that is not allowed.
    """
    name, _, query = text.partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise RequestError(f"{where}: write KEY=VALUE&KEY=VALUE behind the ?") from None
    for key, _value in pairs:
        if key not in model.model_fields:
            raise RequestError(f"{where}: {unknown_name('key', key, model.model_fields)}")
    if len(dict(pairs)) < len(pairs):
        raise RequestError(f"{where}: a key is given twice")
    return name, validate(model, dict(pairs), where)
