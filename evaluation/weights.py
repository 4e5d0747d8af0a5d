"""Print what the weights of generators are like, as a table in Markdown.

python -m evaluation.weights Hayao_net_G_float.pth results/NAME_results/generator_latest.pth
"""

import sys

import torch

from networks import CONVOLUTIONS
from pictures import checkpoints
from support.arguments import Parser, path
from support.norm import InstanceNorm, LayerNorm
from utils import exit_status

COLUMNS = ("checkpoint", "parameters", "scales: mean", "quartiles")
COLUMNS += ("largest convolution bias", "largest norm bias", "eps")


def describe(generator):
    """The parameters of a network: how many, the scales of its norms, the largest biases, the norms' eps.

    Returns the cells of COLUMNS after the first, as texts. "Largest" is of absolute values.
    """
    convolutions = [layer for layer in generator.modules() if isinstance(layer, CONVOLUTIONS)]
    norms = [layer for layer in generator.modules() if isinstance(layer, (InstanceNorm, LayerNorm))]
    scales = [norm.weight.detach() for norm in norms if norm.weight is not None]
    biases = [layer.bias for layer in convolutions if layer.bias is not None]
    return [
        f"{sum(parameter.numel() for parameter in generator.parameters()):,}",
        *(_scales(torch.cat(scales)) if scales else ("none", "none")),
        f"{_largest(biases):.2g}" if biases else "none",
        f"{_largest(norm.bias for norm in norms):.2g}" if scales else "none",
        ", ".join(f"{eps:g}" for eps in sorted({norm.eps for norm in norms})),
    ]


def _scales(values):
    quartiles = values.quantile(torch.tensor([0.25, 0.5, 0.75]))
    return f"{values.mean():.3f}", ", ".join(f"{value:.3f}" for value in quartiles)


def _largest(tensors):
    return max(tensor.abs().max().item() for tensor in tensors)


def main(argv=None):
    parser = Parser("Print what the weights of generators are like, as a table in Markdown.")
    parser.add_argument(
        "checkpoints", nargs="+", type=path, help="generators, of any layout that test.py knows"
    )
    args = parser.parse_args(argv)
    rows = [[str(file), *describe(checkpoints.load_generator(file))] for file in args.checkpoints]
    for row in (COLUMNS, ["---"] * len(COLUMNS), *rows):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    sys.exit(exit_status(main))
