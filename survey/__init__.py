"""The methods that CartoonGAN's paper stands on, or is compared with: a file each."""
