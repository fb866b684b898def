"""The published sets for the catalog, by name; nothing is imported for a listing."""

from __future__ import annotations

from sftbench.api import Entry

_HERE = "sftbench.builtin"

PUBLISHED: tuple[Entry, ...] = (
    Entry(
        "cifar10",
        f"{_HERE}.datasets.cifar:Cifar10",
        "CIFAR-10, 50,000 + 10,000 pictures of 10 things, 32 x 32 colour",
    ),
    Entry(
        "cifar100",
        f"{_HERE}.datasets.cifar:Cifar100",
        "CIFAR-100, 50,000 + 10,000 pictures of 100 things, 32 x 32 colour",
    ),
    Entry(
        "mnist",
        f"{_HERE}.datasets.published.drawn:Mnist",
        "MNIST, 60,000 + 10,000 handwritten digits, 28 x 28 grey",
    ),
    Entry(
        "fashion-mnist",
        f"{_HERE}.datasets.published.drawn:FashionMnist",
        "Fashion-MNIST, 60,000 + 10,000 clothes, 28 x 28 grey",
    ),
    Entry(
        "kmnist",
        f"{_HERE}.datasets.published.drawn:Kmnist",
        "Kuzushiji-MNIST, 60,000 + 10,000 cursive characters, 28 x 28 grey",
    ),
    Entry(
        "emnist",
        f"{_HERE}.datasets.published.drawn:Emnist",
        "EMNIST, up to 697,932 + 116,323 letters and digits, 28 x 28 grey",
        "SPLIT",
    ),
    Entry(
        "svhn",
        f"{_HERE}.datasets.published.small:Svhn",
        "SVHN, 73,257 + 26,032 digits of house numbers, 32 x 32 colour",
    ),
    Entry(
        "stl10",
        f"{_HERE}.datasets.published.small:Stl10",
        "STL-10, 5,000 + 8,000 pictures of 10 things, 96 x 96 colour",
    ),
    Entry(
        "eurosat",
        f"{_HERE}.datasets.published.small:EuroSat",
        "EuroSAT, 27,000 satellite pictures, 64 x 64 colour; a seeded 80/20 split",
    ),
    Entry(
        "pcam",
        f"{_HERE}.datasets.published.small:Pcam",
        "PatchCamelyon, 262,144 + 32,768 patches of lymph nodes, 96 x 96 colour",
    ),
    Entry(
        "flowers102",
        f"{_HERE}.datasets.published.photographs:Flowers102",
        "Oxford 102 Flowers, 2,040 + 6,149 photographs",
    ),
    Entry(
        "oxford-pets",
        f"{_HERE}.datasets.published.photographs:OxfordPets",
        "Oxford-IIIT Pet, 3,680 + 3,669 photographs of 37 breeds",
    ),
    Entry(
        "food101",
        f"{_HERE}.datasets.published.photographs:Food101",
        "Food-101, 75,750 + 25,250 photographs of dishes",
    ),
    Entry(
        "dtd",
        f"{_HERE}.datasets.published.photographs:Dtd",
        "Describable Textures, 3,760 + 1,880 photographs, partition 1",
    ),
    Entry(
        "gtsrb",
        f"{_HERE}.datasets.published.photographs:Gtsrb",
        "GTSRB, 26,640 + 12,630 German traffic signs",
    ),
    Entry(
        "fgvc-aircraft",
        f"{_HERE}.datasets.published.photographs:FgvcAircraft",
        "FGVC-Aircraft, 6,667 + 3,333 photographs of 100 variants",
    ),
    Entry(
        "imagenette",
        f"{_HERE}.datasets.published.scenes:Imagenette",
        "Imagenette, 9,469 + 3,925 photographs of ten classes of ImageNet",
    ),
    Entry(
        "country211",
        f"{_HERE}.datasets.published.scenes:Country211",
        "Country211, 42,200 + 21,100 photographs of 211 countries",
    ),
    Entry(
        "sun397",
        f"{_HERE}.datasets.published.scenes:Sun397",
        "SUN397, a seeded 19,850 + 19,850 of 108,754 photographs of scenes",
    ),
    Entry(
        "caltech101",
        f"{_HERE}.datasets.published.scenes:Caltech101",
        "Caltech-101, 8,677 photographs; a seeded split with 30 of each class to train",
    ),
    Entry(
        "imagenet",
        f"{_HERE}.datasets.published.imagenet:ImageNet",
        "ImageNet-1k, 1,281,167 + 50,000 photographs, from a folder of yours",
        "PATH",
    ),
)
