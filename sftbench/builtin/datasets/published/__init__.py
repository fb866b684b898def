"""Published sets by name: each declares where it lies, how it is read, and what is known of it."""
