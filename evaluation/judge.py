"""Compare results with their photographs and with the drawings that they should resemble."""

import collections
import copy
import dataclasses
import functools
import math
import warnings
from collections.abc import Callable

import numpy as np
import torch
from tqdm import tqdm

import utils
from evaluation import measures, style
from evaluation.measures import Views
from networks import VGG19
from pictures import checkpoints, images, inference
from support.gpu import no_search
from training import data
from training.config import load_size
from training.steps import shown_generator
from utils import WrongUse, report_once

FOR_FID = 2048  # pictures that FID needs: Inception's features have as many dimensions
SUBSETS, SUBSET = 100, 1000  # of KID: how many, and of how many images at most (Bińkowski et al.)
BORDER = 10  # pixels a side that RESIDE's indoor clear pictures have and the hazy ones lack


@dataclasses.dataclass
class Extractor:
    """Reads pictures, resizes them as in training and extracts features."""

    vgg: VGG19
    precision: str  # of the convolutions of `vgg`
    fit: Callable  # fit(image) resizes an image as in training
    size: int  # side of the squares, pixels
    inception: Callable | None = None  # uint8 N,3,H,W to the features N,d of KID and FID; None: `vgg`

    def read(self, path):
        """(an image, the same in the size of training). Raises CannotRead."""
        image = images.read(path)
        try:
            return image, self.fit(image)
        except images.Unreadable as error:
            raise images.CannotRead(path, error) from None

    def describe(self, image):
        """The features of an image that the measure of style is computed from."""
        with self._autocast():
            return style.describe(image, self.vgg)

    @torch.inference_mode()
    def extract(self, image):
        """(conv4_4 of the squares of an image, their features N,d for KID and FID, on the CPU)."""
        batch = torch.from_numpy(np.stack(squares(image, self.size))).to(self.vgg.mean.device)
        batch = batch.permute(0, 3, 1, 2)
        with self._autocast():
            maps = self.vgg(utils.to_range(batch)).float()
        features = self.inception(batch) if self.inception else maps.mean((2, 3))
        return maps, features.float().cpu()

    def _autocast(self):
        return utils.autocast(self.vgg.mean.device, self.precision)


