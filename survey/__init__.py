"""Methods that led to CartoonGAN or are compared with it, one file per method."""
