"""The built-in strategies by name, imported when they are asked for."""

from sftbench.api import Entry, Family

_HERE = "sftbench.builtin.strategies"

STRATEGIES: tuple[Entry | Family, ...] = (
    Entry("full", f"{_HERE}.full:Full", "train every parameter"),
    Entry(
        "head-only",
        f"{_HERE}.head_only:HeadOnly",
        "train the head on frozen features",
        against=("FORGETTING", "NO_LEARNING", "OOD_DISTORTION", "OVERFIT", "RESOURCE", "UNSTABLE"),
    ),
    Entry(
        "logistic-probe",
        f"{_HERE}.logistic_probe:LogisticProbe",
        "logistic regression on frozen features, to convergence",
        "C",
        against=("NO_LEARNING", "RESOURCE"),
    ),
    Entry(
        "scratch",
        f"{_HERE}.scratch:Scratch",
        "train every parameter from random weights",
        against=("NEGATIVE_TRANSFER",),
    ),
    Entry(
        "lp-ft",
        f"{_HERE}.lp_ft:LpFt",
        "the head first, then every parameter",
        against=("DIVERGED", "OOD_DISTORTION", "UNSTABLE"),
    ),
    Entry("partial", f"{_HERE}.partial:Partial", "train the last K blocks and the head", "K"),
    Entry(
        "balanced-softmax",
        f"{_HERE}.prior_losses:BalancedSoftmax",
        "full, with log class counts added to the logits of the loss",
        against=("MINORITY_COLLAPSE",),
    ),
    Entry(
        "logit-adjust",
        f"{_HERE}.prior_losses:LogitAdjust",
        "full, with tau log class shares added to the logits of the loss",
        against=("MINORITY_COLLAPSE",),
    ),
    Entry(
        "class-balanced-sampling",
        f"{_HERE}.sampling:ClassBalancedSampling",
        "full, drawing every class equally often",
        against=("MINORITY_COLLAPSE",),
    ),
    Entry("bias-only", f"{_HERE}.few_parameters:BiasOnly", "train biases and the head (BitFit)"),
    Entry(
        "norm-only", f"{_HERE}.few_parameters:NormOnly", "train normalisation layers and the head"
    ),
    Entry(
        "layer-decay",
        f"{_HERE}.layer_rates:LayerDecay",
        "full, with rates that fall from block to block towards the stem",
        against=("DIVERGED",),
    ),
    Entry(
        "discriminative-lr",
        f"{_HERE}.layer_rates:DiscriminativeLr",
        "full, each block at the next one's rate / 2.6, slanted triangular rates (ULMFiT)",
        against=("DIVERGED",),
    ),
    Entry(
        "gradual-unfreeze",
        f"{_HERE}.layer_rates:GradualUnfreeze",
        "the head first, one more group of blocks in each epoch (ULMFiT)",
    ),
    Entry(
        "surgical",
        f"{_HERE}.surgical:Surgical",
        "train the one group of blocks that validation chooses, and the head",
    ),
    Entry(
        "l2-sp",
        f"{_HERE}.regularised:L2Sp",
        "full, held near the pretrained weights",
        against=("FORGETTING", "OVERFIT"),
    ),
    Entry(
        "bss",
        f"{_HERE}.regularised:Bss",
        "full, with the features' smallest singular values shrunk",
        against=("NEGATIVE_TRANSFER",),
    ),
    Entry(
        "ema",
        f"{_HERE}.averaged:Ema",
        "full, keeping a moving average of the weights",
        against=("UNSTABLE",),
    ),
    Entry(
        "wise-ft",
        f"{_HERE}.averaged:WiseFt",
        "the head first, then full, then a mean of both, its share chosen on validation",
        against=("FORGETTING", "FRAGILE", "OOD_DISTORTION"),
    ),
    Entry(
        "model-soup",
        f"{_HERE}.averaged:ModelSoup",
        "a mean of k fine-tuned models, at k times the budget",
        against=("FRAGILE", "UNSTABLE"),
    ),
    Entry(
        "sam",
        f"{_HERE}.sam:Sam",
        "full, each step by the gradient at the worst point nearby; two passes a step",
    ),
    Entry(
        "joint",
        f"{_HERE}.joint:Joint",
        "one backbone on a source and the target at once, lambda on the target",
        "SOURCE",
    ),
    Entry("focal", f"{_HERE}.reweighted_losses:Focal", "full, with the softmax focal loss"),
    Entry(
        "class-balanced",
        f"{_HERE}.reweighted_losses:ClassBalanced",
        "full, with losses weighted by the effective number of images of a class",
        against=("MINORITY_COLLAPSE",),
    ),
    Entry(
        "ldam-drw",
        f"{_HERE}.ldam:LdamDrw",
        "full with a cosine head, margins by class and late class-balanced weights",
        against=("MINORITY_COLLAPSE",),
    ),
    Entry(
        "logit-adjust-posthoc",
        f"{_HERE}.rebalanced_heads:LogitAdjustPosthoc",
        "full, with tau log class shares taken off the trained head's bias",
        against=("MINORITY_COLLAPSE",),
    ),
    Entry(
        "tau-norm",
        f"{_HERE}.rebalanced_heads:TauNorm",
        "full, with the norms of the trained head's class weights evened out",
        against=("MINORITY_COLLAPSE",),
    ),
    Entry(
        "crt",
        f"{_HERE}.decoupled:Crt",
        "full, then a new head on the frozen rest with class-balanced sampling",
        against=("MINORITY_COLLAPSE",),
    ),
    Entry(
        "lws",
        f"{_HERE}.decoupled:Lws",
        "full, then one scale for each class with class-balanced sampling",
        against=("MINORITY_COLLAPSE",),
    ),
    Entry(
        "sqrt-sampling",
        f"{_HERE}.sampling:SqrtSampling",
        "full, drawing classes by the square root of their counts",
        against=("MINORITY_COLLAPSE",),
    ),
    Entry(
        "progressive-sampling",
        f"{_HERE}.sampling:ProgressiveSampling",
        "full, from drawing images equally often to drawing classes so",
        against=("MINORITY_COLLAPSE",),
    ),
    Entry(
        "label-smoothing",
        f"{_HERE}.label_smoothing:LabelSmoothing",
        "full, with a share of each target spread over all classes",
        against=("MISCALIBRATED", "OVERFIT"),
    ),
    Entry(
        "mixup",
        f"{_HERE}.mixing:Mixup",
        "full, on weighted sums of two images",
        against=("MISCALIBRATED", "OVERFIT"),
    ),
    Entry(
        "cutmix",
        f"{_HERE}.mixing:CutMix",
        "full, on images with a box of another one",
        against=("OVERFIT",),
    ),
    Entry("head=linear", f"{_HERE}.structure:HeadLinear", "full, with the task's own linear head"),
    Entry(
        "head=mlp",
        f"{_HERE}.structure:HeadMlp",
        "full, with a head of two layers, H units between them",
        "H",
    ),
    Entry("drop-last", f"{_HERE}.structure:DropLast", "full, without the last K blocks", "K"),
    Entry(
        "stem=cifar",
        f"{_HERE}.structure:StemCifar",
        "full, with a first convolution of 3 x 3 and stride 1, for small images",
    ),
    Entry(
        "adapter",
        f"{_HERE}.adapters:Adapter",
        "train a small bottleneck behind each frozen block, and the head",
        "WIDTH",
    ),
    Entry(
        "ssf",
        f"{_HERE}.adapters:Ssf",
        "train scale and shift behind each frozen block, and the head",
    ),
    Family(
        "composite",
        f"{_HERE}.composite:family",
        "several strategies at once: their names with + between them",
        example="head-only+balanced-softmax",
    ),
)
