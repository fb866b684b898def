"""Tasks: head, loss, batches, metrics and statistics."""
