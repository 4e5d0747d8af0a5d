"""Read and write pictures, films and checkpoints, and apply a generator to them."""
