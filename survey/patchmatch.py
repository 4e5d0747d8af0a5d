"""PatchMatch: for every patch of one feature map a similar patch of another, as tensor operations.

Barnes, Shechtman, Finkelstein, Goldman: PatchMatch, SIGGRAPH 2009. A field (2,H,W) of integers gives, for
each place of a map A (1,C,H,W), how many rows down and columns right its match in a map B (1,C,H',W') is.
Two steps alternate. Propagation: a place tries the offsets of its neighbours. Random search: it tries
places around its match, in squares of halving size. Barnes et al. visit places in scan order. Here all
places are updated at once, with neighbours at distances of 8, 4, 2 and 1 instead (jump flooding; Rong, Tan,
I3D 2006). Patches beyond the border of a map repeat the border.
"""

import itertools

import torch
import torch.nn.functional as F

JUMPS = (8, 4, 2, 1)
AT_ONCE = 1 << 20  # values of a feature map in one operation


def random_field(a, b, generator):
    """A field from feature map A to B with uniformly random matches; `generator` is on the CPU."""
    (height, width), size_b = a.shape[2:], b.shape[2:]
    matches = [torch.randint(side, (height, width), generator=generator) for side in size_b]
    return torch.stack(matches).to(a.device) - _places(height, width, a.device)


def enlarge(field, a, b, coarse_a):
    """Enlarge a field from the coarser map `coarse_a` to one from A to B: nearest neighbours, scaled."""
    ratios = [new / old for new, old in zip(a.shape[2:], coarse_a.shape[2:], strict=True)]
    larger = F.interpolate(field[None].double(), a.shape[2:], mode="nearest")[0]
    return _inside((larger * larger.new_tensor(ratios)[:, None, None]).round().long(), b)


def search(a, b, field, patch, radius, iterations, generator):
    """Improve a field from A to B; returns it and the mean squared distances of patches per iteration.

    The first distance is that of the start. `patch` is the side of a patch, odd; `radius` that of the largest
    square that is searched around a match. A match changes only to a nearer one: no distance rises.
    """
    places = _places(*a.shape[2:], a.device)
    sides = _Patches(a, patch), _Patches(b, patch)
    field = _inside(field, b)  # a copy
    unlimited = torch.full(a.shape[2:], torch.inf, device=a.device)
    nearest = _distances(*sides, places.flatten(1), (places + field).flatten(1), unlimited.flatten())
    nearest = nearest.view(a.shape[2:])
    means = [nearest.mean().item()]

    def attempt(other):
        other = _inside(other, b)
        at = (other != field).any(0).nonzero(as_tuple=True)
        here, found = places[:, *at], other[:, *at]
        distances = _distances(*sides, here, here + found, nearest[at])
        better = distances < nearest[at]
        at = tuple(axis[better] for axis in at)
        nearest[at], field[:, *at] = distances[better], found[:, better]

    for _ in range(iterations):
        for jump, axis, sign in itertools.product(JUMPS, (1, 2), (1, -1)):
            if jump < field.shape[axis]:
                attempt(field.roll(sign * jump, axis))  # places at a border try those of the opposite border
        reach = min(radius, max(b.shape[2:]))
        while reach:
            step = torch.randint(-reach, reach + 1, field.shape, generator=generator)
            attempt(field + step.to(field.device))
            reach //= 2
        means.append(nearest.mean().item())
    return field, means


def vote(field, b, patch):
    """B (1,C,H',W') rearranged by a field (2,H,W) into (1,C,H,W): the mean of the overlapping patches.

    A'(p) = mean over x in N(p) of B(p + field(x)), which is B at the place that p has in x's match.
    """
    reach = patch // 2
    around = F.pad(field[None].double(), (reach,) * 4, mode="replicate")[0].long()
    height, width = field.shape[1:]
    total = 0
    for row, column in itertools.product(range(patch), range(patch)):
        offset = _inside(around[:, row : row + height, column : column + width], b)
        rows, columns = _places(height, width, field.device) + offset
        total = total + b[:, :, rows, columns]
    return total / patch**2


class _Patches:
    """A feature map with its borders repeated, as rows of channels, from which patches are read."""

    def __init__(self, maps, patch):
        padded = F.pad(maps, (patch // 2,) * 4, mode="replicate")
        self.width, self.rows = padded.shape[3], padded[0].flatten(1).T.contiguous()
        self.offsets = [row * self.width + column for row in range(patch) for column in range(patch)]


def _distances(a, b, at, to, limits):
    """Squared distances (N) of patches of A at places (2,N) to those of B; may stop above `limits` (N)."""
    size = AT_ONCE // a.rows.shape[1]
    chunks = zip(at.split(size, 1), to.split(size, 1), limits.split(size), strict=True)
    return torch.cat([_distances_of_chunk(a, b, *chunk) for chunk in chunks])


def _distances_of_chunk(a, b, at, to, limits):
    first_a, first_b = at[0] * a.width + at[1], to[0] * b.width + to[1]
    distances = torch.zeros(len(first_a), device=first_a.device)
    active = torch.arange(len(first_a), device=first_a.device)
    for number, (step_a, step_b) in enumerate(zip(a.offsets, b.offsets, strict=True)):
        difference = a.rows.index_select(0, first_a[active] + step_a)
        difference -= b.rows.index_select(0, first_b[active] + step_b)
        distances[active] += torch.linalg.vecdot(difference, difference)
        if number % 3 == 2:
            active = active[distances[active] < limits[active]]
    return distances


def _places(height, width, device):
    """The row and the column of each place, (2,H,W)."""
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def _inside(field, b):
    """A field whose matches are in B: those outside move to its border."""
    places = _places(*field.shape[1:], field.device)
    last = torch.tensor(b.shape[2:], device=field.device)[:, None, None] - 1
    return (places + field).clamp(min=torch.zeros_like(last), max=last) - places