class Judge:
    """Compares results with photographs and drawings, whose features are computed once, by the constructor.

    `photos`, `drawings` and `training` are lists of paths, `clear` is {hazy photo: its clear picture}. The
    measure of style is fitted to the photographs of `training` and the drawings, and left out without any.

    `floor` (the drawings), `baseline` (the photographs) and what `measure` returns are rows, {name: number}:
    measures.MEASURES, their errors as NAME_std, and the numbers of `pictures` and `squares`. The floor's
    distances are those between two halves of the drawings.
    """

    def __init__(self, extractor, photos, drawings, training=(), clear=None):
        self.extractor, self.photos, self.clear = extractor, photos, clear or {}
        self.style = style.learn(training, drawings, extractor) if training else None
        self.of_drawings, _, floor = self._measure_set(drawings, "drawings", scored=False)
        self.of_photos, self.photo_scores, baseline = self._measure_set(photos, "photographs")
        self.centre, self.scale = 0, 1
        if not extractor.inception:
            # KID's kernel weighs features by their size, which differs between channels and between VGGs.
            features = _join(self.of_drawings)
            self.centre, self.scale = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
        self.floor = floor | self._distance("drawings", *_halves(self.of_drawings))
        self.floor |= self._place(self.style.drawings, photos) if self.style else {}
        self.baseline = baseline | self._distance("drawings", self.of_photos, self.of_drawings)
        self.baseline |= self._place(self.photo_scores.values(), photos)

    def measure(self, make, photos=None):
        """The row of the results that make(path, photo) returns, both RGB; a result may have any size."""
        features, scores, row = self._measure_set(photos or self.photos, "results", make)
        row |= self._place(scores.values(), scores)
        row |= self._distance("drawings", features, self.of_drawings)
        return row | self._distance("photos", features, self.of_photos)

    def _measure_set(self, paths, title, make=None, scored=True):
        """Measure pictures, or what `make` makes of them: ({path: features}, {path: style's score}, row).

        Pictures that cannot be read are reported once and left out. Raises WrongUse if none can be read.
        """
        features, scores, values = {}, {}, collections.defaultdict(list)
        change = size = 0
        for path in tqdm(paths, title, unit="picture", disable=None, leave=False):
            try:
                views = self._views(path, make)
            except images.CannotRead as error:
                report_once(f"left out {error.path}: {error.reason}")
                continue
            for key, value in measures.measure(views).items():
                values[key].append(value)
            if scored and self.style:
                scores[path] = self.style.score(self.extractor.describe(views.result))
            maps, features[path] = self.extractor.extract(views.result)
            if make:
                photo_maps, _ = self.extractor.extract(views.photo)
                change += (maps - photo_maps).abs().sum().item()
                size += photo_maps.abs().sum().item()
        if not features:
            raise WrongUse(f"none of the {len(paths)} {title} can be read")
        row = {"pictures": len(features), "squares": sum(map(len, features.values()))}
        row |= {"content_change": change / size if size else math.nan} if make else {}
        return features, scores, row | {key: float(np.mean(each)) for key, each in values.items()}

    def _views(self, path, make):
        """The Views of a picture, or of what `make` makes of it. Raises CannotRead."""
        picture, photo = self.extractor.read(path)
        clear = None
        if path in self.clear:
            clear = images.read(self.clear[path])
            if np.subtract(clear.shape, picture.shape).tolist() == [2 * BORDER, 2 * BORDER, 0]:
                clear = clear[BORDER:-BORDER, BORDER:-BORDER]
            clear = _resize_like(photo, clear)
        if not make:
            return Views(photo, None, clear, photo, None)
        result = make(path, picture)
        return Views(_resize_like(photo, result), photo, clear, result, _resize_like(result, picture))

    def _place(self, scores, photos):
        """{name: style, its error} of pictures with these scores beside `photos`; {} if too few."""
        beside = [self.photo_scores[path] for path in photos if path in self.photo_scores]
        if len(beside) < style.FEWEST_JUDGED:
            return {}
        place, error = style.place(scores, beside, self.style.drawings)
        return {"drawn": place, "drawn_std": error}

    def _distance(self, to, *sets):
        """{name: KID, its deviation, and FID of enough pictures} between {path: features} of two sets."""
        if any(sum(map(len, each.values())) < 2 for each in sets):  # squares
            return {}
        features = [(_join(each) - self.centre) / self.scale for each in sets]
        mean, deviation = kid(*features)
        row = {f"kid_{to}": mean, f"kid_{to}_std": deviation}
        if min(map(len, sets)) >= FOR_FID:
            row[f"fid_{to}"] = fid(*features)
        return row


@no_search()
def measure_of(run):
    """A function that measures the generator of a training.run.Run on the test photographs for choosing.

    It returns columns for metrics.csv, {name: number}, or {} if no photograph can be read any more.
    """
    args = run.args
    *_, folder = data.folders(args)
    drawings = data.require_images(folder, data.MEASURABLE, "drawings")
    vgg = run.model.vgg or checkpoints.load_vgg(args.vgg_model, args.seed).to(run.device)
    fit = functools.partial(images.fit_training, size=load_size(args), how=args.resize)
    extractor = Extractor(vgg, run.precision, fit, args.input_size)
    judge = Judge(extractor, data.choosing(run.data.tests), drawings, run.data.photos)
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
    """Cut an image, whose sides are at least `size`, into the fewest evenly spaced squares that cover it.

    A remainder of at most an eighth of a square is cut off, in equal parts at both ends.
    """
    tops, lefts = (_starts(side, size) for side in image.shape[:2])
    return [image[top : top + size, left : left + size] for top in tops for left in lefts]


def _starts(side, size):
    count = max(1, math.ceil(side / size - 1 / 8))
    if count == 1:
        return [(side - size) // 2]
    return np.linspace(0, side - size, count).round().astype(int)


def _join(features):
    """The features (n,d) of the squares of all pictures, from {path: those of one}."""
    return torch.cat([*features.values()])


def _halves(features):
    """Split {path: features} in two at random, always in the same way."""
    items = list(features.items())
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(0)).tolist()
    middle = len(items) // 2
    return [dict(items[place] for place in half) for half in (order[:middle], order[middle:])]


def _resize_like(other, image):
    return images.resize(image, other.shape[1], other.shape[0])
