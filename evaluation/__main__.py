"""Measure how close results are to the drawings, how much of the photographs they keep, how clean they are.

    python -m evaluation results/NAME_results

The table has a row for the photographs (the baseline), one for the drawings (the floor) and one for each of
the results. It is printed; the row of each of the results is also written, as JSON, into or beside it.
"""

import argparse
import functools
import json
import math
import sys

import torch

import utils
from data import pairs
from evaluation import dark_channel, results, table
from evaluation.judge import Judge
from pictures import checkpoints, images, listing
from support import arguments, gpu
from support.files import write_text
from training.data import folders
from utils import WrongUse, exit_status, first_line, report

# What they are measured with


def training_photos(folder, photos):
    """The photographs that the measure of style is learned from: `folder`, or what lies beside the photos.

    None of those that are measured is among them. Raises WrongUse if `folder` holds no images.
    """
    beside = [photos.parent / name for name in ("train", "trainA")]
    folder = folder or next((path for path in beside if path.is_dir()), None)
    if not folder:
        report(
            f"style is not measured: no folder {beside[0]}; name one of other photographs with --train_photos"
        )
        return []
    measured = photos.resolve()
    return [path for path in pictures(folder) if measured not in path.resolve().parents]


def find_inception(asked, device):
    """The Inception-v3 of FID and KID, from torchmetrics; None means VGG19 in its place.

    `asked` is "inception", "vgg19" or None, which takes Inception if it is available and otherwise says in a
    line why not. Raises WrongUse if it was asked for and is not available.
    """
    if asked == "vgg19":
        return None
    from torchmetrics.image.fid import FrechetInceptionDistance  # takes two seconds

    try:
        return FrechetInceptionDistance().inception.to(device)
    except ModuleNotFoundError:
        reason = "pip install torch-fidelity"
    except (OSError, RuntimeError) as error:  # no network, a download that was cut
        reason = f"its weights: {first_line(getattr(error, 'reason', error))}"
    if asked:
        raise WrongUse(f"no Inception ({reason}): take --features vgg19")
    report(f"no Inception ({reason}): VGG19's features in its place")
    return None


def pictures(folder):
    """The paths of the images below `folder`. Raises WrongUse if there are none."""
    paths = [folder / name for name in listing.find_images(folder)]
    if not paths:
        empty = f"no images in {folder}: {listing.looked_for()}"
        raise WrongUse(empty if folder.is_dir() else f"no folder {folder}")
    return paths


def clear_pictures(folder, photos, photo_dir):
    """{photo: path of its clear picture} for those in `folder`'s pairs. Raises WrongUse if there are none."""
    clear = pairs.find_pairs(folder)
    names = {path: path.relative_to(photo_dir).with_suffix("").as_posix() for path in photos}
    found = {path: clear[name] for path, name in names.items() if name in clear}
    if not found:
        raise WrongUse(f"no photo in {photo_dir} is a hazy picture of {folder}")
    return found


def compared_with(args, run):
    """The folders of photographs and drawings: the command's, or the first run's. Raises WrongUse."""
    trained = {"src_data", "tgt_data"} <= run.keys()
    _, *known = folders(argparse.Namespace(**run)) if trained else (None,) * 3
    given = args.photos or known[0], args.drawings or known[1]
    if None in given:
        raise WrongUse("--photos DIR and --drawings DIR needed: none of the results has a settings.json")
    if not (args.photos and args.drawings):
        report("compared with the data of the run: photographs {}, drawings {}".format(*given))
    return given


# The command


