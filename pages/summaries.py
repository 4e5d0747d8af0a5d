"""Read a run folder into plain values for the pages, and name what is missing or damaged in it."""

import itertools
import json
import math
import os
import re
import statistics
from pathlib import Path
from urllib.parse import quote

from evaluation.measures import MEASURES
from pages.tables import figure
from training import history
from training.config import method_name, read_settings
from training.log import read_log, run_state
from utils import WrongUse

IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"}
RUN_FILES = ("settings.json", "metrics.csv", "Transfer", "Reconstruction")
SURVEY = "survey.json"  # in a folder that `python -m survey` has filled
IDENTITY = {"name", "tag", "results_dir", "resume"}  # options that name a run and do not change its result
RECENT = 5  # epochs whose median speed is shown
# The types of fields of settings.json; a field that was edited into another type is ignored.
FIELDS = {"given": list, "commands": list, "changes": list, "versions": dict, "data": dict, "losses": dict}


def find_runs(results):
    """The run folders in a folder of runs, sorted by name."""
    return [path for path in _subfolders(results) if is_run(path)]


def find_surveys(results):
    """The folders in a folder of runs that `python -m survey` has filled, sorted by name."""
    return [path for path in _subfolders(results) if (path / SURVEY).exists()]


def is_run(folder):
    """Whether a folder is a run's: its name ends in `_results`, or it holds a file or folder of a run."""
    if (folder / SURVEY).exists():
        return False
    return folder.name.endswith("_results") or any((folder / name).exists() for name in RUN_FILES)


