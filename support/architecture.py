"""The arguments of networks.Generator: the default of each, its allowed values and its help text.

This is the only definition: the generator checks its arguments with it, so that a checkpoint of a newer
program is not mistaken for another generator, and CartoonGAN.py's options are made from it.
"""

from typing import NamedTuple

from support.arguments import number

CHANNELS = (1, 3)


class Argument(NamedTuple):
    """`values` is a tuple or a `number`. Without `help` it is not an option of training."""

    default: object
    values: object
    help: str = ""


GENERATOR = {
    "in_ngc": Argument(3, CHANNELS, "channels of the photographs: 3 colour, 1 grey"),
    "out_ngc": Argument(3, CHANNELS, "channels of the results"),
    "ngf": Argument(64, number(int, 1, 4096), "filters of the generator's first layer"),
    "nb": Argument(8, number(int, 0, 1000), "residual blocks"),
    "res_convs": Argument(2, (1, 2, 3), "convolutions per residual block"),
    "upsample": Argument("deconv", ("deconv", "resize"), "transposed convolution, or resize and convolution"),
    "padding": Argument("reflect", ("reflect", "zeros")),
    "eps": Argument(1e-5, number(float, 0, 1, above=True)),
    "norm": Argument("instance", ("instance", "layer", "mixed"), "mixed: layer norm in the upsampling half"),
    "predict": Argument("image", ("image", "change"), "predict the result, or a change to the photo"),
    "flatten": Argument(0, number(int, 0, 10), "passes of a filter that flattens the photo first; 0: none"),
    "outline": Argument(0, number(float, 0, 1), "darkness of lines at the flattened photo's contours"),
    "guide": Argument(0, number(int, 0, 15), "radius of a guided filter of the result by the photo; 0: none"),
    "conv_bias": Argument("learned", ("learned", "none"), "biases of the convolutions of both networks"),
}
DEFAULTS = {key: argument.default for key, argument in GENERATOR.items()}
OPTIONS = [key for key, argument in GENERATOR.items() if argument.help]


def check(arguments):
    """Return `arguments`, {name: value}. Raises TypeError or ValueError if one is not allowed."""
    for key, value in arguments.items():
        if key not in GENERATOR:
            raise TypeError(f"unexpected keyword argument {key!r}")
        if value not in GENERATOR[key].values:
            raise ValueError(f"its {key} is {str(value)[:20]!r}")
    follows_photo = arguments.get("predict") == "change" or arguments.get("guide")
    if follows_photo and arguments["in_ngc"] != arguments["out_ngc"]:
        raise ValueError("predict change and guide need in_ngc and out_ngc to be equal")
    return arguments
