"""Losses beside the paper's that look at pixels. Pictures are N,C,H,W in [-1, 1], RGB."""

import torch
import torch.nn.functional as F

from networks import at_least_float32

# Linear sRGB to X, Y, Z (IEC 61966-2-1), each divided by that of white (D65).
TO_XYZ = ((0.43395, 0.37622, 0.18983), (0.21267, 0.71516, 0.07217), (0.01776, 0.10947, 0.87276))


def total_variation(picture):
    """Mean absolute difference of neighbours: squares would penalise sharp outlines more than blurs."""
    picture = at_least_float32(picture)
    return picture.diff(dim=3).abs().mean() + picture.diff(dim=2).abs().mean()


def colour_loss(result, photo):
    """Mean distance of the chroma of a result from its photo's, in units of CIE Lab; 2 is just seen.

    The idea is AnimeGANv3's. A root of squares near 0 has no steady gradient, so 1e-3 is added to them.
    """
    difference = chroma(result) - chroma(photo)
    return (difference.square().sum(1) + 1e-3).sqrt().mean()


def pixel_loss(result, photo):
    """Mean absolute difference: a tint is everywhere and costs much, a line is thin and costs little."""
    return F.l1_loss(at_least_float32(result), at_least_float32(photo))


def chroma(picture):
    """a* and b* of CIE Lab, float32 N,2,H,W, of a picture of three channels."""
    rgb = (at_least_float32(picture) + 1) / 2
    # Where the other branch holds, each power is of a constant: its gradient at 0 would be infinite.
    linear = torch.where(rgb > 0.04045, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = torch.stack([sum(share * linear[:, i] for i, share in enumerate(row)) for row in TO_XYZ])
    bent = torch.where(
        xyz > 216 / 24389, xyz.clamp(min=216 / 24389) ** (1 / 3), (24389 / 27 * xyz + 16) / 116
    )
    return torch.stack([500 * (bent[0] - bent[1]), 200 * (bent[1] - bent[2])], dim=1)
