"""CartoonGAN.py's options: their names, defaults, help and checks."""

from support import architecture
from support.arguments import Parser, number, pathname
from training import config
from training.config import BETA, FILTERS, RATE, REAL, WHOLE


def training_parser():
    """The parser of CartoonGAN.py's options. A weight NAME_lambda belongs to the loss NAME."""
    parser = Parser("Train a CartoonGAN: photographs in one folder, drawings in another, no pairs.")
    add = config.add_places(parser)
    add("pair_dir", None, pathname, "folder of the edge-smoothed drawings", "TGT_DATA/pair")

    add = parser.group("networks")
    for name in architecture.OPTIONS:
        add(name, *architecture.GENERATOR[name])
    add("in_ndc", 3, architecture.CHANNELS, "channels of the discriminator's input, the same as out_ngc")
    add("out_ndc", 1, FILTERS, "channels of the discriminator's output")
    add("ndf", 32, FILTERS, "filters of the discriminator's first layer")
    add("norm_init", "one", ("one", "uniform"), "initial scales of the norms: 1, or drawn between 0 and 1")

    add = parser.group("method")
    config.add_pictures(add)
    add("batch_size", 8, number(int, 1), "images per step")
    add("pre_train_epoch", 10, WHOLE, "epochs of phase one, with the content loss alone")
    add("train_epoch", 100, WHOLE, "epochs of phase two, with the adversarial loss")
    add("con_lambda", 10, REAL, "weight of the content loss")
    add("adv_lambda", 1, REAL, "weight of the adversarial loss; 0: no discriminator")
    add("style_lambda", 0, REAL, "weight of the style loss, Gram matrices of VGG19 features, phase two")
    add("tv_lambda", 0, REAL, "weight of total variation, phase two")
    add("colour_lambda", 0, REAL, "weight of the chroma difference from the photo in CIE Lab, phase two")
    add("pixel_lambda", 0, REAL, "weight of the absolute difference from the photo, phase two")
    add("diffaugment", "none", ("none", "color"), "random changes to the tones of the discriminator's input")
    add("smoothed_noise", 0, REAL, "standard deviation of noise on the smoothed drawings, in [-1, 1]")
    add("gan_mode", "bce", ("bce", "lsgan"), "adversarial loss: binary cross-entropy, or least squares")
    add("pool_size", 0, WHOLE, "older batches of results also shown to the discriminator; 0: none")
    add("independent_edges", False, bool, "draw smoothed drawings independently of the drawings of a batch")

    add = config.add_rates(parser)
    add("pre_lr", None, RATE, "learning rate of the generator in phase one", "lrG")
    policy = "step: a tenth after 1/2 and 3/4 of phase two; linear: to 0 in the second half of each phase"
    add("lr_policy", "step", ("step", "linear"), policy)
    add("ema_decay", 0, BETA, "decay of the running mean of the generator's weights, for samples; 0: none")

    add = config.add_running(parser)
    add("latest_generator_model", None, pathname, "start from these generator weights and skip phase one")
    add("latest_discriminator_model", None, pathname, "start from these discriminator weights")
    return parser


def has_discriminator(args):
    """Whether a run with these options trains a discriminator."""
    return bool(args.adv_lambda and args.train_epoch)


def needs_vgg(args):
    """Whether a loss uses VGG19."""
    return bool(args.con_lambda or args.style_lambda)


def fewest_drawings(args):
    """How many drawings the losses need: a batch for a discriminator, one for a style loss alone."""
    if has_discriminator(args):
        return args.batch_size
    return int(bool(args.style_lambda and args.train_epoch))


def _check(parser, args):
    channels = f"--in_ngc {args.in_ngc} and --out_ngc {args.out_ngc}"
    if args.in_ndc != args.out_ngc:
        wrong = f"--in_ndc {args.in_ndc} but --out_ngc {args.out_ngc}"
        parser.error(f"{wrong}: they must be equal, because the discriminator sees the results")
    if args.pixel_lambda and args.in_ngc != args.out_ngc:
        parser.error(f"--pixel_lambda with {channels}: they must be equal")
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
        parser.error(f"{channels}: {error}")


CARTOONGAN = config.Method(
    name="CartoonGAN",
    parser=training_parser,
    check=_check,
    fewest_drawings=fewest_drawings,
    parts={"discriminator": has_discriminator, "VGG19": needs_vgg},
)
parse, fault = CARTOONGAN.parse, CARTOONGAN.fault
