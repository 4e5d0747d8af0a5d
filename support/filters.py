"""Image filters: flattening and outlining of photographs, and the guided filter."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# Kuwahara filter: number of sectors, radius in pixels, exponent of the inverse variances that weight sectors
SECTORS, RADIUS, SHARPNESS = 8, 3, 4
# Bilateral filter: standard deviations in pixels and in colour distance in [-1, 1], radius in pixels
SPATIAL, RANGE, WINDOW = 2.0, 0.2, 2
# Outlines: deviation of the narrower Gaussian and radius of both, in pixels; the response, in [-1, 1],
# above which pixels are darkened, and the slope from there
LINE, LINE_RADIUS, THRESHOLD, SLOPE = 1.0, 5, 0.03, 30
COHERENCE_RADIUS = 3  # pixels
COHERENT = 0.35, 0.65  # the coherence below which nothing is darkened, and above which all of it
SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8  # the derivative from left to right
SMOOTHNESS = 0.01  # variance of the guide, in [-1, 1], above which the guided filter keeps edges


class Flatten(nn.Module):
    """Flatten the areas of photos (N,C,H,W in [-1, 1]) and outline them. Returns float32, without gradients.

    Each of `passes` is a generalised Kuwahara filter (Papari et al., IEEE Trans. Image Processing 2007),
    which simplifies shapes and keeps edges sharp, then a bilateral filter (Tomasi and Manduchi, ICCV 1998),
    which smooths what remains within areas. Then the dark side of each edge, where a difference of Gaussians
    responds (Winnemöller et al., SIGGRAPH 2006), is darkened by `outline`, 0 (not) to 1 (black). `reach` is
    the radius of the whole filter in pixels. With both at 0 the photo is unchanged.
    """

    def __init__(self, passes, outline=0):
        super().__init__()
        self.passes, self.outline = passes, outline
        self.reach = passes * (RADIUS + WINDOW) + (LINE_RADIUS if outline else 0)
        # Not buffers, which DistributedDataParallel would broadcast. "cpu": modules may be built on "meta".
        kernels = {"sectors": _sectors(), "lines": _difference_of_gaussians(), "sobel": SOBEL}
        self.kernels = {name: torch.tensor(each, device="cpu").float() for name, each in kernels.items()}

    @torch.no_grad()
    def forward(self, photo):
        if not self.reach:
            return photo
        with torch.autocast(photo.device.type, enabled=False):
            x = at_least_float32(photo)
            for _ in range(self.passes):
                x = _bilateral(self._kuwahara(x))
            return self._outlined(x) if self.outline else x

    def _kernel(self, name, x):
        """A kernel on the device of `x`, kept there: a copy in each step would wait for the GPU."""
        if self.kernels[name].device != x.device:
            self.kernels[name] = self.kernels[name].to(x.device)
        return self.kernels[name].to(x.dtype)

    def _kuwahara(self, x):
        """Each pixel becomes a mean of the sectors around it, weighted by the inverse of their variance."""
        channels = x.shape[1]
        padded = F.pad(x, (RADIUS,) * 4, mode="reflect")
        padded = torch.cat([padded, padded.square().sum(1, keepdim=True)], 1)
        sums = F.conv2d(padded, self._kernel("sectors", x).repeat(channels + 1, 1, 1, 1), groups=channels + 1)
        sums = sums.unflatten(1, (channels + 1, SECTORS))
        means, squares = sums[:, :-1], sums[:, -1:]
        variance = (squares - means.square().sum(1, keepdim=True)).clamp(min=0)
        # 1e-4 is a grey level and a half: sectors that vary less get about equal weights.
        weight = (1e-4 / (variance + 1e-4)) ** SHARPNESS
        return (means * weight).sum(2) / weight.sum(2)

    def _outlined(self, x):
        """Darken pixels along contours that are darker than their surroundings in a channel."""
        channels = x.shape[1]
        padded = F.pad(x, (LINE_RADIUS,) * 4, mode="reflect")
        kernel = self._kernel("lines", x).repeat(channels, 1, 1, 1)
        response = F.conv2d(padded, kernel, groups=channels).amin(1, keepdim=True)
        ink = torch.tanh(SLOPE * (-response - THRESHOLD).clamp(min=0))
        low, high = COHERENT
        ink = ink * ((self._coherence(x) - low) / (high - low)).clamp(0, 1)
        return (x + 1) * (1 - self.outline * ink) - 1

    def _coherence(self, x):
        """How far the edges around a pixel share one direction: 0 in irregular texture, 1 along a line.

        The coherence of the structure tensor, with which Kang et al. (NPAR 2007) make lines follow contours.
        """
        channels = x.shape[1]
        padded = F.pad(x, (COHERENCE_RADIUS + 1,) * 4, mode="reflect")
        sobel = self._kernel("sobel", x)
        across, down = (
            F.conv2d(padded, kernel.repeat(channels, 1, 1, 1), groups=channels)
            for kernel in (sobel, sobel.mT)
        )
        products = across.square(), across * down, down.square()
        xx, xy, yy = (
            F.avg_pool2d(each.sum(1, keepdim=True), 2 * COHERENCE_RADIUS + 1, stride=1) for each in products
        )
        return ((xx - yy).square() + 4 * xy.square()).sqrt() / (xx + yy + 1e-4)


def _sectors():
    """Kernels (SECTORS,1,side,side) of overlapping sectors of a disc, each of sum 1."""
    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    distance = np.hypot(x, y)
    disc = np.exp(-0.5 * (distance / (0.6 * RADIUS)) ** 2) * (distance <= RADIUS + 0.3)
    directions = np.arange(SECTORS)[:, None, None] * 2 * math.pi / SECTORS
    angle = (np.arctan2(y, x) - directions + math.pi) % (2 * math.pi) - math.pi
    kernels = disc * np.cos((2 * angle).clip(-math.pi / 2, math.pi / 2)) ** 2
    kernels[:, RADIUS, RADIUS] = 1 / SECTORS  # all sectors share the centre
    return (kernels / kernels.sum((1, 2), keepdims=True))[:, None]


def _bilateral(x):
    """A mean of the window around each pixel, weighted by nearness in space and colour."""
    height, width = x.shape[2:]
    padded = F.pad(x, (WINDOW,) * 4, mode="reflect")
    total, weights = torch.zeros_like(x), torch.zeros_like(x[:, :1])
    for down in range(2 * WINDOW + 1):
        for right in range(2 * WINDOW + 1):
            other = padded[..., down : down + height, right : right + width]
            near = ((down - WINDOW) ** 2 + (right - WINDOW) ** 2) / SPATIAL**2
            like = (other - x).square().sum(1, keepdim=True) / RANGE**2
            weight = torch.exp(-0.5 * (near + like))
            total += weight * other
            weights += weight
    return total / weights


def _difference_of_gaussians():
    """Kernel (1,1,side,side) of a narrow Gaussian minus a wide one, of sum 0."""
    offsets = np.arange(-LINE_RADIUS, LINE_RADIUS + 1)
    rows = [np.exp(-0.5 * (offsets / deviation) ** 2) for deviation in (LINE, 1.6 * LINE)]
    narrow, wide = (np.outer(row, row) / row.sum() ** 2 for row in rows)
    return (narrow - wide)[None, None]


def guided_filter(guide, picture, radius):
    """Make `picture` follow the edges of `guide` (both N,C,H,W): the guided filter (He et al., ECCV 2010).

    Within `radius` pixels each channel of the result is the linear function of the guide's channel that is
    nearest to the picture, so what the guide lacks, such as fringes or hatching along lines, is averaged out.
    White-box Cartoonization (Wang and Yu, CVPR 2020) cleans its results in this way.
    """
    mean = lambda x: F.avg_pool2d(F.pad(x, (radius,) * 4, mode="reflect"), 2 * radius + 1, stride=1)
    guide, picture = at_least_float32(guide), at_least_float32(picture)
    with torch.autocast(guide.device.type, enabled=False):
        of_guide, of_picture = mean(guide), mean(picture)
        variance = mean(guide.square()) - of_guide.square()
        slope = (mean(guide * picture) - of_guide * of_picture) / (variance + SMOOTHNESS)
        return mean(slope) * guide + mean(of_picture - slope * of_guide)


def at_least_float32(x):
    """Convert float16 and bfloat16 to float32; wider types stay."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
