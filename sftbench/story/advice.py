"""What to try next: small rules, each a pure function of the section's records that cites them.

No rule names a strategy: those that a plugin says are against a reason are its remedies.
"""

from __future__ import annotations

from sftbench.story.alternatives import better_here, cheaper_near, remedies
from sftbench.story.facts import Advice, Facts, Rule
from sftbench.story.settings import (
    confused_pair,
    fewer_epochs,
    less_memory_or_time,
    more_learning,
    more_seeds,
    smaller_rate,
    temperature,
    try_again,
)

RULES: tuple[Rule, ...] = (
    try_again,
    less_memory_or_time,
    smaller_rate,
    more_learning,
    better_here,
    remedies,
    cheaper_near,
    fewer_epochs,
    temperature,
    more_seeds,
    confused_pair,
)
"""In the order of what weighs most."""


def advise(facts: Facts) -> tuple[Advice, ...]:
    """Return what to try next, what weighs most first."""
    return tuple(advice for rule in RULES for advice in rule(facts))
