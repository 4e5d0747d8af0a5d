"""What a generator can be: the values of each argument of networks.Generator.

The generator checks its own arguments with it, so a run that could not read its own checkpoints ends before
it trains, and a checkpoint of a newer program is not taken for another generator. The options of training
take their choices from here.
"""

CHANNELS = (1, 3)
VALUES = {  # of an argument: a container, or a function that says whether it takes a value
    "in_ngc": CHANNELS,
    "out_ngc": CHANNELS,
    "ngf": range(1, 4097),
    "nb": range(1001),
    "res_convs": range(1, 4),
    "upsample": ("deconv", "resize"),
    "padding": ("reflect", "zeros"),
    "eps": lambda value: 0 < value < 1,
    "norm": ("instance", "layer", "mixed"),
    "predict": ("image", "change"),
    "flatten": range(11),
    "outline": lambda value: 0 <= value <= 1,
    "guide": range(16),
    "conv_bias": ("learned", "none"),
}


def check(parts):
    """Raise ValueError where no generator has these `parts`, {argument: value} of all arguments or some."""
    for key, value in parts.items():
        if key not in VALUES:
            raise ValueError(f"its {key} has no values in support/architecture.py")
        allowed = VALUES[key]
        if not (allowed(value) if callable(allowed) else value in allowed):
            raise ValueError(f"its {key} is {str(value)[:20]!r}")
    if (parts.get("predict") == "change" or parts.get("guide")) and parts["in_ngc"] != parts["out_ngc"]:
        raise ValueError("it changes a photo of other channels than its own")
