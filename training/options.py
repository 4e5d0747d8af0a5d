"""CartoonGAN.py's options: their names, defaults, help and checks."""

from argparse import BooleanOptionalAction

from support import architecture
from support.arguments import Parser, number, or_none, place
from training.method import (
    BETA,
    FILTERS,
    RATE,
    REAL,
    WHOLE,
    Method,
    add_pictures,
    add_places,
    add_rates,
    add_running,
)


def training_parser():
    """The parser of CartoonGAN.py's options."""
    parser = Parser("Train a CartoonGAN: photographs in one folder, drawings in another, no pairs.")
    add = add_places(parser)
    add("--pair_dir", type=or_none(place), help="where edge-smoothed drawings are kept (TGT_DATA/pair)")

    group = parser.add_argument_group("networks")
    add = group.add_argument
    for key in architecture.OPTIONS:
        default, values, text = architecture.GENERATOR[key]
        kind = {"type": type(default), "choices": values} if isinstance(values, tuple) else {"type": values}
        add(f"--{key}", **kind, default=default, help=f"{text} (%(default)s)")
    add(
        "--in_ndc",
        type=int,
        choices=architecture.CHANNELS,
        default=3,
        help="channels of the discriminator's input, the same as out_ngc (%(default)s)",
    )
    add(
        "--out_ndc",
        type=FILTERS,
        default=1,
        help="channels of the discriminator's output (%(default)s)",
    )
    add(
        "--ndf",
        type=FILTERS,
        default=32,
        help="filters of the discriminator's first layer (%(default)s)",
    )
    add(
        "--norm_init",
        choices=("one", "uniform"),
        default="one",
        help="scales of the norms at the start: all 1, or drawn between 0 and 1 (%(default)s)",
    )

    group = parser.add_argument_group("method")
    add = group.add_argument
    add_pictures(add)
    add("--batch_size", type=number(int, 1), default=8, help="images a step (%(default)s)")
    add(
        "--pre_train_epoch",
        type=WHOLE,
        default=10,
        help="epochs of phase one, content loss alone (%(default)s)",
    )
    add("--train_epoch", type=WHOLE, default=100, help="epochs of phase two, adversarial (%(default)s)")
    add("--con_lambda", type=REAL, default=10, help="weight of the content loss (%(default)s)")
    add(
        "--content_norm",
        action=BooleanOptionalAction,
        default=False,
        help="compare content features normalised picture by picture: a veil of haze is then no content",
    )
    add(
        "--adv_lambda",
        type=REAL,
        default=1,
        help="weight of the adversarial loss; 0: no discriminator (%(default)s)",
    )
    add(
        "--style_lambda",
        type=REAL,
        default=0,
        help="weight of the style loss, Gram matrices of VGG19 features, phase two (%(default)s)",
    )
    add("--tv_lambda", type=REAL, default=0, help="weight of total variation, phase two (%(default)s)")
    add(
        "--colour_lambda",
        type=REAL,
        default=0,
        help="weight of the distance of chroma to the photo in CIE Lab, phase two (%(default)s)",
    )
    add(
        "--pixel_lambda",
        type=REAL,
        default=0,
        help="weight of the absolute difference to the photo, phase two (%(default)s)",
    )
    add(
        "--diffaugment",
        choices=("none", "color"),
        default="none",
        help="change the tones of all that the discriminator sees at random, or not (%(default)s)",
    )
    add(
        "--smoothed_noise",
        type=REAL,
        default=0,
        help="deviation of noise on the smoothed drawings that D sees, in [-1, 1] (%(default)s)",
    )
    add(
        "--gan_mode",
        choices=("bce", "lsgan"),
        default="bce",
        help="adversarial loss: log loss, or least squares (%(default)s)",
    )
    add(
        "--pool_size",
        type=WHOLE,
        default=0,
        help="older batches of fakes also shown to D; 0: none (%(default)s)",
    )
    add(
        "--independent_edges",
        action=BooleanOptionalAction,
        default=False,
        help="smoothed drawings of a batch drawn apart from its drawings",
    )

    add = add_rates(parser)
    add("--pre_lr", type=or_none(RATE), help="learning rate of the generator in phase one (lrG)")
    add(
        "--lr_policy",
        choices=("step", "linear"),
        default="step",
        help="a tenth at 1/2 and 3/4 of phase two, or in both phases half constant, then to 0 (%(default)s)",
    )
    add(
        "--ema_decay",
        type=BETA,
        default=0,
        help="decay of the running mean of the generator's weights in phase two, which samples and measures "
        "show; 0: none (%(default)s)",
    )

    add = add_running(parser)
    add(
        "--latest_generator_model",
        type=or_none(place),
        metavar="PTH",
        help="start from these generator weights and skip phase one",
    )
    add(
        "--latest_discriminator_model",
        type=or_none(place),
        metavar="PTH",
        help="start from these discriminator weights",
    )
    return parser


def has_discriminator(args):
    """Whether a run with these options trains a discriminator."""
    return bool(args.adv_lambda and args.train_epoch)


def needs_vgg(args):
    """Whether a loss looks through VGG19."""
    return bool(args.con_lambda or args.style_lambda)


def fewest_drawings(args):
    """How many drawings the losses need; 0 if none looks at them.

    A discriminator must see a batch of different ones; a style loss alone takes a single one.
    """
    if has_discriminator(args):
        return args.batch_size
    return int(bool(args.style_lambda and args.train_epoch))


def _check(parser, args):
    if args.in_ndc != args.out_ngc:
        parser.error(
            f"--in_ndc {args.in_ndc} but --out_ngc {args.out_ngc}: the discriminator sees the results"
        )
    alike = {
        "predict change": args.predict == "change",
        "guide": args.guide,
        "pixel_lambda": args.pixel_lambda,
    }
    for name in (name for name, given in alike.items() if given and args.in_ngc != args.out_ngc):
        parser.error(f"--{name} with --in_ngc {args.in_ngc} and --out_ngc {args.out_ngc}: the same needed")
    if args.colour_lambda and args.in_ngc + args.out_ngc < 6:
        parser.error("--colour_lambda needs --in_ngc 3 and --out_ngc 3: a grey picture has no colour")
    if not args.pre_train_epoch + args.train_epoch:
        parser.error("--pre_train_epoch 0 and --train_epoch 0: nothing to train")
    if not args.con_lambda + args.adv_lambda + args.style_lambda:
        parser.error("--con_lambda, --adv_lambda and --style_lambda are 0: nothing to train")
    if args.pre_train_epoch and not args.con_lambda and not args.latest_generator_model:
        parser.error("--con_lambda 0 needs --pre_train_epoch 0: phase one trains the content loss alone")
    if args.latest_generator_model and not args.train_epoch:
        parser.error("--latest_generator_model skips phase one, and --train_epoch 0 leaves nothing to train")
    try:
        architecture.check({key: getattr(args, key) for key in architecture.OPTIONS})
    except ValueError as error:
        parser.error(f"no generator can be built: {error}")


CARTOONGAN = Method(
    program=("CartoonGAN.py",),
    parser=training_parser,
    check=_check,
    fewest_drawings=fewest_drawings,
    changeable=(
        *("lrG", "lrD", "pre_lr", "lr_policy", "con_lambda", "adv_lambda", "style_lambda", "tv_lambda"),
        *("colour_lambda", "pixel_lambda", "batch_size", "precision", "save_minutes", "vgg_model"),
    ),
    parts={"discriminator": has_discriminator, "VGG19": needs_vgg},
)
parse, fault = CARTOONGAN.parse, CARTOONGAN.fault
