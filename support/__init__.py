"""What networks.py and the commands are built on: the norm, and arguments."""
