"""PatchMatch on feature maps whose matches are known."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from survey import patchmatch


@pytest.fixture
def random():
    return torch.Generator().manual_seed(0)


def test_a_shifted_copy_is_found(random):
    whole = torch.randn(1, 8, 68, 64, generator=random)
    part = whole[..., 7:55, 4:52]
    start = patchmatch.random_field(part, whole, random)
    field, means = patchmatch.search(part, whole, start, 5, 1000, 6, random)
    found = (field[:, 4:-4, 4:-4] == torch.tensor([7, 4])[:, None, None]).all(0)
    assert found.float().mean() > 0.95 and means[-1] < means[0] / 2


def test_the_distance_never_rises_and_no_match_is_outside(random):
    a, b = torch.randn(1, 4, 20, 30, generator=random), torch.randn(1, 4, 17, 9, generator=random)
    found, means = patchmatch.search(a, b, torch.full((2, 20, 30), 99), 3, 4, 8, random)
    assert means == sorted(means, reverse=True) and means[-1] < means[0]
    rows, columns = torch.meshgrid(torch.arange(20), torch.arange(30), indexing="ij")
    matches = found + torch.stack([rows, columns])
    assert matches.amin() >= 0 and matches[0].amax() < 17 and matches[1].amax() < 9


def test_the_mean_distance_is_that_of_patches(random, monkeypatch):
    monkeypatch.setattr(patchmatch, "AT_ONCE", 30)  # several chunks
    a, b = torch.randn(1, 2, 5, 4, generator=random), torch.randn(1, 2, 6, 7, generator=random)
    field = patchmatch.random_field(a, b, random)
    padded_a, padded_b = (F.pad(each, (1, 1, 1, 1), mode="replicate")[0] for each in (a, b))
    distances = []
    for row, column in itertools.product(range(5), range(4)):
        down, right = field[:, row, column].tolist()
        patch = padded_a[:, row : row + 3, column : column + 3]
        match = padded_b[:, row + down :, column + right :][:, :3, :3]
        distances.append((patch - match).square().sum())
    _, means = patchmatch.search(a, b, field, 3, 1, 0, random)
    assert means == [pytest.approx(torch.stack(distances).mean().item())]


def test_a_field_is_enlarged_with_the_maps():
    coarse, a, b = (torch.zeros(1, 1, *size) for size in ((4, 5), (9, 10), (12, 20)))
    field = torch.tensor([1, 2])[:, None, None].expand(2, 4, 5)
    larger = patchmatch.enlarge(field, a, b, coarse)
    assert (larger[0] == 2).all()  # 9 / 4 rows, rounded
    assert (larger[1] == 4).all() and larger.shape == (2, 9, 10)
    assert patchmatch.enlarge(field, a, torch.zeros(1, 1, 3, 3), coarse)[0, -1].eq(-6).all()  # inside B


def test_votes_of_one_shift_copy_and_others_are_averaged():
    b = torch.arange(30.0).view(1, 1, 5, 6)
    shift = torch.tensor([1, 2])[:, None, None].expand(2, 4, 4)
    assert patchmatch.vote(shift, b, 3).equal(b[..., 1:, 2:])
    field = torch.zeros(2, 1, 3, dtype=torch.long)
    field[1, 0, 2] = -1  # the last place and its surroundings match one place to the left
    row = torch.tensor([[[[0.0, 3.0, 9.0]]]])
    expected = [0, (3 + 3 + 0) / 3, (9 + 3 + 3) / 3]
    assert patchmatch.vote(field, row, 3).flatten().tolist() == pytest.approx(expected)
