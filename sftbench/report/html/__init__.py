"""The report as one HTML page: what stands on it, from tables and records alone."""
