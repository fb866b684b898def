"""Writing the end of a cell, whatever a plugin made of it."""

from __future__ import annotations

import traceback

from sftbench.cell import Kept
from sftbench.errors import RequestError
from sftbench.names import cause
from sftbench.records import Failure, Record, ended
from sftbench.store import Store


def save(store: Store, record: Record, kept: Kept | None) -> Record:
    """Write a record with its predictions; where no reader would accept them, one that says so.

    Raises:
        RequestError: The store is not writable.
        OSError: The disk is full or fails.
    """
    try:
        return store.write(record, kept)
    except (OSError, RequestError):
        raise
    except Exception as error:  # noqa: BLE001 - the executor's promise: every end is a record
        failure = Failure(
            type=type(error).__name__,
            message=cause(error).partition(": ")[2],
            traceback="".join(traceback.format_exception(error)),
        )
        return store.write(ended(record.cell, "failed", failure, record.started_at), None)
