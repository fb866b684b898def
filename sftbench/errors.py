"""The mistakes and absences that a person can act on, and the exit code of each."""

from __future__ import annotations

from typing import ClassVar


class SftbenchError(Exception):
    """Something a person can mend: the message says what, where, and what to do next."""

    exit_code: ClassVar[int] = 1


class RequestError(SftbenchError):
    """The request is wrong: an unknown name, a value out of range, parts that do not fit."""

    exit_code: ClassVar[int] = 2


class UnavailableError(SftbenchError):
    """Data or weights that the request needs cannot be had on this machine."""

    exit_code: ClassVar[int] = 3


class WeightsUnavailableError(UnavailableError):
    """A backbone's pretrained weights cannot be had on this machine.

    Args:
        message: Why.
        backbone: Its name, so that others can be proposed.
    """

    def __init__(self, message: str, backbone: str) -> None:
        super().__init__(message)
        self.backbone = backbone


class RecordError(SftbenchError):
    """A file of the store is not a record that this version can read."""


class DivergedError(SftbenchError):
    """Training left the finite numbers.

    Args:
        message: What was not finite, and at which step.
    """
