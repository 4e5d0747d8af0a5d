"""Hazy pictures and the clear pictures that belong to them."""

import csv

from errors import WrongUse


def find(folder):
    """{stem of a hazy picture's name: Path of its clear one}, from folder/pairs.csv. Raises WrongUse."""
    try:
        with open(folder / "pairs.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {row["hazy"].rsplit("/")[-1].rsplit(".", 1)[0]: folder / row["clear"] for row in rows}
    except FileNotFoundError:
        raise WrongUse(f"no pairs.csv in {folder}") from None
    except KeyError as error:
        raise WrongUse(f"{folder}/pairs.csv has no column {error}") from None
