"""What `python -m evaluation` measures: run folders, checkpoints, folders of pictures that test.py wrote."""

import contextlib

from pictures import checkpoints, images, inference, listing
from training import options
from training.config import read_settings
from utils import WrongUse, report


def open_results(source, folder, photos, fit, device, precision):
    """Returns (make, photos) for Judge.measure, from a run folder, a checkpoint or a folder of pictures.

    `photos` are the paths of the photographs below `folder`. Those that have a result are returned, without
    those that the checkpoint was chosen by. Raises WrongUse if `source` holds no results, or a picture that
    belongs to no photograph.
    """
    source = checkpoints.in_run(source)
    if source.is_file():
        generator = inference.prepare(checkpoints.load_generator(source), device, precision)
        photos = not_chosen_by(source, photos)
        return lambda _, photo: inference.convert(generator, [fit(photo)])[0], photos
    found = match(source, folder, photos)
    make = lambda path, photo: of_one_shape(images.read(found[path]), photo, found[path])
    for path in found:  # report a fault that all of them share before the slow work
        with contextlib.suppress(images.CannotRead):  # a damaged one is reported later, by name
            make(path, images.read(path))
            break
    return make, list(found)


def not_chosen_by(source, photos):
    """The photos that were not used to choose a run's generator_best.pth; all of another checkpoint."""
    content = checkpoints.load(source)
    chosen_by = set(content.get("chosen_by", ())) if isinstance(content, dict) else ()
    others = (
        [path for path in photos if images.digest(path.read_bytes()) not in chosen_by]
        if chosen_by
        else photos
    )
    if len(others) == len(photos) or not others:
        return photos
    report(
        f"{source} was chosen by {len(photos) - len(others)} of the {len(photos)} photos: left out of its row"
    )
    return others


def match(results, folder, photos):
    """{photo: its result}: both have the same path below their folder; the extension may differ.

    Raises WrongUse if there are no results, or one belongs to no photo.
    """
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
                f"{results / name} has no photo in {folder}: --photos must be what test.py was given"
            )
        found[photo] = results / name
    if missing := len(photos) - len(found):
        report(f"{missing} of {len(photos)} photos have no result in {results}: left out of its row")
    return found


def of_one_shape(result, photo, path):
    """Returns the result. Raises WrongUse if it is not as wide for its height as the photo."""
    wider = result.shape[1] / result.shape[0] / (photo.shape[1] / photo.shape[0])
    if abs(wider - 2) < 0.1:
        raise WrongUse(f"{path} is twice as wide as its photo: run test.py without --side_by_side")
    if abs(wider - 1) > 0.05:
        raise WrongUse(f"{path} has not the shape of its photo")
    return result


def trained_with(source):
    """Which pictures a run was trained with and how they were made; {} without a settings.json."""
    folder = source if source.is_dir() else source.parent
    settings = read_settings(folder) or {"options": {}}
    names = "input_size", "load_size", "resize", "src_data", "tgt_data"
    used = {name: settings["options"][name] for name in names if name in settings["options"]}
    if fault := options.fault(used):
        raise WrongUse(f"{folder / 'settings.json'} is damaged: {fault}; mend it, or move it away")
    return used


def own_file(source):
    """The JSON file of one of the results: in its folder, or beside a checkpoint."""
    return (
        source / "evaluation.json" if source.is_dir() else source.with_name(f"{source.stem}-evaluation.json")
    )
