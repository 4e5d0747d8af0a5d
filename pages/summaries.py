"""What lies in a run folder, as plain values for the pages, and what of it is missing or damaged."""

import json
import math
import os
import re
import statistics
from pathlib import Path
from urllib.parse import quote

from evaluation.measures import MEASURES
from pages import records
from pages.records import or_empty
from training import columns, history
from training.log import read_log, run_state
from utils import WrongUse

IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"}
TRACES = ("settings.json", "metrics.csv", "Transfer", "Reconstruction")  # of a run
SURVEY = "survey.json"  # of a folder that `python -m survey` has filled


def find_runs(results):
    """The run folders in a folder of runs, sorted by name."""
    return [path for path in _folders(results) if is_run(path)]


def find_surveys(results):
    """The folders in a folder of runs that `python -m survey` has filled, sorted by name."""
    return [path for path in _folders(results) if (path / SURVEY).exists()]


def is_run(folder):
    """Whether a folder is a run's: its name ends in `_results`, or something that a run leaves is in it."""
    if (folder / SURVEY).exists():
        return False
    return folder.name.endswith("_results") or any((folder / trace).exists() for trace in TRACES)


def _folders(results):
    folders = [path for path in results.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(folders, key=lambda path: _natural(path.name))


def read(folder):
    """All that the pages show of a run: a dictionary of plain values; "page" is what goes into page.js."""
    problems = []
    record, rows = records.settings(folder, problems), _metrics(folder, problems)
    samples, (evaluation, remarks) = _samples(folder, problems), _evaluation(folder, problems)
    log, phases = read_log(folder), _phases(record.get("options", {}), rows, samples)
    state, reason = run_state(folder)
    if not state and record:  # a run from before there were logs
        complete = all(planned is not None and done >= planned for done, planned in phases)
        state = "finished" if complete else "stopped"
    if state == "finished" and not (folder / "generator_latest.pth").exists():
        problems.append("generator_latest.pth is missing")
    size, empty = _disk(folder)
    problems += [f"{path.relative_to(folder)} is empty" for path in empty]
    name = plain(folder.name.removesuffix("_results"))
    keys = dict.fromkeys(key for row in rows for key in row)
    curves = {key: [row.get(key) for row in rows] for key in keys}
    losses = {name: text for name, text in records.losses(record).items() if name not in MEASURES}
    return {
        "folder": folder,
        "name": name,
        "state": state or "unknown",
        "reason": reason,
        "phases": phases,
        "seconds": _recent(rows, "seconds"),
        "speed": _recent(rows, "images_per_second"),
        "recent": len(_newest_rows(rows)),
        "data": records.data(record),
        "last": _last_values(curves, evaluation, folder.name),
        "best": _best(rows),
        "evaluation": evaluation,
        "remarks": remarks,
        "bytes": size,
        "newest": _newest(samples),
        "record": record,
        "losses": losses,
        "started": _started(log, record),
        "given": set(map(str, or_empty(list, record.get("given")))),
        "commands": [plain(str(command)) for command in or_empty(list, record.get("commands"))],
        "versions": or_empty(dict, record.get("versions")),
        "log": log,
        "problems": problems,
        "page": {
            "name": name,
            "settings": records.flat(record),
            "curves": curves,
            "meanings": {key: columns.meaning(key, MEASURES, losses) for key in curves},
            "changes": records.changes(record, rows),
            "samples": samples,
        },
    }


def _phases(options, rows, samples):
    """(epochs done, epochs planned) of phases one and two; planned is None if the settings do not tell."""
    first = 0 if options.get("latest_generator_model") else options.get("pre_train_epoch", 0)
    done = [sum(row.get("phase") == phase for row in rows) for phase in (1, 2)]
    if not rows:
        done[1] = max(_epochs(samples["photos"]), default=0)
    planned = [epochs if isinstance(epochs, int) else None for epochs in (first, options.get("train_epoch"))]
    return [*zip(done, planned, strict=True)]


def _started(log, record):
    """When a run was first started: by its log, which resuming continues, or else by its settings; or ""."""
    times = [time for time, event, _ in log if event == "started"]
    return (times[0] if times else str(record.get("started") or ""))[:19]


def _newest_rows(rows, count=5):
    """The last rows of the newest phase, at most `count`."""
    return [row for row in rows if row.get("phase") == rows[-1].get("phase")][-count:]


def _recent(rows, key):
    """The median of a column over the newest rows; NaN if it is empty there."""
    return statistics.median([row[key] for row in _newest_rows(rows) if row.get(key)] or [math.nan])


def _best(rows):
    """The best epoch: {"measure" that chose it, "value", "deviation", "epoch", "text" for a person}."""
    if not (best := history.best(rows)):
        return None
    deviation = best.error if math.isfinite(best.error) else None
    found = {"measure": history.NAMES[best.column], "value": best.value, "deviation": deviation}
    return found | {"epoch": best.epoch, "text": str(best)}


def _last_values(curves, evaluation, name):
    """The last value of each column of a run's metrics.csv, and what its evaluation measured."""
    known = {key: [value for value in values if value is not None] for key, values in curves.items()}
    last = {key: values[-1] for key, values in known.items() if values}
    return last | next((row for of, row in evaluation if name in of), {})


def plain(name):
    """A name as text that UTF-8 can write; broken bytes become question marks."""
    return name.encode("utf-8", "replace").decode()


def _metrics(folder, problems):
    """The rows of metrics.csv as numbers; None for an empty cell, or one that is not a number."""
    try:
        rows = history.read(folder / "metrics.csv")
    except WrongUse as error:
        problems.append(f"metrics.csv{str(error).removeprefix(str(folder / 'metrics.csv'))}")
        return []
    if not (folder / "metrics.csv").exists():
        problems.append("metrics.csv is missing: no curves")
    return [
        {
            str(key): _number(text, f"metrics.csv, row {place}, {key}", problems)
            for key, text in row.items()
            if key not in (None, "")
        }
        for place, row in enumerate(rows, 1)
    ]


def _number(text, where, problems):
    """A cell of metrics.csv as a number of five digits."""
    if text in (None, ""):
        return None
    try:
        value = float(f"{float(text):.5g}")
    except (ValueError, TypeError):
        problems.append(f"{where}: {text!r} is no number")
        return None
    return (int(value) if value == int(value) else value) if math.isfinite(value) else None


def _evaluation(folder, problems):
    """The rows of evaluation.json as (name, {measure: number}) and its remarks; the rest is left out."""
    path = folder / "evaluation.json"
    if not path.exists():
        return [], []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"evaluation.json cannot be read: {error}")
        return [], []
    content = or_empty(dict, content)
    rows = or_empty(dict, content.get("rows")).items()
    remarks = [plain(text) for text in or_empty(list, content.get("remarks")) if isinstance(text, str)]
    number = lambda value: type(value) in (int, float) and abs(value) < math.inf
    return [
        (plain(name), {key: value for key, value in row.items() if number(value)})
        for name, row in rows
        if isinstance(row, dict)
    ], remarks


