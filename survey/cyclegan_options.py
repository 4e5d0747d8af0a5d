"""CycleGAN's options; nothing here loads PyTorch."""

from support.arguments import Parser, number, or_none
from training.method import FILTERS, REAL, WHOLE, Method, add_pictures, add_places, add_rates, add_running

SMALLEST = 24  # pixels a side: from fewer, nothing is left behind the discriminator's five convolutions
LARGE = 256  # from here on the paper has three residual blocks more


def parser():
    """The parser of `python -m survey.cyclegan`."""
    made = Parser("Train a CycleGAN: photographs in one folder, drawings in another, and back again.")
    add_places(made)

    add = made.add_argument_group("networks").add_argument
    channels = {"type": int, "choices": (1, 3), "default": 3}
    add("--in_ngc", **channels, help="channels of the photographs: 3 colour, 1 grey (%(default)s)")
    add("--out_ngc", **channels, help="channels of the drawings (%(default)s)")
    add("--ngf", type=FILTERS, default=64, help="filters of a generator's first layer (%(default)s)")
    add("--ndf", type=FILTERS, default=64, help="filters of a discriminator's first layer (%(default)s)")
    add("--nb", type=or_none(number(int, 0, 1000)), help=f"residual blocks (9, and 6 below {LARGE} pixels)")
    add(
        "--upsample",
        choices=("deconv", "resize"),
        default="deconv",
        help="transposed convolution, or nearest neighbour and convolution (%(default)s)",
    )

    add = made.add_argument_group("method").add_argument
    add_pictures(add)
    add("--batch_size", type=number(int, 1), default=1, help="images a step (%(default)s)")
    add(
        "--train_epoch",
        type=number(int, 1),
        default=200,
        help="epochs, half of them with a learning rate that falls to 0 (%(default)s)",
    )
    add("--cycle_lambda", type=REAL, default=10, help="weight of the cycle loss (%(default)s)")
    add(
        "--idt_lambda",
        type=REAL,
        default=0.5,
        help="weight of the identity loss, times cycle_lambda; 0: none (%(default)s)",
    )
    add("--pool_size", type=WHOLE, default=50, help="older results also shown to D; 0: none (%(default)s)")
    add_rates(made)
    add_running(made)
    return made


def blocks(args):
    """How many residual blocks a generator has (Section 4)."""
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


CYCLEGAN = Method(
    program=("-m", "survey.cyclegan"),
    parser=parser,
    check=_check,
    fewest_drawings=lambda args: args.batch_size,
    changeable=(
        *("lrG", "lrD", "cycle_lambda", "idt_lambda"),
        *("batch_size", "precision", "save_minutes", "vgg_model"),
    ),
)
