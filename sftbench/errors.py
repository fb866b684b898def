"""The mistakes and absences that a person can act on, and the exit code of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class SftbenchError(Exception):
    """Something a person can mend: the message says what, where, and what to do next.

    Attributes:
        about: The value of a request that it is about, as keys from its top: `("changes",
            "epochs")`, `("strategy", "ful")`. Empty where it is about none.
    """

    exit_code: ClassVar[int] = 1
    about: tuple[str | int, ...] = ()


@contextmanager
def about(*keys: str | int) -> Iterator[None]:
    """Let a mistake that is raised within know which value of the request it is about."""
    try:
        yield
    except SftbenchError as error:
        error.about = (*keys, *error.about)
        raise


class RequestError(SftbenchError):
    """The request is wrong: an unknown name, a value out of range, parts that do not fit."""

    exit_code: ClassVar[int] = 2


class UnavailableError(SftbenchError):
    """Data or weights that the request needs cannot be had on this machine."""

    exit_code: ClassVar[int] = 3


class CacheError(UnavailableError):
    """The cache cannot be written: its place is none, is another's, or is full."""


class WeightsUnavailableError(UnavailableError):
    """A backbone's pretrained weights cannot be had on this machine.

    Args:
        message: Why.
        backbone: Its name, so that others can be proposed.
    """

    def __init__(self, message: str, backbone: str) -> None:
        super().__init__(message)
        self.backbone = backbone


class StorageError(SftbenchError):
    """The disk does not take what a run must keep: it is full, or fails."""


class RecordError(SftbenchError):
    """A file of the store is not a record that this version can read."""


class DivergedError(SftbenchError):
    """Training left the finite numbers.

    Args:
        message: What was not finite, and at which step.
    """
