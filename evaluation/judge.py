"""Compares results with their photographs and with the drawings that they should resemble."""

import collections
import copy
import functools
import math
import warnings
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

import utils
from evaluation import style
from evaluation.measures import Views, measure
from pictures import checkpoints, images, inference
from support.gpu import no_search
from training import data
from training.config import load_size
from training.steps import shown_generator
from utils import WrongUse, report_once

FOR_FID = 2048  # pictures that FID needs: Inception's features have as many dimensions
SUBSETS, SUBSET = 100, 1000  # of KID: how many, and of how many images at most (Bińkowski et al.)
BORDER = 10  # pixels a side that RESIDE's indoor clear pictures have and the hazy ones lack


class FeatureSet(NamedTuple):
    """Features (n,d) of the squares of some pictures, and the number of each square's picture (n,)."""

    features: torch.Tensor
    pictures: torch.Tensor
    scores: dict | None = None  # {path: score of the picture}, of style.Style


class Judge:
    """Compares results with photographs and drawings, whose features are computed once, by the constructor.

    All pictures are resized as in training, by `fit(image)`, and cut into squares of `size` pixels for the
    networks. `photos`, `drawings` and `training` are lists of paths, `clear` is {hazy photo: its clear
    picture}, also paths. `vgg` is a VGG19 on `device`; `inception`, if given, maps uint8 N,3,H,W to N,d. The
    measure of style is fitted to the photographs of `training` and the drawings, and left out without any.

    `floor` (the drawings), `baseline` (the photographs) and what `measure` returns are rows: dictionaries of
    the numbers of measures.MEASURES, of `pictures` and `squares`, and with `_std` of errors. The floor's
    distances are those between two halves of the drawings. KID's kernel weighs features by their size, which
    differs between channels and between VGGs; so VGG19's, the means of conv4_4's channels over a square, get
    mean 0 and standard deviation 1 over the drawings.
    """

    def __init__(
        self, photos, drawings, vgg, device, precision, size, fit, inception=None, clear=None, training=()
    ):
        self.photos, self.clear, self.size, self.fit = photos, clear or {}, size, fit
        self.vgg, self.inception, self.device = vgg, inception, device
        self.autocast = functools.partial(utils.autocast, device, precision)
        self.style = style.learn(training, drawings, self.describe_file) if training else None
        self.of_drawings, floor = self._measure_set(drawings, "drawings")
        self.of_photos, baseline = self._measure_set(photos, "photographs", scored=True)
        self.centre, self.scale = 0, 1
        if not inception:
            self.centre = self.of_drawings.features.mean(0)
            self.scale = self.of_drawings.features.std(0, correction=0).clamp_min(1e-6)
        self.floor = floor | self._distance("drawings", *_halves(self.of_drawings))
        self.baseline = baseline | self._distance("drawings", self.of_photos, self.of_drawings)
        self.baseline |= self._place(self.of_photos.scores.values(), photos)
        self.floor |= self._place(self.style.drawings, photos) if self.style else {}

    def measure(self, make, photos=None):
        """The row of results: `make(path, photo)` gives each, both RGB; a result may have any size."""
        results, row = self._measure_set(photos or self.photos, "results", make, scored=True)
        row |= self._place(results.scores.values(), results.scores)
        row |= self._distance("drawings", results, self.of_drawings)
        return row | self._distance("photos", results, self.of_photos)

    def describe_file(self, path, alter=lambda image: image):
        """The features that the measure of style sees of a file's image after `alter`. Raises CannotRead."""
        return self._describe(alter(self._read(path)[1]))

    def _describe(self, image):
        with self.autocast():
            return style.describe(image, lambda picture: self.vgg.maps(picture.to(self.device), style.LAYERS))

    def _measure_set(self, paths, title, make=None, scored=False):
        """(FeatureSet, row) of the pictures, or of what `make` makes of them.

        Pictures that cannot be read are reported once and left out. Raises WrongUse if none can be read.
        """
        features, pictures, values, scores = [], [], collections.defaultdict(list), {}
        change = size = 0
        for number, path in enumerate(tqdm(paths, title, unit="picture", disable=None, leave=False)):
            try:
                views = self._views(path, make)
            except images.CannotRead as error:
                report_once(f"left out {error.path}: {error.reason}")
                continue
            for key, value in measure(views).items():
                values[key].append(value)
            if scored and self.style:
                scores[path] = self.style.score(self._describe(views.result))
            maps, pooled = self._features(views.result)
            features.append(pooled)
            pictures += [number] * len(pooled)
            if make:
                photo_maps, _ = self._features(views.photo)
                change += (maps - photo_maps).abs().sum().item()
                size += photo_maps.abs().sum().item()
        if not features:
            raise WrongUse(f"none of the {len(paths)} {title} can be read")
        row = {"pictures": len(features), "squares": len(pictures)}
        row |= {"content_change": change / size if size else math.nan} if make else {}
        row |= {key: float(np.mean(each)) for key, each in values.items()}
        return FeatureSet(torch.cat(features), torch.tensor(pictures), scores), row

    def _views(self, path, make):
        """The Views of a picture, or of what `make` makes of it. Raises CannotRead."""
        picture, photo = self._read(path)
        clear = None
        if path in self.clear:
            clear = _resize_like(photo, _without_border(images.read(self.clear[path]), picture))
        if not make:
            return Views(photo, None, clear, photo, None)
        result = make(path, picture)
        return Views(_resize_like(photo, result), photo, clear, result, _resize_like(result, picture))

    def _read(self, path):
        """(a picture, the same in the size of training). Raises CannotRead."""
        picture = images.read(path)
        try:
            return picture, self.fit(picture)
        except images.Unreadable as error:
            raise images.CannotRead(path, error) from None

    @torch.inference_mode()
    def _features(self, image):
        """(conv4_4 of the squares of an image, their features N,d for KID and FID, on the CPU)."""
        batch = torch.from_numpy(np.stack(squares(image, self.size))).to(self.device).permute(0, 3, 1, 2)
        with self.autocast():
            maps = self.vgg(utils.to_range(batch)).float()
        pooled = self.inception(batch) if self.inception else maps.mean((2, 3))
        return maps, pooled.float().cpu()

    def _place(self, scores, photos):
        """{name: style, its error} of pictures with these scores beside `photos`; {} of few."""
        beside = [self.of_photos.scores[path] for path in photos if path in self.of_photos.scores]
        if not self.style or len(beside) < style.FEWEST_JUDGED:
            return {}
        place, error = style.place(scores, beside, self.style.drawings)
        return {"drawn": place, "drawn_std": error}

    def _distance(self, to, *sets):
        """{name: KID, its deviation, and FID of enough pictures} of two FeatureSets; {} of one square."""
        features = [(each.features - self.centre) / self.scale for each in sets]
        if min(map(len, features)) < 2:
            return {}
        mean, deviation = kid(*features)
        row = {f"kid_{to}": mean, f"kid_{to}_std": deviation}
        if all(len(each.pictures.unique()) >= FOR_FID for each in sets):
            row[f"fid_{to}"] = fid(*features)
        return row


