"""For authors of plugins: contract checks, a tiny network, tiny images, and a cell of both.

    from sftbench.testing import check_component, run_tiny

    @pytest.mark.parametrize("finding", check_component("strategy", BiasOnly), ids=str)
    def test_contract(finding):
        assert finding.problem is None

Nothing here writes to disk, looks for the network (but where a backbone loads its weights from
there), or leaves a plugin registered. `sftbench plugins check NAME` is `check_plugin`.
"""

from sftbench.testing.check import check_component, check_plugin
from sftbench.testing.findings import Finding
from sftbench.testing.tiny import (
    TinyBackbone,
    TinyImages,
    TinyTransformer,
    run_tiny,
    tiny_catalog,
)

__all__ = [
    "Finding",
    "TinyBackbone",
    "TinyImages",
    "TinyTransformer",
    "check_component",
    "check_plugin",
    "run_tiny",
    "tiny_catalog",
]
