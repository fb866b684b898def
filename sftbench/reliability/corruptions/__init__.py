"""The 15 corruptions of Hendrycks and Dietterich (2019) in torch, for whole batches on the device.

Source: arXiv:1903.12261, and the code beside it that made the published sets, hendrycks/robustness,
`ImageNet-C/create_c/make_cifar_c.py` (32 px), `make_tinyimagenet_c.py` (64 px) and
`ImageNet-C/imagenet_c/imagenet_c/corruptions.py` (224 px). An image is corrupted with the numbers
of the size that is nearest to its own, by ratio.

Where this departs from that code:

* Every image has random numbers of its own, which its seed alone decides; severities of a kind
  share them. Published sets were drawn one after another, so none can be made again bit by bit.
* `frost` adds a fractal texture with the mean, spread and tint of the published photographs.
* `glass_blur`: a pixel takes a neighbour as it was before the pass. In the published loop one
  that took something before may pass it on; where the reach is one pixel that never happens.
* `motion_blur` is ImageMagick's algorithm by hand, without its rounding between the taps.
* `fog` on sizes that are no power of two is cut out of the next larger one.
"""

from sftbench.reliability.corruptions.making import KINDS, SEVERITIES, corrupt

__all__ = ["KINDS", "SEVERITIES", "corrupt"]
