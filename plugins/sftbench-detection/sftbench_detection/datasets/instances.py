"""COCO's `instances` files: JSON with images, annotations and categories, read with distrust."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeGuard

from sftbench.api import UnavailableError
from sftbench.builtin.datasets.labelled import class_name_problem
from sftbench.errors import RecordError
from sftbench.files import plain_file
from sftbench.names import one_line, shown
from sftbench_detection.datasets.labelled import Labelled, Objects

MAX_BYTES: Final = 1 << 30
_MOST_SIDE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Instances:
    """What an instances file says.

    Attributes:
        categories: Name of each class, by ascending id.
        images: In the order of their ids.
    """

    categories: tuple[str, ...]
    images: tuple[Labelled, ...]


def read_instances(
    file: Path, image_file: Callable[[str], Path], *, lenient: bool = False
) -> Instances:
    """Read an instances file.

    A box that is none makes its image one that cannot be read: its line names this file and the
    annotation. Anything else that is not as it should be ends the reading.

    Args:
        file: JSON with `images`, `annotations` and `categories`.
        image_file: Gives the place of an image by its `file_name`.
        lenient: Leave out boxes without an area.

    Raises:
        UnavailableError: It cannot be read, or is no such file.
    """
    where = one_line(str(file), 1000)
    content = _parsed(file, where)
    names = _categories(_list(content, "categories", where), where)
    labels = {identity: place for place, identity in enumerate(sorted(names))}
    collected: dict[int, tuple[str, Objects]] = {}
    for entry in _list(content, "images", where):
        identity, name, width, height = _image(entry, where)
        if identity in collected:
            raise UnavailableError(f"{where}: two images of id {identity}")
        collected[identity] = name, Objects(where, width, height, lenient=lenient)
    for entry in _list(content, "annotations", where):
        if not isinstance(entry, dict):
            raise UnavailableError(f"{where}: an annotation is {shown(entry)}, not an object")
        what = f"annotation {shown(entry.get('id'), 40)}"
        image, category = entry.get("image_id"), entry.get("category_id")
        if not _is_id(image) or image not in collected:
            raise UnavailableError(f"{where}: {what}: no image has id {shown(image, 40)}")
        if not _is_id(category) or category not in labels:
            raise UnavailableError(f"{where}: {what}: no category has id {shown(category, 40)}")
        name, objects = collected[image]
        objects.add(
            f"{what} of {shown(name)}",
            entry.get("bbox"),
            labels[category],
            area=entry.get("area"),
            crowd=bool(entry.get("iscrowd")),
        )
    images = []
    for identity in sorted(collected):
        name, objects = collected[identity]
        boxes = objects.boxes()  # which may find one problem more
        images.append(Labelled(image_file(name), boxes, objects.problem))
    return Instances(tuple(names[identity] for identity in sorted(names)), tuple(images))


def below(folder: Path, name: str, where: Path) -> Path:
    """Return a file below a folder by the name that an instances file has for it.

    Raises:
        UnavailableError: It leads out of the folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or not path.parts:
        said = one_line(str(where), 1000)
        raise UnavailableError(f"{said}: file_name {shown(name)} leads out of the images' folder")
    return folder / path


def _parsed(file: Path, where: str) -> dict[str, Any]:
    try:
        with plain_file(Path(os.path.realpath(file)), MAX_BYTES) as stream:
            content = json.loads(stream.read(), parse_constant=_refuse_constant)
    except RecordError as error:
        raise UnavailableError(f"{where}: {error}") from None
    except (ValueError, RecursionError) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else one_line(str(error))
        raise UnavailableError(f"{where}: not JSON: {why}") from None
    except OSError as error:
        raise UnavailableError(f"{where}: {error.strerror}") from None
    if not isinstance(content, dict):
        raise UnavailableError(f"{where}: not an object with images, annotations and categories")
    return content


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _list(content: dict[str, Any], key: str, where: str) -> Sequence[Any]:
    found = content.get(key)
    if not isinstance(found, list):
        raise UnavailableError(f"{where}: {key} is {shown(found, 60)}, not a list")
    return found


def _categories(entries: Sequence[Any], where: str) -> dict[int, str]:
    names: dict[int, str] = {}
    for entry in entries:
        given = entry if isinstance(entry, dict) else {}
        identity, name = given.get("id"), given.get("name")
        if not _is_id(identity) or not isinstance(name, str) or identity in names:
            raise UnavailableError(
                f"{where}: category {shown(entry)} needs an id of its own and a name"
            )
        problem = class_name_problem(name)
        if problem or name in names.values():
            why = problem or "two categories of one name"
            raise UnavailableError(f"{where}: category {identity}: {why}")
        names[identity] = name
    if not names:
        raise UnavailableError(f"{where}: no category")
    return names


def _image(entry: Any, where: str) -> tuple[int, str, int, int]:
    given = entry if isinstance(entry, dict) else {}
    identity, name = given.get("id"), given.get("file_name")
    width, height = given.get("width"), given.get("height")
    if not _is_id(identity) or not isinstance(name, str):
        raise UnavailableError(f"{where}: image {shown(entry)} needs an id and a file_name")
    if not (_is_side(width) and _is_side(height)):
        size = f"{shown(width, 40)} x {shown(height, 40)}"
        raise UnavailableError(f"{where}: image {shown(name)} is {size} pixels")
    return identity, name, width, height


def _is_side(value: Any) -> TypeGuard[int]:
    return _is_id(value) and 0 < value <= _MOST_SIDE


def _is_id(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
