"""Speed: of the parts (pytest-benchmark), and beside peers (`python -m benchmarks.peers`)."""
