"""What a contract check finds, and how a list of rules is applied without one hiding another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sftbench.errors import UnavailableError
from sftbench.names import cause, one_line

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says of one component.

    Attributes:
        component: Kind and name: `strategy bias-only`.
        rule: The rule, in words.
        problem: How the rule is broken, or None.
        unchecked: Why the rule could not be tried, or None.
    """

    component: str
    rule: str
    problem: str | None = None
    unchecked: str | None = None

    @property
    def outcome(self) -> str:
        """`ok`, `BROKEN: ...` or `not checked: ...`."""
        if self.problem is not None:
            return f"BROKEN: {self.problem}"
        return "ok" if self.unchecked is None else f"not checked: {self.unchecked}"

    def __str__(self) -> str:
        return f"{self.component}: {self.rule}: {self.outcome}"


class UncheckedError(Exception):
    """A rule cannot be tried here; the message says why."""


class BlockedError(Exception):
    """What a rule looks at could not be had, which another rule has said already."""


class Once(Generic[T]):
    """A value that several rules look at: made by the first one that asks.

    Where making it fails, the first rule meets the exception itself and the others
    `BlockedError`, so that one mistake is told once.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: list[T] = []
        self._failed = False

    def __call__(self) -> T:
        """Return the value."""
        if self._failed:
            raise BlockedError
        if not self._values:
            self._failed = True
            self._values.append(self._make())
            self._failed = False
        return self._values[0]


def apply(rules: Iterable[Callable[[T], str | None]], subject: T, component: str) -> list[Finding]:
    """Try every rule; its name, in words, stands in the finding.

    Args:
        rules: Each returns how it is broken, or None. It may raise what a component raises.
        subject: What the rules look at.
        component: Kind and name.
    """
    findings = []
    for rule in rules:
        words = rule.__name__.replace("_", " ")
        try:
            problem = rule(subject)
        except BlockedError:
            continue
        except (UncheckedError, UnavailableError) as reason:
            findings.append(Finding(component, words, unchecked=one_line(str(reason))))
            continue
        except Exception as error:  # noqa: BLE001 - a component is a plugin and may raise anything
            problem = f"raised {cause(error)}"
        findings.append(Finding(component, words, problem))
    return findings
