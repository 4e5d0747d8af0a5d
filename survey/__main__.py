"""Run every method on the same photograph, drawing and VGG19.

python -m survey PHOTO DRAWING OUT

writes a picture and a record of each method, survey.json, sheet.png, table.md and index.html into the folder
OUT. If OUT is in a folder of runs, `python -m pages` lists it with them.
"""

import datetime
import importlib
import math
import sys
from typing import NamedTuple

import matplotlib.figure

from pages import summaries, writing
from pictures import images
from support.arguments import command_line
from support.files import replacing, write_text
from survey import command
from utils import RunFailed, exit_status, first_line, report, to_image


class Method(NamedTuple):
    """A row of the survey; `words` is a module of survey/ and its options, if not `name` alone."""

    name: str
    title: str
    year: int
    optimises: str
    words: str = ""


METHODS = (
    Method("texture", "Texture (Gatys et al.)", 2015, "Gram matrices, from noise, without a photograph"),
    Method("gatys", "Gatys et al.", 2016, "content features and Gram matrices"),
    Method(
        "colour_histogram",
        "Gatys et al., colours matched",
        2016,
        "the same, with a drawing that has the photograph's colours",
        "gatys --keep_colour histogram",
    ),
    Method(
        "colour_luminance",
        "Gatys et al., luminance only",
        2016,
        "the same, for luminance only",
        "gatys --keep_colour luminance",
    ),
    Method(
        "mmd_linear",
        "Li et al., linear kernel",
        2017,
        "content features and the channels' means",
        "gatys --statistics mmd_linear",
    ),
    Method(
        "mmd_gaussian",
        "Li et al., Gaussian kernel",
        2017,
        "content features and the distribution of features over places",
        "gatys --statistics mmd_gaussian",
    ),
    Method(
        "mean_std",
        "Li et al., batch norm's statistics",
        2017,
        "content features and the channels' means and deviations",
        "gatys --statistics mean_std",
    ),
    Method("mrf", "Li and Wand", 2016, "content features and distances to the drawing's patches of features"),
    Method(
        "analogy",
        "Liao et al., deep image analogy",
        2017,
        "nothing: patches of features are matched both ways, from coarse to fine",
    ),
)

COLUMNS, PANEL = 4, 2.6  # of the sheet; inches a side of a picture


def parse(argv=None):
    made = command.parser(__doc__, folder=True)
    args = made.parse_args(argv)
    if args.output.exists() and not args.output.is_dir():
        made.error(f"{args.output} is not a folder")
    for file in (args.photo, args.drawing):
        if file.parent.resolve() == args.output.resolve():
            made.error(f"{file} is in {args.output}, where pictures are written: name another folder")
    if summaries.is_run(args.output):
        made.error(f"{args.output} is the folder of a training run, or is named like one: name another")
    writing.refuse_foreign(args.output / "index.html")
    return args


def perform(method, args, vgg, device):
    """Run one method; returns its record. If it failed, this holds the reason, and its picture is None."""
    module, *options = (method.words or method.name).split()
    output = args.output / f"{method.name}.png"
    for earlier in (output, output.with_suffix(".json")):
        earlier.unlink(missing_ok=True)  # of an earlier survey
    inputs = [args.drawing] if module == "texture" else [args.photo, args.drawing]
    argv = [*map(str, inputs), str(output), *options]
    for name in ("size", "steps", "seed", "vgg_model", "device"):
        if (value := getattr(args, name)) is not None:
            argv += [f"--{name}", str(value)]
    line = command_line(f"survey.{module}", argv)
    record = method._asdict() | {"command": line, "picture": output.name, "failed": None}
    try:
        made = importlib.import_module(f"survey.{module}")
        done = command.perform(module, made.parse(argv), made.paint, vgg, device, line)
    except Exception as error:  # the other methods still run
        report(f"{method.name} failed: {type(error).__name__}: {first_line(error)}")
        return record | {"failed": first_line(error), "picture": None}
    report(f"{output}: {done['seconds']:.1f} s")
    return record | {key: done[key] for key in ("seconds", "losses", "device", "versions")}


def write_sheet(folder, methods):
    """Write sheet.png: the photograph, the drawing and each result with its title, year and seconds."""
    panels = [("photo.png", "photograph"), ("drawing.png", "drawing")]
    for method in methods:
        if method["picture"]:
            title = f"{method['title']}, {method['year']}\n{method['seconds']:.0f} s"
            panels.append((method["picture"], title))
    rows = math.ceil(len(panels) / COLUMNS)
    figure = matplotlib.figure.Figure((COLUMNS * PANEL, rows * PANEL), layout="constrained")
    for place, (file, title) in enumerate(panels, 1):
        axes = figure.add_subplot(rows, COLUMNS, place)
        axes.imshow(images.read(folder / file))
        axes.set_title(title, fontsize=8)
        axes.axis("off")
    with replacing(folder / "sheet.png", sync=False) as part:
        figure.savefig(part, format="png", dpi=150)


def table(methods):
    """The methods as a table in Markdown with their pictures."""
    lines = ["| method | year | what it minimises | seconds | |", "|---|---|---|---|---|"]
    for each in methods:
        cells = [each["title"], each["year"], each["optimises"], each.get("seconds", "failed")]
        cells.append(f"![]({each['picture']})" if each["picture"] else "")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def main(argv=None):
    args = parse(argv)
    device, vgg = command.prepare(args)
    inputs = {name: command.read(getattr(args, name), args.size, "cpu") for name in ("photo", "drawing")}
    args.output.mkdir(parents=True, exist_ok=True)
    for name, picture in inputs.items():
        images.write(args.output / f"{name}.png", to_image(picture[0]))
    started = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
    methods = [perform(method, args, vgg, device) for method in METHODS]
    record = {"command": command_line("survey", argv), "started": started, "size": args.size}
    record |= {"seed": args.seed, "vgg_model": args.vgg_model or "torchvision's ImageNet weights"}
    record["methods"] = methods
    command.write_json(args.output / "survey.json", record)
    write_sheet(args.output, methods)
    write_text(args.output / "table.md", table(methods))
    writing.write_survey(args.output, record)
    print(f"open {args.output / 'index.html'}")
    if failed := [method["name"] for method in methods if method["failed"]]:
        raise RunFailed(f"{len(failed)} of {len(methods)} methods failed: {', '.join(failed)}")


if __name__ == "__main__":
    sys.exit(exit_status(main))
