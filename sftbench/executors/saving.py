"""Writing the end of a cell, whatever a plugin made of it, and telling when the disk is full."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sftbench.errors import RequestError, StorageError
from sftbench.names import cause
from sftbench.records import Failure, Record, ended
from sftbench.store import Store

if TYPE_CHECKING:
    from sftbench.cell import Kept


def save(store: Store, record: Record, kept: Kept | None) -> Record:
    """Write a record with its predictions; where no reader would accept them, one that says so.

    Raises:
        RequestError: The store is not writable.
        StorageError: The disk is full or fails.
    """
    with storing(store):
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


@contextmanager
def storing(store: Store) -> Iterator[None]:
    """Say of a disk that is full, or fails, what a person can do.

    Raises:
        StorageError: In place of OSError.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write to the store {store.path}: {error.strerror or error}; make room and run "
            "the same command again: finished cells are kept"
        ) from error
