"""CPU seconds of the reliability measures for a cell of the default plan that was not trained.

python benchmarks/reliability.py NUM_TEST_IMAGES
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from sftbench.api import Job
from sftbench.assembly import build_workspace, resolve
from sftbench.engine.training import Outputs, Trained, predict_on
from sftbench.planning import make_plan
from sftbench.reliability.measuring import measure
from sftbench.request import Request
from sftbench.warm import Warm

ASKED = ("ood:digits", "drift", "attribution", "corruptions")


def main(num: int) -> None:
    """Print the seconds of each measure, and of one pass over the test images."""
    warm = Warm(Job(out=Path("unused")), threads=1, disk=False)
    request = Request(
        strategy=("full",), seeds=(0,), changes={"limit_test": num, "evaluate": ASKED}
    )
    cell = make_plan(request, warm.catalog, "fp32").cells[0]
    parts = resolve(cell, warm)
    ws = build_workspace(cell, parts, warm, lambda *_: None)
    for _ in range(2):  # the first pass warms up
        start = time.process_time()
        tested = predict_on(ws, ws.model, ws.data.test, ws.data.test_indices)
        seconds = time.process_time() - start
    print(f"{'one pass over the test images':30} {seconds:8.2f} s")
    outputs = Outputs(None, tested)
    trained = Trained(ws.model, outputs, outputs)
    for asked in ASKED:
        protocol = cell.protocol.model_copy(update={"evaluate": (asked,)})
        start = time.process_time()
        measure(cell.model_copy(update={"protocol": protocol}), parts, ws, warm, trained)
        print(f"{asked:30} {time.process_time() - start:8.2f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
