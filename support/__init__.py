"""What networks.py and the commands depend on: norms, filters, arguments, atomic writes, GPU settings."""
