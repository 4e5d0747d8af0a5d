"""What lies in a run folder, as plain values for the pages, and what of it is missing or damaged."""

import json
import math
import os
import re
import statistics
from pathlib import Path
from urllib.parse import quote

from training import history
from training.log import read_log, run_state
from training.settings import read_settings
from utils import WrongUse

IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"}
SIGNS = ("settings.json", "metrics.csv", "Transfer", "Reconstruction")  # of a run folder
NO_MEASURE = {"phase", "epoch", "seconds", "images_per_second", "learning_rate", "pictures"}
WHERE = {"name", "tag", "results_dir", "resume"}  # options that say which run it is, not what it does


def find_runs(results):
    """The run folders in a folder of runs, by name: those with `_results` in the end or a sign of a run."""
    folders = [path for path in results.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted((path for path in folders if is_run(path)), key=lambda path: _natural(path.name))


def is_run(folder):
    """Whether a folder looks like that of a run."""
    return folder.name.endswith("_results") or any((folder / sign).exists() for sign in SIGNS)


def read(folder):
    """All that the pages show of a run: a dictionary of plain values; "page" is what goes into page.js."""
    problems = []
    record, rows = _settings(folder, problems), _metrics(folder, problems)
    samples, newest = _samples(folder, problems)
    options = record.get("options", {})
    wanted = {1: options.get("pre_train_epoch"), 2: options.get("train_epoch")}
    if options.get("latest_generator_model"):
        wanted[1] = 0
    total = sum(wanted.values()) if all(isinstance(epochs, int) for epochs in wanted.values()) else None
    event, reason = run_state(folder)
    if not event and record:  # a run from before there were logs
        event = "finished" if total is not None and len(rows) >= total else "stopped"
    if event == "finished" and not (folder / "generator_latest.pth").exists():
        problems.append("generator_latest.pth is missing")
    size, empty = _disk(folder)
    problems += [f"{path.relative_to(folder)} is empty" for path in empty]
    recent = [row for row in rows if row.get("phase") == rows[-1].get("phase")][-5:]
    middle = lambda key: statistics.median([row[key] for row in recent if row.get(key)] or [math.nan])
    curves = {
        key: [row.get(key) for row in rows] for key in dict.fromkeys(key for row in rows for key in row)
    }
    name = plain(folder.name.removesuffix("_results"))
    last = {
        key: next(value for value in reversed(values) if value is not None)
        for key, values in curves.items()
        if key not in NO_MEASURE and any(value is not None for value in values)
    }
    evaluation = _evaluation(folder, problems)
    own = next((row for name, row in evaluation if folder.name in name), {})
    own = {key: value for key, value in own.items() if key not in NO_MEASURE}
    return {
        "folder": folder,
        "name": name,
        "state": event or "unknown",
        "reason": reason,
        "done": len(rows) or max((int(epoch) for epochs in samples["epochs"] for epoch in epochs), default=0),
        "total": total,
        "seconds": middle("seconds"),
        "speed": middle("images_per_second"),
        "data": _data(record),
        "last": {**last, **own},
        "best": history.best(rows),
        "evaluation": evaluation,
        "bytes": size,
        "newest": newest,
        "record": record,
        "started": str(record.get("started") or "")[:16],
        "given": set(map(str, _if_a(list, record.get("given")))),
        "commands": [plain(str(command)) for command in _if_a(list, record.get("commands"))],
        "versions": _if_a(dict, record.get("versions")),
        "log": read_log(folder),
        "problems": problems,
        "page": {"name": name, "settings": _flat(record), "curves": curves, "samples": samples},
    }


def plain(name):
    """A text that can be written as UTF-8: what cannot becomes question marks."""
    return name.encode("utf-8", "replace").decode()


def _settings(folder, problems):
    record = read_settings(folder)
    if not record:
        there = (folder / "settings.json").exists()
        problems.append(f"settings.json is {'damaged' if there else 'missing'}: the settings are not known")
    return record or {}


def _flat(record):
    """The settings to compare: every option but the run's name, and what `auto` came to."""
    flat = {key: value for key, value in record.get("options", {}).items() if key not in WHERE}
    flat |= {key: record[key] for key in ("device", "precision", "code") if key in record}
    if "vgg" in record:
        flat["vgg_model"] = record["vgg"]
    return flat | ({"torch": record["versions"].get("torch")} if _if_a(dict, record.get("versions")) else {})


def _data(record):
    """(kind, count, fingerprint) of each part of the data."""
    kinds = _if_a(dict, record.get("data")).items()
    return [(kind, of.get("count"), str(of.get("fingerprint"))) for kind, of in kinds if isinstance(of, dict)]


def _if_a(kind, value):
    return value if isinstance(value, kind) else kind()


def _metrics(folder, problems):
    """The rows of metrics.csv with numbers in place of texts: None for an empty cell or what is no number."""
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
    """A text of a table as a number to five digits."""
    if text in (None, ""):
        return None
    try:
        value = float(f"{float(text):.5g}")
    except (ValueError, TypeError):
        problems.append(f"{where}: {text!r} is no number")
        return None
    return (int(value) if value == int(value) else value) if math.isfinite(value) else None


def _evaluation(folder, problems):
    """The rows that evaluate.py left, as (name, {measure: number}); what has another shape is passed over."""
    path = folder / "evaluation.json"
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"evaluation.json cannot be read: {error}")
        return []
    rows = _if_a(dict, _if_a(dict, content).get("rows")).items()
    number = lambda value: type(value) in (int, float) and abs(value) < math.inf
    return [
        (plain(name), {key: value for key, value in row.items() if number(value)})
        for name, row in rows
        if isinstance(row, dict)
    ]


