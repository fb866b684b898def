"""Where `hf:NAME` finds its rows: a folder that `datasets` wrote, its cache, or the hub.

No code of a data set is run: version 4 of `datasets` and later know none, older ones are refused.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from pydantic import Field

from sftbench.api import Options, RequestError, UnavailableError
from sftbench.names import cause, one_line, shown, unknown_name
from sftbench.network import endpoint_problem
from sftbench.options import validate

_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(?:/[\w.-]{1,96})?", re.ASCII)
_INSTALL: Final = "pip install 'sftbench[hf]'"


class Wanted(Options):
    """What stands behind `?`: `hf:uoft-cs/cifar100?label=fine_label`; None: found by itself."""

    config: str | None = Field(None, min_length=1)
    revision: str | None = Field(None, min_length=1)
    image: str | None = Field(None, min_length=1)
    label: str | None = Field(None, min_length=1)
    train: str | None = Field(None, min_length=1)
    test: str | None = Field(None, min_length=1)


def parse_source(text: str) -> tuple[str, Wanted]:
    """Return the name or folder, and what is chosen of it.

    Raises:
        RequestError: An unknown key, or one that is given twice.
    """
    name, _, query = text.partition("?")
    where = f"dataset {shown(f'hf:{text}')}"
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise RequestError(f"{where}: write KEY=VALUE&KEY=VALUE behind the ?") from None
    for key, _value in pairs:
        if key not in Wanted.model_fields:
            raise RequestError(f"{where}: {unknown_name('key', key, Wanted.model_fields)}")
    if len(dict(pairs)) < len(pairs):
        raise RequestError(f"{where}: a key is given twice")
    return name, validate(Wanted, dict(pairs), where)


@lru_cache(maxsize=4)
def load_splits(name: str, config: str | None, revision: str | None) -> Mapping[str, Any]:
    """Return the `datasets.Dataset` of each split by its name; one without a name is `train`.

    Raises:
        UnavailableError: It is not here and cannot be had, or is nothing that `datasets` reads.
    """
    library = _library()
    folder = _folder(name)
    try:
        if folder is None:
            found = _from_hub(library, name, config, revision)
        elif (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            found = library.load_from_disk(str(folder))
        else:
            found = library.load_dataset(str(folder.absolute()), config)
    except UnavailableError:
        raise
    except Exception as error:
        raise UnavailableError(f"hf:{one_line(name)}: {_why(error)}") from error
    if isinstance(found, library.Dataset):
        return {"train": found}
    return dict(found)


def _why(error: BaseException) -> str:
    """Return the first cause: `datasets` wraps what went wrong into what it was doing."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"datasets cannot load it ({cause(error)})"


def _library() -> Any:
    """Import `datasets`.

    Raises:
        UnavailableError: It is not installed, or would run code of a data set.
    """
    try:
        import datasets
    except ImportError as error:
        raise UnavailableError(
            f"hf: data sets need the package datasets ({one_line(str(error))}): {_INSTALL}"
        ) from None
    version = str(datasets.__version__)
    if int(version.partition(".")[0]) < 4:
        raise UnavailableError(f"datasets {version} runs code of data sets; update it: {_INSTALL}")
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    return datasets


def _folder(name: str) -> Path | None:
    """Return the folder that `name` means, or None where it is a name on the hub.

    Raises:
        UnavailableError: It is neither.
    """
    try:
        folder = Path(name).expanduser()
        if folder.is_dir():
            return folder
    except (OSError, RuntimeError, ValueError):  # no home, a name too long, a null character
        pass
    if _HUB_NAME.fullmatch(name) is None:
        raise UnavailableError(
            f"hf:{one_line(name)}: no such folder, and no name of a hub (as ylecun/mnist)"
        )
    return None


def _from_hub(library: Any, name: str, config: str | None, revision: str | None) -> Any:
    """Load from the cache of `datasets`, after a look at the hub where it answers.

    Raises:
        UnavailableError: It is not in the cache, and the hub cannot be asked.
    """
    import huggingface_hub

    problem = "HF_HUB_OFFLINE is set"
    if not (library.config.HF_HUB_OFFLINE or huggingface_hub.constants.HF_HUB_OFFLINE):
        reached = endpoint_problem(library.config.HF_ENDPOINT)
        if reached is None:
            return library.load_dataset(name, config, revision=revision)
        problem = reached
    try:
        with _offline(library.config, huggingface_hub.constants):
            return library.load_dataset(name, config, revision=revision)
    except Exception as error:
        raise UnavailableError(
            f"hf:{name}: not in the cache of datasets, and {problem}; run it once with a network, "
            "or copy a folder of it here and use hf:FOLDER"
        ) from error


@contextmanager
def _offline(*holders: Any) -> Iterator[None]:
    """Keep both libraries from asking a hub that does not answer: their patience is long."""
    before = [holder.HF_HUB_OFFLINE for holder in holders]
    try:
        for holder in holders:
            holder.HF_HUB_OFFLINE = True
        yield
    finally:
        for holder, value in zip(holders, before, strict=True):
            holder.HF_HUB_OFFLINE = value