def parse(argv):
    parser = arguments.Parser("Measure results beside their photographs and the drawings.")
    add = parser.add_argument
    add(
        "results",
        nargs="+",
        type=arguments.path,
        help="run folders, checkpoints (applied to the photos at --input_size), folders written by test.py",
    )
    add(
        "--photos",
        type=arguments.path,
        help="folder of the photographs that the results are of (the first run's test photographs)",
    )
    add("--drawings", type=arguments.path, help="folder of the drawings (the first run's)")
    add(
        "--train_photos",
        type=arguments.path,
        help="folder of photographs to learn the measure of style from (train or trainA beside --photos)",
    )
    add(
        "--pairs",
        type=arguments.path,
        help="hazy and clear pictures (data/README.md): PSNR and SSIM are measured too",
    )
    add("--features", choices=("inception", "vgg19"), help="of KID and FID (inception if it can be had)")
    add(
        "--input_size",
        type=arguments.image_size,
        help="side of the squares, pixels (the first run's, or 256)",
    )
    add(
        "--load_size",
        type=arguments.number(int, 16, 2**14),
        help="shorter side that pictures get before they are cut (the first run's; --input_size, if given)",
    )
    add("--resize", choices=("crop", "squash"), help="as in training (the first run's, or crop)")
    add(
        "--vgg_model",
        type=arguments.one_line,
        help="VGG19 weights: a file, or to try it 'small' or 'random' (torchvision's of ImageNet)",
    )
    add(
        "--output",
        type=arguments.path,
        help="one JSON file of the whole table (one of its own in or beside each of the results)",
    )
    arguments.add_device(parser.group())
    return parser.parse_args(argv)


def main(argv=None):
    args = parse(argv)
    device = utils.choose_device(args.device)
    precision = utils.choose_precision(args.precision, device)
    run = next(filter(None, map(results.trained_with, args.results)), {})
    size = args.input_size or run.get("input_size", 256)
    load_size = args.load_size or (not args.input_size and run.get("load_size")) or size
    if load_size < size:
        raise WrongUse(f"--load_size {load_size} but squares of {size} pixels: at least that needed")
    resize = args.resize or run.get("resize", "crop")
    args.photos, args.drawings = compared_with(args, run)
    photos, drawings = pictures(args.photos), pictures(args.drawings)
    clear = clear_pictures(args.pairs, photos, args.photos) if args.pairs else {}
    training = training_photos(args.train_photos, args.photos)
    fit = functools.partial(images.fit_training, size=load_size, how=resize)
    opened = {
        str(source): results.open_results(source, args.photos, photos, fit, device, precision)
        for source in args.results
    }
    vgg = checkpoints.load_vgg(args.vgg_model).to(device=device, memory_format=torch.channels_last)
    vgg.features.to(utils.dtype(precision))
    gpu.choose_arithmetic(device, precision)
    inception = find_inception(args.features, device)

    judge = Judge(
        photos, drawings, vgg, device, precision, size, resize, inception, clear, load_size, training
    )
    rows = {"photos": judge.baseline, "drawings": judge.floor}
    rows |= {name: judge.measure(*each) for name, each in opened.items()}
    if clear:
        rows["dark channel prior"] = judge.measure(lambda _, photo: dark_channel.dehaze(photo), list(clear))
    weights = args.vgg_model or "torchvision, IMAGENET1K_V1"
    features = "Inception-v3" if inception else f"VGG19 conv4_4, mean of a square ({weights})"
    cut = f" out of pictures with a shorter side of {load_size}" if load_size > size else ""
    print(f"squares of {size} pixels{cut}; features of KID: {features}\n\n{table.markdown(rows)}\n")
    if judge.style:
        print(f"style: the discriminant ranks {judge.style.auc:.0%} of drawings above photographs\n")
    if said := table.remarks(rows):
        print("\n".join(said) + "\n")
    if size < table.CHECKERBOARD_FROM:
        print(f"below {table.CHECKERBOARD_FROM} pixels a side the checkerboard's figure says nothing\n")

    record = {"features": features, "vgg": weights, "precision": precision}
    record |= {"input_size": size, "load_size": load_size, "resize": resize}
    record |= {key: str(getattr(args, key) or "") or None for key in ("photos", "drawings", "pairs")}
    record["remarks"] = table.remarks(rows)
    own = {results.own_file(path): [str(path)] for path in args.results}
    files = {args.output: opened} if args.output else own
    for file, of in files.items():
        record["rows"] = {
            name: {key: value if math.isfinite(value) else None for key, value in row.items()}
            for name, row in rows.items()
            if name in of or name not in opened
        }
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        write_text(file, text.encode("utf-8", "replace").decode())  # folders of names that are no UTF-8
        print(f"written to {file}")


if __name__ == "__main__":
    sys.exit(exit_status(main))
