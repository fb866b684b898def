"""Object detection for sftbench: a task, its metrics, detectors on any backbone, and data sets.

Every item is lazy, so that listing imports neither torch nor pycocotools.
"""

from __future__ import annotations

from sftbench.api import Entry, hookimpl

_HERE = "sftbench_detection"


@hookimpl
def sftbench_tasks() -> list[Entry]:
    """Return the task."""
    return [
        Entry("detection", f"{_HERE}.task:Detection", "boxes and classes of objects; COCO's AP")
    ]


@hookimpl
def sftbench_metrics() -> list[Entry]:
    """Return COCO's metrics."""
    where = f"{_HERE}.metrics"
    return [
        Entry("ap", f"{where}:Ap", "average precision, mean over overlaps 0.50 to 0.95 (COCO)"),
        Entry("ap50", f"{where}:Ap50", "average precision at overlap 0.50"),
        Entry("ap75", f"{where}:Ap75", "average precision at overlap 0.75"),
        Entry("ap_small", f"{where}:ApSmall", "average precision of objects under 32 x 32 pixels"),
        Entry(
            "ap_medium", f"{where}:ApMedium", "average precision of objects up to 96 x 96 pixels"
        ),
        Entry("ap_large", f"{where}:ApLarge", "average precision of objects over 96 x 96 pixels"),
        Entry("ar100", f"{where}:Ar100", "average recall with 100 detections of an image"),
    ]


@hookimpl
def sftbench_backbones() -> list[Entry]:
    """Return the detectors; BODY is any other convolutional backbone."""
    where = f"{_HERE}.backbones"
    on = "on the feature maps of another backbone"
    return [
        Entry("fcos", f"{where}:Fcos", f"FCOS {on}", "BODY"),
        Entry("retinanet", f"{where}:RetinaNet", f"RetinaNet {on}", "BODY"),
        Entry("fasterrcnn", f"{where}:FasterRcnn", f"Faster R-CNN {on}", "BODY"),
        Entry("ssdlite", f"{where}:SsdLite", f"SSDLite {on}", "BODY"),
    ]


@hookimpl
def sftbench_datasets() -> list[Entry]:
    """Return images with boxes."""
    where = f"{_HERE}.datasets"
    return [
        Entry(
            "scene-boxes",
            f"{where}.scenes:Scenes",
            "1,200 + 400 scenes composed of items of Fashion-MNIST, 128 pixels, exact boxes",
        ),
        Entry(
            "coco",
            f"{where}.folder:CocoFolder",
            "a folder of images and instances files in COCO's form",
            "PATH",
        ),
        Entry(
            "penn-fudan-boxes",
            f"{where}.published:PennFudanBoxes",
            "Penn-Fudan, 136 + 34 street scenes with boxes of pedestrians",
        ),
        Entry(
            "voc2007-boxes",
            f"{where}.published:Voc2007",
            "PASCAL VOC 2007, 5,011 + 4,952 photographs, boxes of 20 classes",
        ),
        Entry(
            "voc2012-boxes",
            f"{where}.published:Voc2012",
            "PASCAL VOC 2012, 5,717 + 5,823 photographs, boxes of 20 classes",
        ),
        Entry(
            "coco2017",
            f"{where}.published:Coco2017",
            "COCO 2017, 118,287 + 5,000 photographs, boxes of 80 classes",
        ),
    ]


@hookimpl
def sftbench_variants() -> list[Entry]:
    """Return the long tail over objects."""
    return [
        Entry(
            "longtail-instances",
            f"{_HERE}.longtail:LongTailInstances",
            "whole images left out until objects of classes fall exponentially, R to 1",
            "R",
        )
    ]