# The samples

_EPOCH = re.compile(r"([0-9]+)(?=_epoch_)|(?<=epoch)[ _-]?([0-9]+)", re.I)
_PHOTO = re.compile(r"(train|test)_(?:recon_)?(\d+)\.\w+$")


def _samples(folder, problems):
    """The sample images, in few words: their names follow from epochs and photographs.

    Returns ({"epochs": lists of epochs, "photos": [...], "others": [...]}, _newest(...)). A photo has a name,
    the URL of its reconstruction or None, and `series`, (list, before, after): the picture of epoch e of that
    list lies at before + e + after. It is a `pair` where photo and result lie side by side. Others, whose
    names tell no epoch, are (letters shared with the URL before, the rest).
    """
    photos, others = {}, []
    for part in ("Reconstruction", "Transfer"):
        for name in _names(folder / part, problems):
            found, photo = _EPOCH.search(name), _PHOTO.search(name)
            epoch = part == "Transfer" and found and (found[1] or found[2])
            if not epoch and not (photo and part == "Reconstruction"):
                others.append(f"{part}/{url(name)}")
                continue
            label = f"{photo[1]} {photo[2]}" if photo else plain(Path(name).stem.replace(epoch, "…", 1))
            entry = photos.setdefault(label, {"recon": None, "series": {}, "pair": bool(photo)})
            if not epoch:
                entry["recon"] = f"{part}/{url(name)}"
                continue
            start = found.start(1 if found[1] else 2)
            ends = f"{part}/{url(name[:start])}", url(name[start + len(epoch) :])
            entry["series"].setdefault(ends, []).append(
                int(epoch) if epoch == str(int(epoch))[:15] else epoch
            )
    every, lists = set(), []
    for entry in photos.values():
        series = []
        for ends, epochs in entry["series"].items():
            epochs.sort(key=int)
            every.update(map(int, epochs))
            if epochs not in lists:
                lists.append(epochs)
            series.append((lists.index(epochs), *ends))
        entry["series"] = series
    if not photos and not others:
        problems.append("no sample images")
    for label, entry in photos.items():
        if entry["series"] and (gone := every - {int(e) for at, *_ in entry["series"] for e in lists[at]}):
            some = ", ".join(map(str, sorted(gone)[:5])) + (", …" if len(gone) > 5 else "")
            problems.append(f"{label} has no picture of epoch {some}")
    photos = [{"name": label, **photos[label]} for label in sorted(photos, key=_natural)]
    return {"epochs": lists, "photos": photos, "others": _fronts(others)}, _newest(photos, lists, others)


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
    """Sorts 2 before 10."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split(r"([0-9]+)", text))]


def url(name):
    """A file's name as a part of a URL."""
    return quote(os.fsencode(name), safe="")


def _fronts(texts):
    """Each text as (letters shared with the one before, the rest)."""
    fronts = []
    for before, text in zip(["", *texts], texts, strict=False):
        pairs = enumerate(zip(before, text, strict=False))
        shared = next((at for at, (one, two) in pairs if one != two), min(len(before), len(text)))
        fronts.append((shared, text[shared:]))
    return fronts


def _newest(photos, lists, others):
    """(URL, whether photo and result lie side by side) of the first photo's newest picture, or None."""
    for photo in photos:
        if photo["series"]:
            at, before, after = max(photo["series"], key=lambda series: int(lists[series[0]][-1]))
            return f"{before}{lists[at][-1]}{after}", photo["pair"]
    for photo in photos:
        return photo["recon"], True
    return (others[-1], False) if others else None


def _disk(folder):
    """Bytes in a folder, links not followed, and its empty images and weights."""
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
