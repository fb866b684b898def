"""What the parent and a worker say to each other: one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sftbench.contracts.execution import Job


def encode(message: dict[str, Any]) -> bytes:
    """Return one line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Return the message of one line.

    Raises:
        ValueError: It is not JSON.
        TypeError: It is no object.
    """
    message = json.loads(line)
    if not isinstance(message, dict):
        raise TypeError("a message is an object")
    return message


def job_to_dict(job: Job, device: str) -> dict[str, Any]:
    """Return a job for one worker on one device."""
    return {
        "out": str(job.out),
        "device": device,
        "timeout": job.timeout,
        "deterministic": job.deterministic,
        "memory_format": job.memory_format,
        "compile": job.compile,
        "steps_ahead": dict(job.steps_ahead),
        "plugins": job.plugins,
        "placement": job.placement,
    }


def job_from_dict(values: dict[str, Any]) -> Job:
    """Return the job of a worker."""
    return Job(
        out=Path(values["out"]),
        devices=(values["device"],),
        jobs=1,
        timeout=values["timeout"],
        deterministic=values["deterministic"],
        memory_format=values["memory_format"],
        compile=values["compile"],
        steps_ahead=values["steps_ahead"],
        plugins=values["plugins"],
        placement=values["placement"],
    )
