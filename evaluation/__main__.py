"""Measure how close results are to the drawings, how much of the photographs they keep, how clean they are.

    python -m evaluation results/NAME_results

Prints a table with a row for the photographs (the baseline), the drawings (the floor) and each of the
results, and writes a JSON file for each of the results, into its folder or beside the checkpoint.
"""

import functools
import json
import math
import sys
from pathlib import Path

import torch

import utils
from evaluation import dark_channel, results
from evaluation.judge import Extractor, Judge
from evaluation.measures import MEASURES
from pictures import checkpoints, images
from support.arguments import Parser, add_device, image_size, number, one_line, path
from support.files import write_text
from support.gpu import choose_arithmetic
from utils import WrongUse, exit_status, first_line, report

WIDTH = 110  # characters of the printed table


def parse(argv):
    parser = Parser("Compare results with their photographs and with drawings.")
    parser.add_argument(
        "results",
        nargs="+",
        type=path,
        help="run folders, checkpoints (applied to the photos at --input_size), folders written by test.py",
    )
    add = parser.group()
    add("photos", None, path, "folder of the results' photographs", "the first run's test photographs")
    add("drawings", None, path, "folder of the drawings", "the first run's")
    text = "folder of other photographs, to fit the measure of style to"
    add("train_photos", None, path, text, "train or trainA beside --photos")
    add("pairs", None, path, "hazy and clear pictures (data/README.md), to measure PSNR and SSIM too")
    add("features", None, ("inception", "vgg19"), "features of KID and FID", "inception if available")
    add("input_size", None, image_size, "side of the squares, pixels", "the first run's, or 256")
    text = "shorter side to which pictures are resized first"
    add("load_size", None, number(int, 16, 2**14), text, "the first run's; --input_size, if given")
    add("resize", None, ("crop", "squash"), "as in training", "the first run's, or crop")
    text = "VGG19 weights: a file; 'small' or 'random' to try the program"
    add("vgg_model", None, one_line, text, "torchvision's of ImageNet")
    add("output", None, path, "one JSON file of the whole table", "one in or beside each of the results")
    add_device(add)
    return parser.parse_args(argv)


def find_inception(features, device):
    """The Inception-v3 of FID and KID, from torchmetrics; None for VGG19 instead.

    `features` is --features: without it, Inception if available, else the reason is reported. Raises WrongUse
    if it is "inception", and that is not available.
    """
    if features == "vgg19":
        return None
    from torchmetrics.image.fid import FrechetInceptionDistance  # takes two seconds

    try:
        return FrechetInceptionDistance().inception.to(device)
    except ModuleNotFoundError:
        reason = "pip install torch-fidelity"
    except (OSError, RuntimeError) as error:  # no network, an interrupted download
        reason = f"its weights: {first_line(getattr(error, 'reason', error))}"
    if features:
        raise WrongUse(f"no Inception ({reason}): use --features vgg19")
    report(f"no Inception ({reason}): using VGG19's features")
    return None


def format_table(rows):
    """(a Markdown table of `rows`, {name: row}; the titles of the measures that do not fit into it)."""
    names = [Path(name).name for name in rows]  # without folders, if they differ without them
    names = names if len({*names}) == len(rows) else [*rows]
    columns = [_column("", names), _column("pictures", [str(row["pictures"]) for row in rows.values()])]
    left_out = []
    for key, measure in MEASURES.items():
        if any(key in row for row in rows.values()):
            column = _column(measure.title, [_cell(row, key) for row in rows.values()])
            if sum(len(title) + 3 for title, *_ in [*columns, column]) < WIDTH:
                columns.append(column)
            else:
                left_out.append(measure.title)
    return "\n".join(f"| {' | '.join(line)} |" for line in zip(*columns, strict=True)), left_out


def _column(title, cells):
    width = max(map(len, [title, *cells]))
    return [cell.ljust(width) for cell in (title, "-" * width, *cells)]


def _cell(row, key):
    error = f" ± {row[f'{key}_std']:.2g}" if f"{key}_std" in row else ""
    return f"{row[key]:.3g}{error}" if key in row else "-"


