"""Methods that led to CartoonGAN or are compared with it, a file each."""
