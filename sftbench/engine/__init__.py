"""The training loop and what it needs: precision, schedules, features, timing."""