def remarks(rows):
    """Sentences on differences in style that are within the error; `rows` is {name: row}."""
    found = {name: row for name, row in rows.items() if "drawn" in row and name not in ("photos", "drawings")}
    sentences = []
    for name, row in found.items():
        if abs(row["drawn"]) <= row["drawn_std"]:
            sentences.append(f"{name}: the style differs from the photographs' by no more than its error")
    highest = max(found, key=lambda name: found[name]["drawn"], default=None)
    for name, row in found.items():
        if name != highest and row["drawn"] >= found[highest]["drawn"] - found[highest]["drawn_std"]:
            sentences.append(f"{name}: the style is within the error of the highest, {highest}")
    return sentences


def main(argv=None):
    args = parse(argv)
    device = utils.choose_device(args.device)
    precision = utils.choose_precision(args.precision, device)
    run = next(filter(None, map(results.trained_with, args.results)), {})
    size = args.input_size or run.get("input_size", 256)
    load_size = args.load_size or (not args.input_size and run.get("load_size")) or size
    if load_size < size:
        raise WrongUse(f"--load_size {load_size} is less than the squares' {size} pixels")
    resize = args.resize or run.get("resize", "crop")
    args.photos, args.drawings = results.find_references(args.photos, args.drawings, run)
    photos, drawings = results.find_pictures(args.photos), results.find_pictures(args.drawings)
    clear = results.find_clear(args.pairs, photos, args.photos)
    training = results.find_training_photos(args.train_photos, args.photos)
    fit = functools.partial(images.fit_training, size=load_size, how=resize)
    opened = {
        str(source): results.open_results(source, args.photos, photos, fit, device, precision)
        for source in args.results
    }
    if not args.vgg_model and (trained_with := run.get("vgg_model")):
        report(
            f"the run was trained with --vgg_model {trained_with}; without that option here, VGG19 is used"
        )
    vgg = checkpoints.load_vgg(args.vgg_model).to(device=device, memory_format=torch.channels_last)
    vgg.features.to(utils.dtype(precision))
    choose_arithmetic(device, precision)
    inception = find_inception(args.features, device)

    judge = Judge(Extractor(vgg, precision, fit, size, inception), photos, drawings, training, clear)
    rows = {"photos": judge.baseline, "drawings": judge.floor}
    rows |= {name: judge.measure(*each) for name, each in opened.items()}
    if clear:
        rows["dark channel prior"] = judge.measure(lambda _, photo: dark_channel.dehaze(photo), list(clear))

    weights = args.vgg_model or "torchvision, IMAGENET1K_V1"
    features = "Inception-v3" if inception else f"VGG19 conv4_4, mean of a square ({weights})"
    cut = f" cut from pictures with a shorter side of {load_size}" if load_size > size else ""
    table, left_out = format_table(rows)
    print(f"squares of {size} pixels{cut}; features of KID: {features}\n\n{table}\n")
    if left_out:
        print(f"in the file, not in the table: {', '.join(left_out)}\n")
    if judge.style:
        print(f"style: the discriminant ranks {judge.style.auc:.0%} of drawings above photographs\n")
    for sentence in remarks(rows):
        print(sentence)

    record = {"features": features, "vgg": weights, "precision": precision}
    record |= {"input_size": size, "load_size": load_size, "resize": resize}
    record |= {"photos": str(args.photos), "drawings": str(args.drawings)}
    record |= {"pairs": str(args.pairs) if args.pairs else None, "remarks": remarks(rows)}
    for row in rows.values():
        row.update({key: None for key, value in row.items() if not math.isfinite(value)})
    files = {results.own_file(source): [str(source)] for source in args.results}
    for file, names in ({args.output: list(opened)} if args.output else files).items():
        record["rows"] = {name: row for name, row in rows.items() if name in names or name not in opened}
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        write_text(file, text.encode("utf-8", "replace").decode())  # names of folders may not be UTF-8
        print(f"written to {file}")


if __name__ == "__main__":
    sys.exit(exit_status(main))
