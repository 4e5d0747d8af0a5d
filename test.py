"""Apply a checkpoint to pictures, or to a film.

python test.py --pre_trained_model generator_latest.pth --image_dir photos --output_image_dir cartoons
"""

import argparse
import os
import sys
import time

if sys.flags.safe_path:  # python -P does not search the folder of the script
    sys.path.insert(0, os.path.dirname(__file__))

from pictures import film_convert
from pictures.listing import find_pictures, plan_results, refuse_stream
from support.arguments import Parser, add_device, command_line, image_size, number, one_line, path
from utils import RunFailed, WrongUse, exit_status, refuse_early, report

GENERATOR_SHAPE = ("in_ngc", "out_ngc", "ngf", "nb")
# Training options that the old script's test.py accepted and ignored.
IGNORED = ("name", "src_data", "tgt_data", "vgg_model", "in_ndc", "out_ndc", "ndf", "train_epoch")
IGNORED += ("pre_train_epoch", "lrD", "lrG", "con_lambda", "beta1", "beta2")
IGNORED += ("latest_generator_model", "latest_discriminator_model")


def source(text):
    """An argparse type: as `one_line`, but any bytes, as in names of pictures."""
    one_line(text.encode("utf-8", "replace").decode())
    return os.path.expanduser(text)


def name_part(text):
    """An argparse type: a part of a file's name."""
    if {"/", os.sep} & set(one_line(text)):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be part of a file's name")
    return text


def parse(argv=None):
    """Parse a command line; returns (options, planned Pictures, none with --video). Raises WrongUse."""
    parser = Parser("Apply a generator to pictures, or to a film.")
    model = "a checkpoint of any known layout, or a run's folder; a grey generator changes only the luminance"
    parser.add_argument("--pre_trained_model", type=one_line, required=True, metavar="CKPT", help=model)

    add = parser.add_argument_group("pictures").add_argument
    sources = "files, folders with subfolders, 'globs/**/*.jpg'"
    add("--image_dir", type=source, nargs="+", metavar="IN", help=sources)
    add("--output_image_dir", type=path, metavar="OUT", help="folder for the results")
    formats = ("jpg", "png", "webp", "bmp", "tif", "gif")
    add("--format", choices=formats, help="format of the results (default: that of the picture)")
    add("--suffix", type=name_part, default="", help="add this to the names: _paprika makes a_paprika.jpg")
    add("--skip_existing", action="store_true", help="skip pictures whose result exists")
    add("--batch_size", type=number(int, 1), help="pictures of one size per batch (8 on a GPU, 1 on the CPU)")

    add = parser.add_argument_group("film").add_argument
    add("--video", type=path, metavar="IN.mp4", help="a film, instead of pictures")
    add("--output", type=path, metavar="OUT.mp4", help="the result of --video")

    add = parser.add_argument_group("size").add_argument
    add("--size", type=number(int, 1), metavar="N", help="shrink the longer side to at most N pixels")
    add("--tile", type=image_size, metavar="N", help="process tiles of N x N pixels, which needs less memory")
    add("--side_by_side", action="store_true", help="put the photo left of the result")

    add = parser.add_argument_group("what is kept of the photo").add_argument
    colours = "keep its chroma, or the mean and deviation of its chroma (%(default)s)"
    add("--keep_colour", choices=("off", "chroma", "mean"), default="off", help=colours)
    share = "share of the result in the output; 0: the photo unchanged (%(default)s)"
    add("--strength", type=number(float, 0, 1), default=1, help=share)

    add_device(parser.group("running"))

    ignored = f"Its training options are accepted too and have no effect: --{' --'.join(IGNORED)}."
    add = parser.add_argument_group("options of the old script", ignored).add_argument
    for name in GENERATOR_SHAPE:
        add(f"--{name}", type=number(int, 0), help="must agree with the checkpoint")
    add("--input_size", type=number(int, 1), help="no effect: pictures keep their size, see --size")
    for name in IGNORED:
        add(f"--{name}", help=argparse.SUPPRESS)

    args = parser.parse_args(argv)
    pictures, film = (args.image_dir, args.output_image_dir), (args.video, args.output)
    if any(pictures) == any(film) or not (all(pictures) or all(film)):
        parser.error("give --image_dir and --output_image_dir, or --video and --output")
    if args.video:
        if not args.video.is_file():
            refuse_stream(args.video)
        film_convert.check(args.video, args.output)
        return args, []
    out = args.output_image_dir
    return args, plan_results(find_pictures(args.image_dir, out), out, args.format, args.suffix)


if __name__ == "__main__":  # before PyTorch is loaded, which takes seconds
    refuse_early(parse)

import utils
from pictures import checkpoints, colour, images, inference, pipeline

GPU_BATCH = 8
BATCH_PIXELS = 8 * 512 * 512  # larger pictures make smaller batches


def check_model(generator, args):
    """Report options without effect. Raises WrongUse if an option disagrees with the checkpoint."""
    kind = generator.architecture.get("network")
    for name in GENERATOR_SHAPE:
        given = getattr(args, name)
        actual = generator.architecture.get(name, f"none: it is {kind}'s network")
        if given not in (None, actual):
            raise WrongUse(f"leave out --{name} {given}: {args.pre_trained_model} has {name} {actual}")
    if args.tile and not inference.works_in_tiles(generator):
        network = f"{args.pre_trained_model} holds {kind}'s network"
        raise WrongUse(f"{network}, which cannot work in tiles: use --size N instead of --tile")
    if args.input_size:
        report("--input_size has no effect: pictures keep their size (--size N limits the longer side)")
    if ignored := [f"--{name}" for name in IGNORED if getattr(args, name) is not None]:
        report(f"training options have no effect here: {' '.join(ignored)}")


def main(argv=None):
    args, pictures = parse(argv)
    device = utils.choose_device(args.device)
    generator = checkpoints.load_generator(args.pre_trained_model)
    check_model(generator, args)
    inference.prepare(generator, device, utils.choose_precision(args.precision, device))

    def apply(photos):
        results = inference.convert(generator, photos, args.tile)
        pairs = zip(photos, results, strict=True)
        return [colour.keep(*pair, args.keep_colour, args.strength) for pair in pairs]

    def change(frame):
        if args.size:
            frame = images.fit_within(frame, args.size)
        try:
            (result,) = apply([frame])
        except (RuntimeError, MemoryError) as error:
            raise RunFailed(inference.reason(error)) from None
        return images.side_by_side(frame, result) if args.side_by_side else result

    model = checkpoints.find_generator(args.pre_trained_model)
    origin = images.describe_origin(model, command_line("test", argv))
    if args.video:
        frames = film_convert.convert(args.video, args.output, change, images.origin_text(origin))
        print(f"{frames} frames in {args.output}")
        return

    def largest_batch(height, width):
        usual = GPU_BATCH if device.type == "cuda" else 1
        return args.batch_size or max(1, min(usual, BATCH_PIXELS // (height * width)))

    wanted = [picture for picture in pictures if not (args.skip_existing and picture.target.exists())]
    began = time.monotonic()
    failed = pipeline.run(wanted, apply, largest_batch, args.size, args.side_by_side, origin)
    written = len(wanted) - failed
    speed = f", {written / (time.monotonic() - began):.2f} pictures/s" if written else ""
    skipped = f", {len(pictures) - len(wanted)} already existed" if args.skip_existing else ""
    print(f"{written} pictures written to {args.output_image_dir}{speed}{skipped}")
    if failed:
        raise RunFailed(f"{failed} of {len(wanted)} pictures failed, see above")


if __name__ == "__main__":
    utils.end_on_signals()
    sys.exit(exit_status(main))