# The samples

_EPOCH = re.compile(r"[0-9]+(?=_epoch_)|(?<=epoch)[0-9]+|(?<=epoch[ _-])[0-9]+", re.I)
_PHOTO = re.compile(r"(train|test)_(?:recon_)?(\d+)(_cycle)?\.\w+$")  # with _cycle three pictures, not two


def _samples(folder, problems):
    """The sample images of a run: {"photos": [...], "others": URLs of pictures whose names tell no epoch}.

    A photo is a dictionary: its `name`; `pair`, whether a picture shows photo and result side by side;
    `recon`, the URL of its reconstruction or None; `epochs`, {URL with {epoch} in it: epochs as texts}.
    """
    photos, others = {}, []
    for part in ("Reconstruction", "Transfer"):
        for name in _names(folder / part, problems):
            photo = _PHOTO.search(name)
            epoch = _EPOCH.search(name) if part == "Transfer" else None
            if not epoch and (part == "Transfer" or not photo):
                others.append(f"{part}/{url(name)}")
                continue
            before, after = (name[: epoch.start()], name[epoch.end() :]) if epoch else ("", "")
            title = f"{photo[1]} {photo[2]}" if photo else plain(Path(f"{before}…{after}").stem)
            entry = photos.setdefault(
                title, {"name": title, "pair": bool(photo and not photo[3]), "recon": None, "epochs": {}}
            )
            if epoch:
                pattern = f"{part}/{url(before)}{{epoch}}{url(after)}"
                entry["epochs"].setdefault(pattern, []).append(epoch[0])
            else:
                entry["recon"] = f"{part}/{url(name)}"
    photos = sorted(photos.values(), key=lambda photo: _natural(photo["name"]))
    if not photos and not others:
        problems.append("no sample images")
    every = _epochs(photos)
    for photo in photos:
        if photo["epochs"] and (gone := sorted(every - _epochs([photo]))):
            some = ", ".join(map(str, gone[:5])) + (", …" if len(gone) > 5 else "")
            problems.append(f"{photo['name']} has no picture of epoch {some}")
    return {"photos": photos, "others": others}


def _epochs(photos):
    """The epochs at which any of the photos has a picture."""
    return {int(epoch) for photo in photos for epochs in photo["epochs"].values() for epoch in epochs}


def _newest(samples):
    """(URL, whether photo and result lie side by side) of the first photo's newest picture, or None."""
    photos, others = samples["photos"], samples["others"]
    for photo in [photo for photo in photos if photo["epochs"]] or photos:
        return newest(photo), photo["pair"]
    return (others[-1], False) if others else None


def newest(photo):
    """The URL of a photo's newest picture, which is its reconstruction where phase two left none."""
    if not photo["epochs"]:
        return photo["recon"]
    pattern, epochs = max(photo["epochs"].items(), key=lambda item: int(item[1][-1]))
    return pattern.replace("{epoch}", epochs[-1])


def _names(folder, problems):
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append(f"{folder.name} cannot be read: {error.strerror}")
        return []
    return sorted(
        (name for name in names if Path(name).suffix.lower() in IMAGES and name[0] != "."), key=_natural
    )


def _natural(text):
    """A key that sorts 2 before 10."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split(r"([0-9]+)", text))]


def url(name):
    """A file's name as a part of a URL."""
    return quote(os.fsencode(name), safe="")


def _disk(folder):
    """(bytes in a folder, its empty images and weights); links are not followed."""
    total, empty = 0, []
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            try:
                size = path.lstat().st_size
            except OSError:
                continue
            total += size
            if not size and path.suffix.lower() in {*IMAGES, ".pth"}:
                empty.append(path)
    return total, empty
