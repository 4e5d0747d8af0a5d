"""Consecutive frames and the optical flow between them: synthetic pans, whose flow is known, and films.

A flow (N,2,H,W) gives for each pixel of a frame where it was in the frame before, as pixels to add to x and
y. A mask (N,1,H,W) is 1 where that is valid and 0 where the pixel was not visible before.
"""

import itertools

import numpy as np
import torch
import torch.nn.functional as F

from pictures import film, images
from survey.command import SMALLEST
from utils import WrongUse


def warp(before, flow):
    """The frame before (N,C,H,W), moved by the flow: bilinear, with the border repeated."""
    grid = _places(flow) * 2 / _last(flow) - 1
    return F.grid_sample(before, grid.permute(0, 2, 3, 1), padding_mode="border", align_corners=True)


def inside(flow):
    """The mask of the pixels that were within the frame before."""
    places = _places(flow)
    return ((places > -0.5) & (places < _last(flow) + 0.5)).all(1, keepdim=True).float()


def visible(flow, back):
    """The mask by the forward-backward check of Sundaram et al. (ECCV 2010), as in Ruder et al. (GCPR 2016).

    `back` (N,2,H,W) is the flow of the frame before to this one. Where following both does not end near the
    start, the pixel was hidden.
    """
    there_and_back = flow + warp(back, flow)
    bound = 0.01 * (_square(flow) + _square(warp(back, flow))) + 0.5
    return (_square(there_and_back) <= bound).float() * inside(flow)


def find(before, now):
    """The flow by DIS (Kroeger et al., ECCV 2016) and its mask, of two uint8 frames (H,W,3)."""
    greys = [images.luminance(frame)[..., 0] for frame in (now, before)]
    search = images.cv2.DISOpticalFlow_create(images.cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    there, back = (
        torch.from_numpy(search.calc(*pair, None)).permute(2, 0, 1)[None] for pair in (greys, greys[::-1])
    )
    return there, visible(there, back)


def pan(photo, height, width, most, random):
    """Two windows of a photo (H,W,3), at most `most` pixels apart: two frames, their flow and mask."""
    free = np.subtract(photo.shape[:2], (height, width))
    first = random.integers(free + 1)
    second = np.clip(first + random.integers(-most, most + 1, 2), 0, free)
    frames = [photo[top : top + height, left : left + width] for top, left in (first, second)]
    moved = torch.tensor((second - first)[::-1].copy(), dtype=torch.float32)
    flow = moved.view(1, 2, 1, 1).expand(1, 2, height, width)
    return *frames, flow, inside(flow)


def read_film(file, size, most):
    """The first frames of a film, `most` at most, the longer side at most `size`. Raises WrongUse."""
    film.require_av()
    try:
        with film.open_film(file) as opened:
            video = film.video_stream(opened)
            first = itertools.islice(film.play(video), most)
            frames = [images.fit_within(film.to_rgb(video, frame), size) for _, frame in first]
    except film.av.FFmpegError as error:
        raise WrongUse(f"cannot read {file}: {error.strerror}") from None
    if len(frames) < 2 or min(frames[0].shape[:2]) < SMALLEST:
        raise WrongUse(f"{file}: two frames of {SMALLEST} pixels a side are needed")
    return frames


def _places(flow):
    """Where each pixel was, x and y (N,2,H,W)."""
    rows, columns = (torch.arange(side, device=flow.device) for side in flow.shape[2:])
    return flow + torch.stack(torch.meshgrid(columns, rows, indexing="xy"))


def _last(flow):
    """The largest x and y (2,1,1)."""
    return torch.tensor([side - 1 for side in flow.shape[:1:-1]], device=flow.device).view(2, 1, 1)


def _square(flow):
    return flow.square().sum(1, keepdim=True)
