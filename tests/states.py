"""States of runs compared to the bit. The fork server imports this, so it makes no file (see faults.py)."""

import torch


def same(one, two):
    """Whether two nested dictionaries and lists of tensors and values are equal to the bit."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    return torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two
