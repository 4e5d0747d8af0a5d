"""Gatys, Bethge, Hertzmann, Shechtman: Preserving Color in Neural Artistic Style Transfer, 2016.

Two ways to keep the photograph's colours. Pictures are float32 (1,3,H,W) in [-1, 1].

Colour histogram matching: before the transfer the drawing's colours x become A x + b, so that their mean
and covariance are the photograph's (Eq. 3 to 5),

    b = mu_P - A mu_D    A = S_P^(1/2) S_D^(-1/2)

with the symmetric roots of Hertzmann's Image Analogies, which the paper found better than Cholesky's.

Luminance only: the style is transferred between luminances, after the drawing's got the photograph's mean
and deviation, (sigma_P / sigma_D) (L - mu_D) + mu_P; the result keeps the photograph's chroma in YIQ.
"""

import torch

LUMINANCE = (0.299, 0.587, 0.114)  # Y of YIQ, of R, G and B
TINY = 1e-6  # the least variance of a drawing's colours: that of a flat one has no inverse


def match_colours(drawing, photo):
    """The drawing with colours of the photo's mean and covariance."""
    (mean_drawing, root_drawing), (mean_photo, root_photo) = (_mean_and_roots(x) for x in (drawing, photo))
    change = root_photo[0] @ root_drawing[1]
    colours = change @ (drawing[0].flatten(1) - mean_drawing) + mean_photo
    return colours.view_as(drawing).clamp(-1, 1)


def match_luminance(drawing, photo):
    """A luminance (1,1,H,W) with the mean and deviation of the photo's, both (1,1,H,W)."""
    deviations = photo.std() / drawing.std().clamp(min=TINY**0.5)
    return (drawing - drawing.mean()) * deviations + photo.mean()


def luminance(picture):
    """The luminance (N,1,H,W) of pictures."""
    return torch.einsum("c,nchw->nhw", picture.new_tensor(LUMINANCE), picture)[:, None]


def with_luminance(photo, wanted):
    """The photo with another luminance (1,1,H,W). An equal change of R, G and B leaves I and Q."""
    return (photo + wanted - luminance(photo)).clamp(-1, 1)


def _mean_and_roots(picture):
    """The mean (3,1) of a picture's colours, and (the root of their covariance (3,3), its inverse)."""
    colours = picture[0].flatten(1).double()
    values, vectors = torch.linalg.eigh(torch.cov(colours))
    roots = values.clamp(min=TINY).sqrt()
    both = (vectors * roots) @ vectors.T, (vectors / roots) @ vectors.T
    return colours.mean(1, keepdim=True).to(picture), [each.to(picture) for each in both]