@no_search()
def measure_of(run):
    """A function that measures the generator of a training.run.Run on the test photographs for choosing.

    It returns columns for metrics.csv, {name: number}, or {} if no photograph can be read any more.
    """
    args = run.args
    *_, folder = data.folders(args)
    drawings = images.check(data.require_images(folder, data.MEASURABLE, "drawings"), "drawings")
    drawings = data.readable(drawings, 1, "drawings", folder).paths
    vgg = run.model.vgg or checkpoints.load_vgg(args.vgg_model, args.seed).to(run.device)
    fit = functools.partial(images.fit_training, size=load_size(args), how=args.resize)
    photos, size = data.choosing(run.data.tests), args.input_size
    judge = Judge(photos, drawings, vgg, run.device, run.precision, size, fit, training=run.data.photos)
    references = {"photo": judge.baseline, "drawings": judge.floor}
    constant = {f"{key}_{of}": row[key] for key in ("flat", "lines") for of, row in references.items()}

    @no_search()
    def measure_generator():
        generator = inference.prepare(copy.deepcopy(shown_generator(run.model)), run.device, run.precision)
        try:
            row = judge.measure(lambda _, photo: inference.convert(generator, [fit(photo)])[0])
        except WrongUse as error:
            report_once(f"warning: nothing is measured: {error}")
            return {}
        return {key: value for key, value in row.items() if key not in ("pictures", "squares")} | constant

    return measure_generator


def kid(features, others):
    """Kernel Inception Distance of two sets of features (n,d): (mean, standard deviation) over subsets.

    The unbiased squared maximum mean discrepancy under the kernel (x·y / d + 1)^3, which may be below 0
    (Bińkowski et al., ICLR 2018). There are 100 subsets, always the same, each of 1000 features, or of half
    of the smaller set if that is fewer, but of at least 2.
    """
    from torchmetrics.image.kid import KernelInceptionDistance  # takes two seconds

    subset = max(2, min(SUBSET, len(features) // 2, len(others) // 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps all features in memory
        metric = KernelInceptionDistance(torch.nn.Identity(), SUBSETS, subset)
    metric.update(features, real=True)
    metric.update(others, real=False)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        mean, deviation = metric.compute()
    return mean.item(), deviation.item()


def fid(features, others):
    """Fréchet Inception Distance of two sets of features (n,d) (Heusel et al., NeurIPS 2017).

    |difference of the means|^2 + trace(A + B - 2 sqrt(A B)), where A and B are the covariances. It depends on
    the number of images: compare only values that were measured with equally many.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    identity = torch.nn.Identity()
    identity.num_features = features.shape[1]
    metric = FrechetInceptionDistance(identity)
    metric.update(features, real=True)
    metric.update(others, real=False)
    return metric.compute().item()


def squares(image, size):
    """Cut an image, whose sides are at least `size`, into squares: as few, evenly spaced, as cover it.

    A rest of at most an eighth of a square is cut off, in equal parts at both ends.
    """
    tops, lefts = (_starts(side, size) for side in image.shape[:2])
    return [image[top : top + size, left : left + size] for top in tops for left in lefts]


def _starts(side, size):
    count = max(1, math.ceil(side / size - 1 / 8))
    if count == 1:
        return [(side - size) // 2]
    return np.linspace(0, side - size, count).round().astype(int)


def _halves(whole):
    """Split a FeatureSet in two that share no picture."""
    order = whole.pictures.unique()
    order = order[torch.randperm(len(order), generator=torch.Generator().manual_seed(0))]
    first = torch.isin(whole.pictures, order[: len(order) // 2])
    return [FeatureSet(whole.features[half], whole.pictures[half]) for half in (first, ~first)]


def _resize_like(other, image):
    return images.resize(image, other.shape[1], other.shape[0])


def _without_border(clear, hazy):
    """The clear picture, without the border if it is one of RESIDE's."""
    same = all(wide - side == 2 * BORDER for wide, side in zip(clear.shape[:2], hazy.shape[:2], strict=True))
    return clear[BORDER:-BORDER, BORDER:-BORDER] if same else clear
