"""Whether weights of a hub can be had here: in the cache, or from a host that answers in time."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sftbench.api import UnavailableError
from sftbench.names import cause
from sftbench.network import endpoint_problem

# torch's own: the first digits of the SHA-256 stand in the file's name.
_HASH = re.compile(r"-([a-f0-9]{8,})\.")


def url_problem(url: str) -> str | None:
    """Say why torch cannot load the checkpoint of `url`, or None: it has it or can reach it."""
    if checkpoint_file(url).is_file():
        return None
    return endpoint_problem(url)


def fetch_checkpoint(url: str, name: str, say: Callable[[str], None]) -> None:
    """Download the checkpoint of `url` to where torch looks for it, checked by its hash.

    Args:
        url: Of the file.
        name: Of the backbone, for messages.
        say: Is given a line about what is downloaded.

    Raises:
        UnavailableError: It cannot be had after all.
    """
    import torch

    file = checkpoint_file(url)
    if file.is_file():
        return
    say(f"downloading the weights of {name}: {url}")
    digits = _HASH.search(file.name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            url, str(file), digits[1] if digits else None, progress=sys.stderr.isatty()
        )
    except (OSError, RuntimeError, ValueError) as error:
        reason = f"{url} cannot be downloaded ({cause(error)})"
        raise UnavailableError(f"weights of {name}: {reason}") from error


def first_of(repository: str, files: Iterable[str], revision: str | None) -> None:
    """Download the first of some files that a repository of the Hugging Face hub has.

    Raises:
        EntryNotFoundError: It has none of them.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    missing: Exception | None = None
    for file in files:
        try:
            hf_hub_download(repository, file, revision=revision)
        except EntryNotFoundError as error:
            missing = error
        else:
            return
    if missing is not None:
        raise missing


@contextmanager
def quiet_unless_seen() -> Iterator[None]:
    """Show the hub's bars on a terminal alone."""
    import huggingface_hub.utils

    utils: Any = huggingface_hub.utils  # it loads its names when they are asked for
    if sys.stderr.isatty() or utils.are_progress_bars_disabled():
        yield
        return
    utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.enable_progress_bars()


def checkpoint_file(url: str) -> Path:
    """Return where torch keeps the file of `url` once it was downloaded."""
    import torch

    return Path(torch.hub.get_dir(), "checkpoints", Path(urlsplit(url).path).name)
