"""Semantic segmentation for sftbench: what it brings, by name, so that listing imports no torch."""

from __future__ import annotations

from sftbench.api import Entry, hookimpl

_HERE = "sftbench_segmentation"


@hookimpl
def sftbench_tasks() -> list[Entry]:
    """Return the task."""
    return [Entry("segmentation", f"{_HERE}.task:Segmentation", "a class for each pixel")]


@hookimpl
def sftbench_metrics() -> list[Entry]:
    """Return the metrics, the primary one first."""
    where = f"{_HERE}.metrics"
    return [
        Entry("mean_iou", f"{where}:MeanIou", "mean intersection over union of classes"),
        Entry("worst_class_iou", f"{where}:WorstClassIou", "the lowest IoU of a class"),
        Entry("pixel_accuracy", f"{where}:PixelAccuracy", "share of pixels labelled right"),
        Entry("mean_accuracy", f"{where}:MeanAccuracy", "mean share of a class's pixels found"),
    ]


@hookimpl
def sftbench_backbones() -> list[Entry]:
    """Return the networks; each is made of another backbone."""
    where = f"{_HERE}.backbones"
    return [
        Entry("fcn", f"{where}:Fcn", "FCN over maps of 1/8, from any convolutional BODY", "BODY"),
        Entry("deeplabv3", f"{where}:DeepLabV3", "DeepLabV3 over maps of 1/8 of a BODY", "BODY"),
        Entry("lraspp", f"{where}:Lraspp", "LR-ASPP over maps of 1/8 and 1/16 of a BODY", "BODY"),
        Entry("unet", f"{where}:UNet", "U-Net over every map of a BODY, down to 1/32", "BODY"),
    ]


@hookimpl
def sftbench_datasets() -> list[Entry]:
    """Return the data sets."""
    where = f"{_HERE}.datasets"
    return [
        Entry(
            "scene-masks",
            f"{where}.scenes:SceneMasks",
            "400 + 200 composed scenes of ten kinds of clothes, 96 x 96, exact masks",
        ),
        Entry(
            "mask-folder",
            f"{where}.folder:MaskFolder",
            "your folder of images/ and masks/, or of both in train/ and test/",
            "PATH",
        ),
        Entry(
            "voc-segmentation",
            f"{where}.published:VocSegmentation",
            "PASCAL VOC 2012, 1,464 + 1,449 photographs, 20 classes and background",
        ),
        Entry(
            "penn-fudan-masks",
            f"{where}.published:PennFudanMasks",
            "Penn-Fudan, 136 + 34 street scenes, pedestrians and background",
        ),
        Entry(
            "oxford-pets-masks",
            f"{where}.published:OxfordPetsMasks",
            "Oxford-IIIT Pet trimaps, 3,680 + 3,669 photographs, pet and background",
        ),
    ]
