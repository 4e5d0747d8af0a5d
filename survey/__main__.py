"""Run every method on the same photograph, drawing and VGG19.

python -m survey PHOTO DRAWING OUT

leaves in the folder OUT a picture and a record of each, survey.json, sheet.png, table.md and index.html. With
OUT in a folder of runs, `python -m pages` shows it beside them.
"""

import datetime
import importlib
import math
import sys

from pages import summaries
from support.arguments import Parser, path
from survey import options
from survey.methods import METHODS
from utils import RunFailed, exit_status, first_line, refuse_early, report


def parse(argv=None):
    made = Parser("Run every method on the same photograph, drawing and VGG19.")
    options.add_inputs(made.add_argument)
    made.add_argument("output", type=path, help="the folder for the pictures, the sheet and the page")
    options.add_work(made.add_argument_group("work").add_argument)
    args = made.parse_args(argv)
    if args.output.exists() and not args.output.is_dir():
        made.error(f"{args.output} is no folder")
    for file in (args.photo, args.drawing):
        if file.parent.resolve() == args.output.resolve():
            made.error(f"{file} lies in {args.output}, where pictures are written: name another folder")
    if summaries.is_run(args.output):
        made.error(f"{args.output} is the folder of a training run, or is named like one: name another")
    return args


if __name__ == "__main__":
    refuse_early(parse)

import matplotlib.figure

from pages import writing
from pictures import images
from support.files import replacing, write_text
from survey import command

COLUMNS, PANEL = 4, 2.6  # of the sheet; inches a side of a picture


def perform(method, args, vgg, device):
    """Run one method; returns its record; where it failed that says why, and has no picture."""
    module, *words = method.words.split()
    output = args.output / f"{method.name}.png"
    for earlier in (output, output.with_suffix(".json")):
        earlier.unlink(missing_ok=True)  # of a run into the same folder
    places = {"photo": args.photo, "drawing": args.drawing, "output": output}
    argv = [word.format_map(places) for word in words]
    for name in ("size", "steps", "seed", "vgg_model", "device"):
        if (value := getattr(args, name)) is not None:
            argv += [f"--{name}", str(value)]
    line = command.typed(f"survey.{module}", argv)
    record = {"name": method.name, "title": method.title, "year": method.year}
    record |= {"optimises": method.optimises, "command": line, "picture": output.name, "failed": None}
    try:
        made = importlib.import_module(f"survey.{module}")
        done = command.perform(module, made.parse(argv), made.paint, vgg, device, line)
    except Exception as error:  # of any kind: the other methods go on
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
    """The methods as a table in Markdown, its pictures beside it."""
    lines = ["| method | year | what it minimises | seconds | |", "|---|---|---|---|---|"]
    for each in methods:
        cells = [each["title"], each["year"], each["optimises"], each.get("seconds", "failed")]
        cells.append(f"![]({each['picture']})" if each["picture"] else "")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def main(argv=None):
    args = parse(argv)
    writing.refuse_foreign(args.output / "index.html")  # before the work
    device = command.choose_device(args)
    vgg = command.load_vgg(args, device)
    inputs = {name: command.read(getattr(args, name), args.size, "cpu") for name in ("photo", "drawing")}
    for name, picture in inputs.items():
        command.write(args.output / f"{name}.png", picture)
    started = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
    methods = [perform(method, args, vgg, device) for method in METHODS]
    record = {"command": command.typed("survey", argv), "started": started, "size": args.size}
    record |= {"seed": args.seed, "vgg_model": args.vgg_model or "torchvision's ImageNet weights"}
    record["methods"] = methods
    command.write_json(args.output / "survey.json", record)
    write_sheet(args.output, methods)
    write_text(args.output / "table.md", table(methods))
    writing.write_survey(args.output, record)
    print(f"open {args.output / 'index.html'}")
    if failed := [each["name"] for each in methods if each["failed"]]:
        raise RunFailed(f"{len(failed)} of {len(methods)} methods failed: {', '.join(failed)}")


if __name__ == "__main__":
    sys.exit(exit_status(main))
