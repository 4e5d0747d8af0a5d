"""Measures results beside their photographs and beside the drawings that they should resemble."""

import collections
import copy
import functools
import math
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

import utils
from evaluation import drawing, metrics, style
from pictures import checkpoints, images, inference, listing
from support.gpu import no_search
from training import data
from training.method import load_size
from training.steps import shown_generator
from utils import WrongUse

BATCH = 8  # pictures that go through the networks at once
ENOUGH = 2048  # pictures that FID needs: Inception's features have as many dimensions
BORDER = 10  # pixels a side that RESIDE's indoor clear pictures have and the hazy ones lack


class FeatureSet(NamedTuple):
    """Features (n,d) of the squares of some pictures, and the number of each one's picture (n,)."""

    features: torch.Tensor
    pictures: torch.Tensor
    scores: dict | None = None  # {path: score of the picture}, of style.Style


class Judge:
    """Measures results beside photographs and drawings. It looks at these two once, when it is made.

    All pictures are resized as in training, to a shorter side of `load_size` pixels (`size`), and cut into
    squares of `size` for the networks, so that their scale makes no difference. `photos` and `drawings` are
    lists of paths. `clear` is {hazy photo: its clear picture}, paths too. `vgg` is a VGG19 on `device`.
    `inception` is None, or a network that takes uint8 N,3,H,W and gives N,d. `training` are the paths of
    photographs to which, beside the drawings, the measure of style is fitted; without any it is left out.

    `floor` (the drawings), `baseline` (the photographs) and what `measure` returns are rows, flat dicts:

    - `kid_drawings`, `kid_photos`, their `_std`, and from 2048 pictures on `fid_…`: the distances to both, as
      in White-box Cartoonization (Wang and Yu, CVPR 2020). The floor's is the distance between two halves of
      the drawings. Without Inception the features are the means of conv4_4's channels over a square, scaled
      so that each has mean 0 and standard deviation 1 over the drawings: KID's kernel weighs features by
      their size, which differs between channels, and between VGGs.
    - `drawn`, `drawn_std`: the style, from 0, the photographs, to 1, the drawings, and its error (style.py).
    - `flat`, `lines`, and of results at their own size `new_lines`, `at_contours`, `by_chance` (drawing.py).
    - `content_change`: mean absolute change of conv4_4, relative to the mean absolute value of the photos'.
    - `ssim`: to the photo, of luminance.
    - `checkerboard`, `stripes`: of results at their own size; with `_photo`, of the photos at that size.
      Pictures with a side of less than 12 pixels are left out.
    - `colour`: mean distance of the chroma to the photo's, in CIE Lab.
    - `psnr_clear`, `ssim_clear`: to the clear picture, of those photos that have one.
    """

    def __init__(
        self,
        photos,
        drawings,
        vgg,
        device,
        precision,
        size,
        resize="crop",
        inception=None,
        clear=None,
        load_size=None,
        training=(),
    ):
        self.photos, self.clear = photos, clear or {}
        self.vgg, self.inception, self.device = vgg, inception, device
        self.autocast = functools.partial(utils.autocast, device, precision)
        self.fit = functools.partial(images.fit_training, size=load_size or size, how=resize)
        self.cut = functools.partial(metrics.squares, size=size)
        self.style = style.learn(training, drawings, self._describe_file) if training else None
        self.of_drawings, floor = self._look(drawings, "drawings")
        self.of_photos, baseline = self._look(photos, "photographs", scored=True)
        self.centre, self.scale = 0, 1
        if not inception:
            self.centre = self.of_drawings.features.mean(0)
            self.scale = self.of_drawings.features.std(0, correction=0).clamp_min(1e-6)
        self.floor = floor | self._distance("drawings", *_halves(self.of_drawings))
        self.baseline = baseline | self._distance("drawings", self.of_photos, self.of_drawings)
        scores = self.of_photos.scores
        self.baseline |= self._style(scores.values(), scores)
        self.floor |= self._style(self.style.drawings, scores) if self.style else {}

    def measure(self, make, photos=None):
        """The row of results: `make(path, photo)` gives each, both RGB; a result may have any size."""
        look, row = self._look(photos or self.photos, "results", make, scored=True)
        row |= self._style(look.scores.values(), look.scores)
        row |= self._distance("drawings", look, self.of_drawings)
        return row | self._distance("photos", look, self.of_photos)

    def _style(self, scores, photos):
        """{name: style, its error} of pictures with these scores beside some of the photos; {} of few."""
        beside = [self.of_photos.scores[path] for path in photos if path in self.of_photos.scores]
        if not self.style or len(beside) < style.FEWEST_JUDGED:
            return {}
        place, error = style.place(scores, beside, self.style.drawings)
        return {"drawn": place, "drawn_std": error}

    def _look(self, paths, title, make=None, scored=False):
        """(FeatureSet, row) of what `make` makes of the pictures, or without `make` of the pictures.

        Pictures that cannot be read are named once and left out. Raises WrongUse if none can be read.
        """
        features, places, changes, alone = [], [], [], collections.defaultdict(list)
        scores = {}
        with tqdm(total=len(paths), desc=title, unit="picture", disable=None, leave=False) as bar:
            for start in range(0, len(paths), BATCH):
                squares, before = [], []
                for place, path in enumerate(paths[start : start + BATCH], start):
                    bar.update()
                    try:
                        photo, result, values = self._picture(path, make)
                    except images.CannotRead as error:
                        listing.report_once(f"left out {error.path}: {error.reason}")
                        continue
                    for key, value in values.items():
                        alone[key].append(value)
                    if scored and self.style:
                        scores[path] = self.style.score(self._describe(result))
                    cuts = self.cut(result)
                    squares += cuts
                    before += self.cut(photo)
                    places += [place] * len(cuts)
                if not squares:
                    continue
                maps, pooled = self._features(squares)
                features.append(pooled)
                if make:
                    wanted, _ = self._features(before)
                    changes.append([(maps - wanted).abs().sum().item(), wanted.abs().sum().item()])
        if not places:
            raise WrongUse(f"none of the {len(paths)} {title} can be read")
        row = {"pictures": len(set(places)), "squares": len(places)}
        row |= {"content_change": _share(changes)} if make else {}
        row |= {key: float(np.mean(values)) for key, values in alone.items()}
        return FeatureSet(torch.cat(features), torch.tensor(places), scores), row

    def _picture(self, path, make):
        """(photo, result, what is measured of this one result); both images are in the size of training."""
        picture, photo = self._read(path)
        made = make(path, picture) if make else photo
        result = _sized_as(photo, made)
        values = {"flat": drawing.flat(result), "lines": drawing.lines(result)}
        if min(made.shape[:2]) >= metrics.NARROWEST:
            for name, measure in (("checkerboard", metrics.checkerboard), ("stripes", metrics.stripes)):
                values[name] = measure(made)
                if make:
                    values[f"{name}_photo"] = measure(_sized_as(made, picture))
        if make:
            there = _sized_as(made, picture)
            values["new_lines"] = drawing.new_lines(made, there)
            at_contours, values["by_chance"] = drawing.at_contours(made, there)
            values |= {} if math.isnan(at_contours) else {"at_contours": at_contours}
            values["colour"] = metrics.colour_error(result, photo)
            values["ssim"] = metrics.ssim(result, photo)
        if path in self.clear:
            clear = _sized_as(photo, _clear(images.read(self.clear[path]), picture))
            values["psnr_clear"] = metrics.psnr(result, clear)
            values["ssim_clear"] = metrics.ssim(result, clear)
        return photo, result, values

    def _read(self, path):
        """(a picture, the same in the size of training). Raises CannotRead."""
        picture = images.read(path)
        try:
            return picture, self.fit(picture)
        except images.Unreadable as error:
            raise images.CannotRead(path, error) from None

    def _describe_file(self, path, alter=lambda image: image):
        return self._describe(alter(self._read(path)[1]))

    def _describe(self, image):
        """What the measure of style sees of an image in the size of training."""
        with self.autocast():
            return style.describe(image, lambda picture: self.vgg.maps(picture.to(self.device), style.LAYERS))

    @torch.inference_mode()
    def _features(self, squares):
        """(conv4_4 of squares, their features N,d for KID and FID, on the CPU)."""
        batch = torch.from_numpy(np.stack(squares)).to(self.device).permute(0, 3, 1, 2)
        with self.autocast():
            maps = self.vgg(utils.to_range(batch)).float()
        pooled = self.inception(batch) if self.inception else maps.mean((2, 3))
        return maps, pooled.float().cpu()

    def _distance(self, to, *looks):
        """{name: KID, its deviation, and FID of enough pictures} of two Looks; {} if one is too small."""
        features = [(look.features - self.centre) / self.scale for look in looks]
        found = metrics.kid(*features)
        row = {f"kid_{to}": found[0], f"kid_{to}_std": found[1]} if found else {}
        if all(len(look.pictures.unique()) >= ENOUGH for look in looks):
            row[f"fid_{to}"] = metrics.fid(*features)
        return row


