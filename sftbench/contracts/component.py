"""What every component has in common, and how a plugin names one without importing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from sftbench.options import Options

Kind = Literal[
    "backbone",
    "dataset",
    "variant",
    "strategy",
    "task",
    "metric",
    "executor",
    "tracker",
]


class Component:
    """Base of the eight kinds: a name, a line about it, a version, and options.

    Attributes:
        name: How a person asks for it. Letters, digits and `._/=+-`.
        summary: One line for `sftbench list`.
        algorithm_version: Raise it when results may change; older cells then count as others.
        options_model: The model of its options; unknown keys are refused with the nearest one.
        argument: The option that the text after a colon fills: with `argument = "ratio"`,
            `longtail:100` is `longtail` with `ratio=100`. None: the name takes no parameter.
        example: A text for `argument` that `sftbench plugins check` may use; None: it cannot be
            checked without one from a person (a path).
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    algorithm_version: int = 1
    options_model: ClassVar[type[Options]] = Options
    argument: ClassVar[str | None] = None
    example: ClassVar[str | None] = None

    def __init__(self, options: Options | None = None) -> None:
        self.options = self.options_model() if options is None else options

    def bind(self, create: Create) -> None:
        """Look for other components that this one is made of; called once, after it is built.

        Args:
            create: Builds a component from its kind and reference, as `sftbench.catalog` does.

        Raises:
            sftbench.api.RequestError: One of them is unknown or does not fit.
        """
        return

    @property
    def reference(self) -> str:
        """The canonical name with its parameter: `longtail:100`."""
        if self.argument is None:
            return self.name
        value = getattr(self.options, self.argument)
        text = repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
        return f"{self.name}:{text}"


class Create(Protocol):
    """Builds a component from its kind and reference, and options besides."""

    def __call__(
        self, kind: Kind, reference: str, settings: Mapping[str, Any] | None = None
    ) -> Component:
        """Return the component, itself bound."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A component named without importing it, so that listing needs no torch.

    Args:
        name: The component's name.
        load: `package.module:Class`, imported when the name is asked for.
        summary: One line for `sftbench list`.
        parameter: What stands behind the name's colon, for people: `R` in `longtail:R`.
        against: Of a strategy: names of the verdict's reasons (`MINORITY_COLLAPSE`) that it is
            meant to mend; where one of them is met, `sftbench explain` proposes it.
    """

    name: str
    load: str
    summary: str
    parameter: str | None = None
    against: tuple[str, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True, slots=True)
class Family:
    """An open family: every name that its resolver knows, such as all models of timm.

    Args:
        name: Name of the family for `sftbench list`, shown as `NAME (family)`.
        load: `package.module:resolver`, a `Resolver`, imported when no entry has the name.
        summary: One line for `sftbench list`.
        prefix: Only names that begin with it are asked of the resolver (it sees them whole).
        example: A name of the family.
    """

    name: str
    load: str
    summary: str
    prefix: str = ""
    example: str = ""


@runtime_checkable
class Resolver(Protocol):
    """What `Family.load` points to."""

    def names(self) -> Iterable[str]:
        """Return every name of the family, with its prefix."""
        ...

    def resolve(self, name: str) -> type[Component] | None:
        """Return the class of `name`, or None where the family has no such name."""
        ...
