"""What networks.py and the commands are built on: the norm, a GPU's settings, and arguments."""