@no_search()
def measure_of(run):
    """A function that measures the generator of a training.run.Run on those test photographs that are for it.

    It returns columns for metrics.csv, {name: number}, or {} if no photograph can be read any more. KID is of
    VGG19's features.
    """
    args = run.args
    *_, folder = data.folders(args)
    drawings = images.check(data.require_images(folder, data.MEASURABLE, "drawings"), "drawings")
    drawings = data.readable(drawings, 1, "drawings", folder).paths
    vgg = run.model.vgg or checkpoints.load_vgg(args.vgg_model, args.seed).to(run.device)
    form = args.input_size, args.resize
    more = {"load_size": load_size(args), "training": run.data.photos}
    judge = Judge(data.choosing(run.data.tests), drawings, vgg, run.device, run.precision, *form, **more)
    beside = {"photo": judge.baseline, "drawings": judge.floor}
    constant = {f"{key}_{of}": row[key] for key in ("flat", "lines") for of, row in beside.items()}

    @no_search()
    def measure():
        generator = inference.prepare(copy.deepcopy(shown_generator(run.model)), run.device, run.precision)
        try:
            row = judge.measure(lambda _, photo: inference.convert(generator, [judge.fit(photo)])[0])
        except WrongUse as error:
            listing.report_once(f"warning: nothing is measured: {error}")
            return {}
        return {key: value for key, value in row.items() if key not in ("pictures", "squares")} | constant

    return measure


def _halves(look):
    """Split a FeatureSet in two that share no picture."""
    order = look.pictures.unique()
    order = order[torch.randperm(len(order), generator=torch.Generator().manual_seed(0))]
    first = torch.isin(look.pictures, order[: len(order) // 2])
    return [FeatureSet(look.features[half], look.pictures[half]) for half in (first, ~first)]


def _sized_as(wanted, image):
    return images.resize(image, wanted.shape[1], wanted.shape[0])


def _clear(clear, hazy):
    same = all(wide - side == 2 * BORDER for wide, side in zip(clear.shape[:2], hazy.shape[:2], strict=True))
    return clear[BORDER:-BORDER, BORDER:-BORDER] if same else clear


def _share(parts):
    """The sum of the pairs' first numbers over the sum of their second ones; NaN if that is 0."""
    part, whole = map(sum, zip(*parts, strict=True))
    return part / whole if whole else math.nan
