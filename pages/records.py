"""What settings.json tells of a run, as plain values for the pages."""

import re

from pages.tables import figure
from training.config import method_name, read_settings

WHERE = {"name", "tag", "results_dir", "resume"}  # options that say which run it is, not what it does


def settings(folder, problems):
    """settings.json of a run; {} and a line more in `problems` if it is missing or damaged."""
    record = read_settings(folder)
    if not record:
        there = (folder / "settings.json").exists()
        problems.append(f"settings.json is {'damaged' if there else 'missing'}: the settings are not known")
    return record or {}


def flat(record):
    """The settings to compare: the method, the options but the run's name, and what `auto` stood for."""
    if not record:
        return {}
    options = {key: value for key, value in record["options"].items() if key not in WHERE}
    vgg = record.get("vgg", options.pop("vgg_model", None))
    found = {"method": method_of(record), **options} | ({"vgg_model": vgg} if vgg else {})
    found |= {key: record[key] for key in ("device", "precision") if key in record}
    if record.get("code"):
        found["code"] = re.sub(r"^(\w{10})\w+", r"\1", str(record["code"]))  # enough to tell commits apart
    if versions := or_empty(dict, record.get("versions")):
        found["torch"] = versions.get("torch")
    return found


def method_of(record):
    """The name of the program that a run was started with, as "CartoonGAN" or "cyclegan"."""
    return method_name(record).rpartition(".")[2]


def losses(record):
    """{name: meaning} of the losses of a run, as its options describe them."""
    found = or_empty(dict, record.get("losses")).items()
    return {name: text for name, text in found if isinstance(text, str)}


def changes(record, rows):
    """The options that changed on the way: [{"after": rows of metrics.csv before, "text"}], oldest first."""
    found = []
    for change in or_empty(list, record.get("changes")):
        place = [change.get(key) for key in ("phase", "epoch", "step")] if isinstance(change, dict) else []
        if [*map(type, place)] == [int] * 3:
            before = sum((row.get("phase") or 0, row.get("epoch") or 0) < (*place[:2],) for row in rows)
            text = "phase {}, epoch {}, after step {}: ".format(*place)
            text += f"{change.get('option')} {figure(change.get('to'))}, was {figure(change.get('from'))}"
            found.append({"after": before, "text": text})
    return found


def data(record):
    """(kind, count, fingerprint) of each part of the data."""
    kinds = or_empty(dict, record.get("data")).items()
    return [(kind, of.get("count"), str(of.get("fingerprint"))) for kind, of in kinds if isinstance(of, dict)]


def or_empty(kind, value):
    return value if isinstance(value, kind) else kind()
