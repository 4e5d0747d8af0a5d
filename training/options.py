"""The options of training: their names, defaults, help and checks."""

import argparse
import math

from support.arguments import Parser, add_device, image_size, number, one_line
from utils import WrongUse

# The options that are arguments of networks.Generator.
GENERATOR_OPTIONS = ("in_ngc", "out_ngc", "ngf", "nb", "res_convs", "upsample")
GENERATOR_OPTIONS += ("norm", "predict", "conv_bias")


def file_name_part(text):
    """An argparse type: a text that can be part of a folder's name."""
    if not text or "/" in text or text.startswith("."):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be part of a folder's name")
    return one_line(text)


def training_parser():
    """The parser of CartoonGAN.py's options."""
    parser = Parser("Train a CartoonGAN: photographs in one folder, drawings in another, no pairs.")
    whole, real = number(int, 0), number(float, 0)
    filters = number(int, 1, 4096)  # more is a slip of the finger, and would fail without a word of it

    group = parser.add_argument_group("data and results")
    add = group.add_argument
    add("--name", type=file_name_part, default="project_name", help="name of the experiment (%(default)s)")
    add("--tag", type=file_name_part, help="appended to the run folder's name")
    add(
        "--src_data",
        type=one_line,
        default="data/src_data",
        help="folder with train/ and test/ photographs, or trainA/ and testA/ (%(default)s)",
    )
    add(
        "--tgt_data",
        type=one_line,
        default="data/tgt_data",
        help="folder with train/ drawings, or trainB/ (%(default)s)",
    )
    add("--pair_dir", type=one_line, help="where edge-smoothed drawings are kept (TGT_DATA/pair)")
    add("--results_dir", type=one_line, default="results", help="where run folders are made (%(default)s)")
    add(
        "--vgg_model",
        type=one_line,
        help="VGG19 weights: a file, or to try the program 'small' or 'random' (torchvision's of ImageNet)",
    )

    group = parser.add_argument_group("networks")
    add = group.add_argument
    channels = {"type": int, "choices": (1, 3), "default": 3}
    add("--in_ngc", **channels, help="channels of the photographs: 3 colour, 1 grey (%(default)s)")
    add("--out_ngc", **channels, help="channels of the results (%(default)s)")
    add("--in_ndc", **channels, help="channels that the discriminator sees, as many as out_ngc (%(default)s)")
    add(
        "--out_ndc",
        type=filters,
        default=1,
        help="channels of the discriminator's answer (%(default)s)",
    )
    add("--ngf", type=filters, default=64, help="filters of the generator's first layer (%(default)s)")
    add(
        "--ndf",
        type=filters,
        default=32,
        help="filters of the discriminator's first layer (%(default)s)",
    )
    add("--nb", type=number(int, 0, 1000), default=8, help="residual blocks (%(default)s)")
    add(
        "--res_convs", type=int, choices=(2, 3), default=2, help="convolutions a residual block (%(default)s)"
    )
    add(
        "--upsample",
        choices=("deconv", "resize"),
        default="deconv",
        help="transposed convolution, or nearest neighbour and convolution (%(default)s)",
    )

    add(
        "--norm",
        choices=("instance", "layer", "mixed"),
        default="instance",
        help="of the generator: channel by channel, all together, or together on the way up (%(default)s)",
    )
    add(
        "--predict",
        choices=("image", "change"),
        default="image",
        help="what the generator paints: the result, or what is added to the photo (%(default)s)",
    )
    add(
        "--conv_bias",
        choices=("learned", "none"),
        default="learned",
        help="biases of the convolutions of both networks (%(default)s)",
    )
    add(
        "--norm_init",
        choices=("one", "uniform"),
        default="one",
        help="scales of the norms at the start: all 1, or drawn between 0 and 1 (%(default)s)",
    )

    group = parser.add_argument_group("method")
    add = group.add_argument
    add(
        "--input_size", type=image_size, default=256, help="side of the training images, pixels (%(default)s)"
    )
    add(
        "--resize",
        choices=("crop", "squash"),
        default="crop",
        help="random square of the image, or the whole image made square (%(default)s)",
    )
    add("--batch_size", type=number(int, 1), default=8, help="images a step (%(default)s)")
    add(
        "--pre_train_epoch",
        type=whole,
        default=10,
        help="epochs of phase one, content loss alone (%(default)s)",
    )
    add("--train_epoch", type=whole, default=100, help="epochs of phase two, adversarial (%(default)s)")
    add("--con_lambda", type=real, default=10, help="weight of the content loss (%(default)s)")
    add(
        "--content_norm",
        action="store_true",
        help="compare content features normalised picture by picture: a veil of haze is then no content",
    )
    add(
        "--adv_lambda",
        type=real,
        default=1,
        help="weight of the adversarial loss; 0: no discriminator (%(default)s)",
    )
    add(
        "--style_lambda",
        type=real,
        default=0,
        help="weight of the style loss, Gram matrices of VGG19 features, phase two (%(default)s)",
    )
    add("--tv_lambda", type=real, default=0, help="weight of total variation, phase two (%(default)s)")
    add(
        "--colour_lambda",
        type=real,
        default=0,
        help="weight of the distance of chroma to the photo in CIE Lab, phase two (%(default)s)",
    )
    add(
        "--diffaugment",
        choices=("none", "color"),
        default="none",
        help="change the tones of all that the discriminator sees at random, or not (%(default)s)",
    )
    add(
        "--gan_mode",
        choices=("bce", "lsgan"),
        default="bce",
        help="adversarial loss: log loss, or least squares (%(default)s)",
    )
    add(
        "--pool_size",
        type=whole,
        default=0,
        help="older batches of fakes also shown to D; 0: none (%(default)s)",
    )
    add(
        "--independent_edges",
        action="store_true",
        help="smoothed drawings of a batch drawn apart from its drawings",
    )

    group = parser.add_argument_group("optimiser")
    add = group.add_argument
    rate = number(float, 0, above=True)
    beta = number(float, 0, math.nextafter(1, 0))
    add("--lrG", type=rate, default=2e-4, help="learning rate of the generator (%(default)s)")
    add("--lrD", type=rate, default=2e-4, help="learning rate of the discriminator (%(default)s)")
    add("--pre_lr", type=rate, help="learning rate of the generator in phase one (lrG)")
    add(
        "--lr_policy",
        choices=("step", "linear"),
        default="step",
        help="a tenth at 1/2 and 3/4 of phase two, or in both phases half constant, then to 0 (%(default)s)",
    )
    add(
        "--ema_decay",
        type=beta,
        default=0,
        help="decay of the running mean of the generator's weights in phase two, which samples and measures "
        "show; 0: none (%(default)s)",
    )
    add("--beta1", type=beta, default=0.5, help="Adam's beta 1 (%(default)s)")
    add("--beta2", type=beta, default=0.999, help="Adam's beta 2 (%(default)s)")

    group = parser.add_argument_group("running")
    add = group.add_argument
    add("--seed", type=number(int, 0, 2**64 - 1), default=0, help="seed of everything random (%(default)s)")
    add_device(add)
    add(
        "--workers",
        type=number(int, 0, 1000),
        help="processes that load images (1 on the CPU, up to 8 with a GPU)",
    )
    add("--sample_every", type=number(int, 1), default=1, help="epochs between sample images (%(default)s)")
    add("--sample_format", choices=("png", "jpg", "webp"), default="png", help="of them (%(default)s)")
    add(
        "--sample_keep",
        type=number(int, 1),
        metavar="N",
        help="keep the samples of the epochs 1, 2, 4, 8, … and the last N (all)",
    )
    add(
        "--checkpoint_every",
        type=number(int, 1),
        metavar="N",
        help="also keep the generator of every N epochs of phase two (the latest alone)",
    )
    add(
        "--eval_every",
        type=whole,
        default=0,
        help="epochs between measures of the test photographs (python -m evaluation); 0: none (%(default)s)",
    )
    add(
        "--save_minutes",
        type=real,
        default=5,
        help="minutes between saved states; 0: every step (%(default)s)",
    )
    add(
        "--resume",
        type=one_line,
        nargs="?",
        const=True,
        metavar="RUN_FOLDER",
        help="go on with the run of these settings, or with the run in this folder",
    )
    add(
        "--latest_generator_model",
        type=one_line,
        metavar="PTH",
        help="start from these generator weights and skip phase one",
    )
    add(
        "--latest_discriminator_model",
        type=one_line,
        metavar="PTH",
        help="start from these discriminator weights",
    )
    return parser


