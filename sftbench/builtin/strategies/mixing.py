"""Full fine-tuning on mixtures of two images."""

from __future__ import annotations

from pydantic import Field

from sftbench.api import BackboneInfo, DatasetInfo, Options, Stage, Strategy, StrategyContext


class MixupOptions(Options):
    """`alpha`: of the Beta distribution of shares."""

    alpha: float = Field(0.2, gt=0, le=100)


class CutMixOptions(Options):
    """`alpha`: of the Beta distribution of shares; at 1 all shares are equally likely."""

    alpha: float = Field(1.0, gt=0, le=100)


class Mixup(Strategy):
    """Train on lam x_i + (1 - lam) x_j with the loss of both labels by the same shares.

    lam ~ Beta(alpha, alpha), one for each batch. It takes the place of the protocol's mixing.

    Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", equation 1; alpha from
    section 3.1 (ImageNet; CIFAR-10 in section 3.2 has 1).
    """

    name = "mixup"
    summary = "full, on weighted sums of two images"
    needs_labels = True
    claims = frozenset({"mixing"})
    options_model = MixupOptions
    options: MixupOptions

    def supports(self, task: str, backbone: BackboneInfo, dataset: DatasetInfo) -> str | None:
        """Refuse what are no images."""
        return _no_images(self.name, backbone)

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        return [Stage(name="train", mixup=self.options.alpha, cutmix=0.0)]


class CutMix(Strategy):
    """Train on images with a box of another one, with the loss of both labels by their areas.

    lam ~ Beta(alpha, alpha), one for each batch. It takes the place of the protocol's mixing.

    Source: Yun et al. 2019, "CutMix: Regularization Strategy to Train Strong Classifiers with
    Localizable Features", equations 1 and 2. Every batch is mixed; the authors' code mixes every
    second one of CIFAR.
    """

    name = "cutmix"
    summary = "full, on images with a box of another one"
    needs_labels = True
    claims = frozenset({"mixing"})
    options_model = CutMixOptions
    options: CutMixOptions

    def supports(self, task: str, backbone: BackboneInfo, dataset: DatasetInfo) -> str | None:
        """Refuse what are no images."""
        return _no_images(self.name, backbone)

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        return [Stage(name="train", mixup=0.0, cutmix=self.options.alpha)]


def _no_images(name: str, backbone: BackboneInfo) -> str | None:
    """Say why there is nothing to mix: the backbone's inputs are no images; or None."""
    if "image-classification" in backbone.tasks:
        return None
    return f"strategy {name} mixes images, and this backbone takes none"
