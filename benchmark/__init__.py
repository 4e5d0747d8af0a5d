"""Speed and memory, compared with baselines in plain PyTorch."""