def _subfolders(results):
    folders = [path for path in results.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(folders, key=lambda path: _natural(path.name))


def read(folder):
    """All that the pages show of a run: a dictionary of plain values; "page" is what their scripts read."""
    problems = []
    record = read_settings(folder) or {}
    record = {key: value for key, value in record.items() if isinstance(value, FIELDS.get(key, object))}
    if not record:
        fault = "damaged" if (folder / "settings.json").exists() else "missing"
        problems.append(f"settings.json is {fault}: the settings are unknown")
    rows, samples = _metrics(folder, problems), _samples(folder, problems)
    evaluation, remarks = _evaluation(folder, problems)
    log, phases = read_log(folder), _phases(record.get("options", {}), rows, samples)
    state, reason = run_state(folder)
    if not state and record:  # written by a version without log.txt
        complete = all(planned is not None and done >= planned for done, planned in phases)
        state = "finished" if complete else "stopped"
    if state == "finished" and not (folder / "generator_latest.pth").exists():
        problems.append("generator_latest.pth is missing")
    name = folder.name.removesuffix("_results")
    curves = {key: [row.get(key) for row in rows] for key in dict.fromkeys(itertools.chain(*rows))}
    last = {key: value for row in rows for key, value in row.items() if value is not None}
    newest = [row for row in rows if row.get("phase") == rows[-1].get("phase")][-RECENT:]
    median = lambda key: statistics.median([row[key] for row in newest if row.get(key)] or [math.nan])
    losses = record.get("losses", {})
    started = [time for time, event, _ in log if event == "started"] or [str(record.get("started") or "")]
    return {
        "folder": folder,
        "name": name,
        "state": state or "unknown",
        "reason": reason,
        "phases": phases,
        "seconds": median("seconds"),
        "speed": median("images_per_second"),
        "data": _data(record),
        "last": last | next((measures for name, measures in evaluation if folder.name in name), {}),
        "best": history.best(rows),
        "evaluation": evaluation,
        "remarks": remarks,
        "bytes": _disk(folder, problems),
        "newest": _newest(samples),
        "record": record,
        "losses": [name for name in losses if name not in MEASURES],
        "started": started[0][:19],
        "given": set(map(str, record.get("given", []))),
        "commands": [*map(str, record.get("commands", []))],
        "versions": record.get("versions", {}),
        "log": log,
        "problems": problems,
        "page": {
            "name": name,
            "settings": _settings(record),
            "curves": curves,
            "meanings": {key: history.meaning(key, MEASURES, losses) for key in curves},
            "changes": _changes(record, rows),
            "samples": samples,
        },
    }


# settings.json


def _settings(record):
    """The settings to compare: the method, the options, and the environment with the resolved `auto`."""
    if not record:
        return {}
    options = {key: value for key, value in record["options"].items() if key not in IDENTITY}
    vgg = record.get("vgg", options.pop("vgg_model", None))
    method = method_name(record).rpartition(".")[2]
    settings = {"method": method, **options} | ({"vgg_model": vgg} if vgg else {})
    settings |= {key: record[key] for key in ("device", "precision") if key in record}
    if record.get("code"):
        settings["code"] = re.sub(r"^(\w{10})\w+", r"\1", str(record["code"]))  # enough to tell commits apart
    if versions := record.get("versions"):
        settings["torch"] = versions.get("torch")
    return settings


def _changes(record, rows):
    """The options that changed during the run: [{"after": number of epochs before it, "text"}]."""
    changes = []
    for change in record.get("changes", []):
        match change:  # it may be damaged
            case {"option": option, "from": old, "to": new, "phase": int(phase), "epoch": int(epoch)}:
                before = sum((row.get("phase") or 0, row.get("epoch") or 0) < (phase, epoch) for row in rows)
                place = f"phase {phase}, epoch {epoch}, after step {change.get('step')}"
                text = f"{place}: {option} {figure(new)}, was {figure(old)}"
                changes.append({"after": before, "text": text})
    return changes


def _data(record):
    """[(kind, count, fingerprint)] of the data of a run."""
    kinds = record.get("data", {}).items()
    return [(kind, of.get("count"), str(of.get("fingerprint"))) for kind, of in kinds if isinstance(of, dict)]


def _phases(options, rows, samples):
    """(epochs done, epochs planned) of phases one and two; planned is None if the settings do not say."""
    first = 0 if options.get("latest_generator_model") else options.get("pre_train_epoch", 0)
    done = [sum(row.get("phase") == phase for row in rows) for phase in (1, 2)]
    if not rows:
        done[1] = max(_epochs(samples["photos"]), default=0)
    planned = [epochs if isinstance(epochs, int) else None for epochs in (first, options.get("train_epoch"))]
    return [*zip(done, planned, strict=True)]


# metrics.csv and evaluation.json


def _metrics(folder, problems):
    """The rows of metrics.csv as numbers of five digits; None for a cell that is not a finite number."""
    path = folder / history.FILE
    try:
        rows = history.read(path)
    except WrongUse as error:
        problems.append(str(error).removeprefix(f"{folder}/"))
        return []
    if not path.exists():
        problems.append(f"{path.name} is missing: no curves")
    numbers = []
    for place, row in enumerate(rows, 1):
        numbers.append({})
        for key in filter(None, row):  # the csv module puts cells without a title under None
            try:
                value = float(f"{float(row[key] or 'nan'):.5g}")
            except ValueError:
                problems.append(f"{path.name}, row {place}, {key}: {row[key]!r} is not a number")
                value = math.nan
            number = int(value) if value.is_integer() else value
            numbers[-1][key] = number if math.isfinite(value) else None
    return numbers


def _evaluation(folder, problems):
    """([(name, {measure: number})], remarks) of evaluation.json."""
    path = folder / "evaluation.json"
    if not path.exists():
        return [], []
    is_number = lambda value: type(value) in (int, float) and math.isfinite(value)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = [
            (name, {key: value for key, value in row.items() if is_number(value)})
            for name, row in content["rows"].items()
        ]
        remarks = [*map(str, content.get("remarks", []))]
        newer = folder / "generator_latest.pth"
        if newer.exists() and newer.stat().st_mtime > path.stat().st_mtime:
            remarks.append("measured before the run was trained further")
        return rows, remarks
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        problems.append(f"{path.name} cannot be read: {error}")
        return [], []


# Files

_EPOCH = re.compile(r"[0-9]+(?=_epoch_)|(?<=epoch)[0-9]+|(?<=epoch[ _-])[0-9]+", re.I)
_PHOTO = re.compile(r"(train|test)_(?:recon_)?(\d+)(_\w+)?\.\w+$")


def _samples(folder, problems):
    """The sample images of a run: {"photos": [...], "others": URLs of images whose names give no epoch}.

    A photo is a dictionary: its `name`; `pair`, whether its images show photo and result side by side (if
    the file name ends with the number); `images`, {epoch as text, or "recon" for that of phase one: URL}.
    """
    photos, others = {}, []
    for part in ("Reconstruction", "Transfer"):
        for name in _image_names(folder / part, problems):
            photo = _PHOTO.search(name)
            epoch = _EPOCH.search(name) if part == "Transfer" else None
            if not epoch and (part == "Transfer" or not photo):
                others.append(f"{part}/{url(name)}")
                continue
            if photo:
                title = f"{photo[1]} {photo[2]}"
            else:
                title = Path(f"{name[: epoch.start()]}…{name[epoch.end() :]}").stem
            pair = bool(photo and not photo[3])
            photos.setdefault(title, {"name": title, "pair": pair, "images": {}})
            photos[title]["images"][str(int(epoch[0])) if epoch else "recon"] = f"{part}/{url(name)}"
    photos = sorted(photos.values(), key=lambda photo: _natural(photo["name"]))
    if not photos and not others:
        problems.append("no sample images")
    every = _epochs(photos)
    for photo in photos:
        own = _epochs([photo])
        if own and (missing := sorted(every - own)):
            some = ", ".join(map(str, missing[:5])) + (", …" if len(missing) > 5 else "")
            problems.append(f"{photo['name']} has no image of epoch {some}")
    return {"photos": photos, "others": others}


def _epochs(photos):
    """The epochs at which any of the photos has an image."""
    return {int(epoch) for photo in photos for epoch in photo["images"] if epoch != "recon"}


def _newest(samples):
    """(URL, whether photo and result are side by side) of the first photo's newest image, or None."""
    photos, others = samples["photos"], samples["others"]
    if photos:
        return newest_image(photos[0]), photos[0]["pair"]
    return (others[-1], False) if others else None


def newest_image(photo):
    """The URL of a photo's newest image."""
    return list(photo["images"].values())[-1]


def _image_names(folder, problems):
    """The names of the images in a folder, sorted."""
    try:
        names = os.listdir(folder) if folder.is_dir() else []
    except OSError as error:
        problems.append(f"{folder.name} cannot be read: {error.strerror}")
        return []
    images = [name for name in names if Path(name).suffix.lower() in IMAGES and not name.startswith(".")]
    return sorted(images, key=_natural)


def _natural(text):
    """A sort key that puts 2 before 10."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split(r"([0-9]+)", text))]


def url(name):
    """A file's name as a part of a URL."""
    return quote(os.fsencode(name), safe="")


def _disk(folder, problems):
    """The bytes in a folder; empty images and weights are problems. Links are not followed."""
    total = 0
    for where, _, names in os.walk(folder):
        for path in (Path(where, name) for name in names):
            try:
                size = path.lstat().st_size
            except OSError:  # removed meanwhile
                continue
            total += size
            if not size and path.suffix.lower() in {*IMAGES, ".pth"}:
                problems.append(f"{path.relative_to(folder)} is empty")
    return total
