"""Open what `python -m evaluation` measures, and find the pictures to compare it with."""

import argparse
import contextlib

from data import pairs
from pictures import checkpoints, images, inference, listing
from training import options
from training.config import read_settings
from training.data import folders
from utils import WrongUse, report


def open_results(source, folder, photos, fit, device, precision):
    """Returns (make, photos) for Judge.measure, from a run folder, a checkpoint or a folder of pictures.

    `photos` are the paths of the photographs below `folder`; returned are those that have a result, without
    those by which the checkpoint was chosen. Raises WrongUse if `source` holds no results, or a picture that
    belongs to no photograph.
    """
    source = checkpoints.find_generator(source)
    if source.is_file():
        generator = inference.prepare(checkpoints.load_generator(source), device, precision)
        photos = not_chosen_by(source, photos)
        return lambda _, photo: inference.convert(generator, [fit(photo)])[0], photos
    found = _match(source, folder, photos)
    make = lambda path, photo: _of_same_shape(images.read(found[path]), photo, found[path])
    first = next(iter(found))
    with contextlib.suppress(images.CannotRead):  # a damaged file is reported later, by name
        make(first, images.read(first))  # report a fault that all of them share before the slow work
    return make, list(found)


def not_chosen_by(source, photos):
    """The photos that were not used to choose a run's generator_best.pth; all of another checkpoint."""
    content = checkpoints.load(source)
    chosen_by = content.get("chosen_by", ()) if isinstance(content, dict) else ()
    if not chosen_by:
        return photos
    others = [path for path in photos if images.digest(path.read_bytes()) not in chosen_by]
    if others and (count := len(photos) - len(others)):
        report(f"{source} was chosen by {count} of the {len(photos)} photos: left out of its row")
    return others or photos


def _match(results, folder, photos):
    """{photo: its result}: both have the same path below their folder; the extension may differ."""
    if not results.is_dir():
        raise WrongUse(f"no {results}: name a run folder, a folder of test.py's pictures, or a checkpoint")
    names = listing.find_images(results)
    if not names:
        raise WrongUse(f"{results} holds neither a generator_latest.pth nor pictures")
    exact = {path.relative_to(folder): path for path in photos}
    loose = {name.with_suffix(""): path for name, path in exact.items()}
    found = {}
    for name in names:
        photo = exact.get(name) or loose.get(name.with_suffix(""))
        if not photo:
            raise WrongUse(
                f"{results / name} has no photo in {folder}: --photos must be the folder given to test.py"
            )
        found[photo] = results / name
    if missing := len(photos) - len(found):
        report(f"{missing} of {len(photos)} photos have no result in {results}: left out of its row")
    return found


def _of_same_shape(result, photo, path):
    """Returns the result. Raises WrongUse if its ratio of width to height is not the photo's."""
    wider = result.shape[1] / result.shape[0] / (photo.shape[1] / photo.shape[0])
    if abs(wider - 2) < 0.1:
        raise WrongUse(f"{path} is twice as wide as its photo: run test.py without --side_by_side")
    if abs(wider - 1) > 0.05:
        raise WrongUse(f"{path} does not have the aspect ratio of its photo: run test.py again")
    return result


def trained_with(source):
    """A run's options of folders, sizes and the content network; {} without a settings.json."""
    folder = source if source.is_dir() else source.parent
    settings = read_settings(folder) or {"options": {}}
    names = "input_size", "load_size", "resize", "src_data", "tgt_data", "vgg_model"
    used = {name: settings["options"][name] for name in names if name in settings["options"]}
    if fault := options.fault(used):
        raise WrongUse(f"{folder / 'settings.json'} is damaged: {fault}; correct it, or move it away")
    return used


def own_file(source):
    """The JSON file of one of the results: in its folder, or beside a checkpoint."""
    if source.is_dir():
        return source / "evaluation.json"
    return source.with_name(f"{source.stem}-evaluation.json")


# References


def find_pictures(folder):
    """The paths of the images below `folder`. Raises WrongUse if there are none."""
    paths = [folder / name for name in listing.find_images(folder)]
    if not paths:
        empty = f"no images in {folder}: {listing.looked_for()}"
        raise WrongUse(empty if folder.is_dir() else f"no folder {folder}: name one of pictures")
    return paths


def find_references(photos, drawings, run):
    """The folders of photographs and drawings: those given or the run's (options of `trained_with`)."""
    if not (photos and drawings):
        if not {"src_data", "tgt_data"} <= run.keys():
            raise WrongUse("--photos DIR and --drawings DIR needed: none of the results has a settings.json")
        _, *known = folders(argparse.Namespace(**run))
        photos, drawings = photos or known[0], drawings or known[1]
        report(f"compared with the data of the run: photographs {photos}, drawings {drawings}")
    return photos, drawings


def find_training_photos(folder, photos):
    """The photographs that the measure of style is fitted to: in `folder`, or in train/ beside `photos`.

    None of those that are measured is among them. Raises WrongUse if `folder` holds no images.
    """
    beside = [photos.parent / name for name in ("train", "trainA")]
    folder = folder or next((path for path in beside if path.is_dir()), None)
    if not folder:
        report(f"style is not measured: no folder {beside[0]}; name another with --train_photos")
        return []
    measured = photos.resolve()
    return [path for path in find_pictures(folder) if measured not in path.resolve().parents]


def find_clear(folder, photos, photo_dir):
    """{photo: path of its clear picture} for those in `folder`'s pairs. Raises WrongUse if there are none."""
    if not folder:
        return {}
    clear = pairs.find_pairs(folder)
    names = {path: path.relative_to(photo_dir).with_suffix("").as_posix() for path in photos}
    found = {path: clear[name] for path, name in names.items() if name in clear}
    if not found:
        raise WrongUse(f"no photo in {photo_dir} is a hazy picture of {folder}")
    return found
