"""Writing the end of a cell, whatever a plugin made of it, and telling when the disk is full."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from sftbench.catalog import Catalog
from sftbench.contracts.task import Task
from sftbench.errors import RequestError, StorageError
from sftbench.evaluation.resampling import Resampled
from sftbench.names import cause
from sftbench.records import Failure, Record, ended
from sftbench.scoring import resampled_predictions
from sftbench.store import Store

if TYPE_CHECKING:
    from sftbench.cell import Kept

_LOG = logging.getLogger(__name__)


def save(store: Store, record: Record, kept: Kept | None, catalog: Catalog | None = None) -> Record:
    """Write a record with its predictions; where no reader would accept them, one that says so.

    Args:
        store: Where to.
        record: Of the cell.
        kept: Its predictions, or None.
        catalog: Has the task that resamples its primary metric; needed where predictions are.

    Raises:
        RequestError: The store is not writable.
        StorageError: The disk is full or fails.
    """
    with storing(store):
        try:
            return store.write(record, kept, _resampled(record, kept, catalog))
        except (OSError, RequestError):
            raise
        except Exception as error:  # noqa: BLE001 - the executor's promise: every end is a record
            failure = Failure(
                type=type(error).__name__,
                message=cause(error).partition(": ")[2],
                traceback="".join(traceback.format_exception(error)),
            )
            return store.write(ended(record.cell, "failed", failure, record.started_at), None)


def _resampled(record: Record, kept: Kept | None, catalog: Catalog | None) -> Resampled | None:
    """Return the primary metric on resampled test examples; None where the task cannot say."""
    found = (kept or {}).get(("test", "selected"))
    if found is None or catalog is None or record.status != "ok":
        return None
    try:
        return resampled_predictions(cast(Task, catalog.create("task", record.cell.task)), found)
    except Exception:  # noqa: BLE001 - a plugin's may raise anything; the result itself is not lost by it
        _LOG.exception("cell %s: its metric could not be resampled", record.cell_id)
        return None


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
