"""Networks as the benchmark sees them: ordered blocks and a head."""
