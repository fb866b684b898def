"""PASCAL VOC's annotations: an XML file for each image, read with distrust."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sftbench.api import UnavailableError
from sftbench.errors import RecordError
from sftbench.files import read_plain
from sftbench.names import one_line, shown
from sftbench_detection.datasets.labelled import Labelled, Objects

CLASSES: Final = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
_MAX_BYTES: Final = 1 << 20
_MAX_LIST_BYTES: Final = 16 << 20
_LABELS: Final[Mapping[str, int]] = {name: label for label, name in enumerate(CLASSES)}


def listed(folder: Path, name: str) -> list[Labelled]:
    """Return the images that `ImageSets/Main/NAME.txt` names, with their boxes.

    Args:
        folder: Such as `VOCdevkit/VOC2007`.
        name: Of the list.

    Raises:
        UnavailableError: The list cannot be read.
    """
    file = folder / "ImageSets" / "Main" / f"{name}.txt"
    where = one_line(str(file), 1000)
    try:
        text = read_plain(file, _MAX_LIST_BYTES).decode("ascii")
    except (RecordError, UnicodeDecodeError) as error:
        raise UnavailableError(f"{where}: {one_line(str(error))}") from None
    names = [line.split()[0] for line in text.splitlines() if line.strip()]
    for one in names:
        if not one.replace("_", "").isalnum():
            raise UnavailableError(f"{where}: {shown(one)} names no image")
    return [read_annotation(folder, one) for one in names]


def read_annotation(folder: Path, name: str) -> Labelled:
    """Return one image with its boxes; a file that is not as it should be is a problem of it.

    VOC counts pixels from 1, and both corners belong to the box. A difficult object is neither to
    be found nor missed, as in VOC's own evaluation.
    """
    image, file = folder / "JPEGImages" / f"{name}.jpg", folder / "Annotations" / f"{name}.xml"
    where = one_line(str(file), 1000)
    nothing = Objects(where, 1, 1).boxes()
    try:
        objects = _objects(_parsed(read_plain(file, _MAX_BYTES)), where)
    except (RecordError, ValueError, ET.ParseError) as error:
        return Labelled(image, nothing, f"{where}: {one_line(str(error))}")
    boxes = objects.boxes()
    return Labelled(image, boxes, objects.problem)


def _objects(root: ET.Element, where: str) -> Objects:
    """Collect the objects of an annotation.

    Raises:
        ValueError: It is none of VOC's.
    """
    width, height = (int(_text(root, f"size/{side}")) for side in ("width", "height"))
    if not (0 < width < _MAX_BYTES and 0 < height < _MAX_BYTES):
        raise ValueError(f"its size is {width} x {height}")
    objects = Objects(where, width, height)
    for number, one in enumerate(root.iterfind("object"), start=1):
        label = _text(one, "name")
        if label not in _LABELS:
            raise ValueError(f"object {number} is a {shown(label)}")
        x0, y0, x1, y1 = (
            float(_text(one, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")
        )
        box = (x0 - 1, y0 - 1, x1 - x0 + 1, y1 - y0 + 1)
        difficult = (one.findtext("difficult") or "0").strip() == "1"
        objects.add(f"object {number}", box, _LABELS[label], crowd=difficult)
    return objects


def _parsed(content: bytes) -> ET.Element:
    """Parse a document that defines nothing: entities of its own could grow without end.

    Raises:
        ValueError: It defines something.
    """
    if b"<!" in content.replace(b"<!--", b""):
        raise ValueError("it has a document type; VOC's files have none")
    return ET.fromstring(content)  # noqa: S314 - without definitions there is nothing to expand


def _text(element: ET.Element, path: str) -> str:
    found = element.findtext(path)
    if found is None:
        raise ValueError(f"{path} is missing")
    return found.strip()
