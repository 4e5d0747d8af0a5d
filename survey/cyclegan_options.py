"""The options of CycleGAN, without PyTorch."""

from support.arguments import Parser, number
from training.config import FILTERS, REAL, WHOLE, Method, add_pictures, add_places, add_rates, add_running

SMALLEST = 24  # pixels a side: less gives the discriminator no output
LARGE = 256  # from this size on, the paper has three more residual blocks


def parser():
    """The parser of `python -m survey.cyclegan`."""
    made = Parser("Train a CycleGAN on unpaired photographs and drawings.")
    add_places(made)

    add = made.group("networks")
    add("in_ngc", 3, (1, 3), "channels of the photographs: 3 colour, 1 grey")
    add("out_ngc", 3, (1, 3), "channels of the drawings")
    add("ngf", 64, FILTERS, "filters of a generator's first layer")
    add("ndf", 64, FILTERS, "filters of a discriminator's first layer")
    add("nb", None, number(int, 0, 1000), "residual blocks", f"9, or 6 below {LARGE} pixels")
    upsample = "transposed convolution, or nearest neighbour and convolution"
    add("upsample", "deconv", ("deconv", "resize"), upsample)

    add = made.group("method")
    add_pictures(add)
    add("batch_size", 1, number(int, 1), "images per step")
    add("train_epoch", 200, number(int, 1), "epochs, the second half with a learning rate that falls to 0")
    add("cycle_lambda", 10, REAL, "weight of the cycle loss")
    add("idt_lambda", 0.5, REAL, "weight of the identity loss, times cycle_lambda; 0: none")
    add("pool_size", 50, WHOLE, "older results also shown to the discriminator; 0: none")
    add_rates(made)
    add_running(made)
    return made


def residual_blocks(args):
    """The number of residual blocks of a generator (Section 4)."""
    if args.nb is not None:
        return args.nb
    return 9 if args.input_size >= LARGE else 6


def _check(parser, args):
    if args.input_size < SMALLEST:
        parser.error(f"--input_size {args.input_size}: the discriminators need at least {SMALLEST}")
    if args.idt_lambda and args.in_ngc != args.out_ngc:
        parser.error(
            f"--in_ngc {args.in_ngc} and --out_ngc {args.out_ngc} need --idt_lambda 0: the identity loss "
            "compares what goes into a generator with what comes out"
        )


CYCLEGAN = Method("survey.cyclegan", parser, _check, fewest_drawings=lambda args: args.batch_size, parts={})
