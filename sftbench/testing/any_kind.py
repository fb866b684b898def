"""Rules for components of every kind."""

from __future__ import annotations

from dataclasses import dataclass

from sftbench.catalog import Catalog
from sftbench.contracts.component import Component, Kind
from sftbench.names import shown
from sftbench.testing.findings import Once, UncheckedError
from sftbench.testing.tiny import reference_of, tiny_catalog

_MAX_SUMMARY = 100


@dataclass
class AnyKind:
    """A class and what is made of it.

    Args:
        kind: Its kind.
        cls: Sound by `catalog.class_problem`.
        base: Where its plugin's other components are, or None.
    """

    kind: Kind
    cls: type[Component]
    base: Catalog | None = None

    def __post_init__(self) -> None:
        self.catalog = Once(lambda: tiny_catalog(self.cls, base=self.base))
        self.component = Once(self._build)

    def _build(self) -> Component:
        cls = self.cls
        field = None if cls.argument is None else cls.options_model.model_fields[cls.argument]
        if field is not None and field.is_required() and cls.example is None:
            raise UncheckedError(f"needs a {str(cls.argument).upper()}, and gives no `example`")
        return self.catalog().create(self.kind, reference_of(cls))


def summary_is_one_line(subject: AnyKind) -> str | None:
    """A list has one line for it."""
    summary = subject.cls.summary
    if not summary.strip():
        return "summary is empty"
    if "\n" in summary or len(summary) > _MAX_SUMMARY:
        return f"summary is not one line of at most {_MAX_SUMMARY} characters: {shown(summary)}"
    return None


def class_has_a_docstring(subject: AnyKind) -> str | None:
    """The class says what it is; the text of its base does not count."""
    text = vars(subject.cls).get("__doc__")
    return None if text and text.strip() else f"{subject.cls.__name__} has no docstring"


def options_are_frozen_and_closed(subject: AnyKind) -> str | None:
    """Options cannot change while a cell runs, and an unknown one is refused."""
    config = subject.cls.options_model.model_config
    name = subject.cls.options_model.__name__
    if config.get("frozen") is not True:
        return f"{name} is not frozen; leave model_config as sftbench.api.Options has it"
    if config.get("extra") != "forbid":
        return f"{name} lets unknown keys pass; leave model_config as sftbench.api.Options has it"
    return None


def can_be_built(subject: AnyKind) -> str | None:
    """Every option has a default, but for the one behind the colon."""
    subject.component()
    return None


def reference_builds_the_same(subject: AnyKind) -> str | None:
    """The reference, which stands in records, leads back to the same component."""
    made = subject.component()
    again = subject.catalog().create(subject.kind, made.reference)
    if again.reference != made.reference or again.options != made.options:
        return f"{made.reference} builds {again.options!r}, not {made.options!r}"
    return None


ANY_KIND = (
    summary_is_one_line,
    class_has_a_docstring,
    options_are_frozen_and_closed,
    can_be_built,
    reference_builds_the_same,
)
