"""Pictures and films in and out, checkpoints, and a generator applied to them."""