def parse(argv=None, saved=None):
    """Parse the options of training and check them against each other. Raises WrongUse.

    `saved`, the options of an earlier run, take the place of the defaults. Returns (options, names of the
    options given on the command line).
    """
    parser = training_parser()
    parser.set_defaults(**(saved or {}))
    args = parser.parse_args(argv)
    if saved or not isinstance(args.resume, str):  # else the settings in that folder come first
        _check(parser, args)
    absent = object()
    seen = parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(vars(args), absent)))
    return args, sorted(key for key, value in vars(seen).items() if value is not absent)


def fault(saved):
    """What is wrong with options that were read from a file, as if they had been typed; "" if nothing."""
    parser = training_parser()
    defaults = vars(parser.parse_args([]))
    for key, value in saved.items():
        if key not in defaults:
            return f"{str(key)[:40]!r} is no option of this program"
        if type(value) is type(defaults[key]) in (type(None), bool):
            continue
        try:
            typed = vars(parser.parse_args([f"--{key}={value}"]))[key]
        except WrongUse as error:
            return str(error)
        if typed != value:
            return f"{key} cannot be of the kind {type(value).__name__}"
    return ""


def has_discriminator(args):
    """Whether a run with these options trains a discriminator."""
    return bool(args.adv_lambda and args.train_epoch)


def needs_vgg(args):
    """Whether a loss looks through VGG19."""
    return bool(args.con_lambda or args.style_lambda)


def needs_drawings(args):
    """Whether a loss looks at drawings."""
    return has_discriminator(args) or bool(args.style_lambda and args.train_epoch)


def _check(parser, args):
    if args.in_ndc != args.out_ngc:
        parser.error(
            f"--in_ndc {args.in_ndc} but --out_ngc {args.out_ngc}: the discriminator sees the results"
        )
    if args.predict == "change" and args.in_ngc != args.out_ngc:
        parser.error(
            f"--predict change with --in_ngc {args.in_ngc} and --out_ngc {args.out_ngc}: the same needed"
        )
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
