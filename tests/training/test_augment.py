"""What the discriminator is shown: the tones change at random, and nothing else."""

import types

import pytest
import torch

from training import processes, steps

PLACE = (2, 3, 4, 0)


def arguments(diffaugment="color", seed=0, smoothed_noise=0.1):
    return types.SimpleNamespace(diffaugment=diffaugment, seed=seed, smoothed_noise=smoothed_noise)


def batch(seed=0, count=4):
    return torch.rand(count, 3, 8, 6, generator=torch.Generator().manual_seed(seed)) - 0.5


def test_none_shows_the_batches_themselves():
    batches = batch(0), batch(1)
    assert steps.augment(arguments("none"), PLACE, *batches) == batches


def test_tones_change_in_known_ways():
    """Each pixel is an affine function of its picture: of the colour, of its grey and of a constant."""
    pictures = batch()
    (seen,) = steps.augment(arguments(), PLACE, pictures)
    factors = []
    for before, after in zip(pictures, seen, strict=True):
        grey = before.mean(0, keepdim=True).expand_as(before)
        known = torch.stack([before.flatten(), grey.flatten(), torch.ones(before.numel())], dim=1)
        fit = torch.linalg.lstsq(known, after.reshape(-1, 1)).solution
        assert (known @ fit)[:, 0] == pytest.approx(after.flatten(), abs=1e-4)
        colour, more_grey, _ = fit[:, 0].tolist()
        factors.append((colour, colour + more_grey))
        assert after.mean().item() - before.mean().item() == pytest.approx(0, abs=0.5)  # brightness
    assert all(0 <= colour <= 3 and 0.5 <= contrast <= 1.5 for colour, contrast in factors)
    assert len({round(contrast, 3) for _, contrast in factors}) == 4


def test_draws_follow_from_seed_and_place_alone():
    first, second = steps.augment(arguments(), PLACE, batch(), batch())
    assert not torch.equal(first, second)
    (again,) = steps.augment(arguments(), PLACE, batch())
    assert torch.equal(again, first)
    for args, place in ((arguments(seed=1), PLACE), (arguments(), (2, 3, 5, 0)), (arguments(), (2, 3, 4, 1))):
        (other,) = steps.augment(args, place, batch())
        assert not torch.equal(other, first)


def test_two_processes_show_what_one_would(monkeypatch):
    (whole,) = steps.augment(arguments(), PLACE, batch())
    monkeypatch.setattr(processes, "count", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        (part,) = steps.augment(arguments(), PLACE, batch()[2 * rank : 2 * rank + 2])
        assert torch.equal(part, whole[2 * rank : 2 * rank + 2])


def test_gradients_pass():
    pictures = batch().requires_grad_()
    steps.augment(arguments(), PLACE, pictures)[0].square().sum().backward()
    assert (pictures.grad != 0).any(dim=(1, 2, 3)).all()


def test_noise_has_the_deviation_asked_for_and_0_is_none():
    smoothed = torch.zeros(4, 3, 64, 64)
    assert steps.add_noise(arguments(smoothed_noise=0), PLACE[:3], smoothed) is smoothed
    noise = steps.add_noise(arguments(smoothed_noise=0.2), PLACE[:3], smoothed)
    assert noise.std().item() == pytest.approx(0.2, rel=0.02) and abs(noise.mean()) < 0.01
    assert not torch.equal(noise[0], noise[1])
    assert torch.allclose(steps.add_noise(arguments(), PLACE[:3], smoothed + 0.5) - 0.5, noise / 2, atol=1e-6)


def test_noise_follows_from_seed_and_place_alone_in_any_layout_and_number_of_processes(monkeypatch):
    whole = steps.add_noise(arguments(), PLACE[:3], batch())
    for args, place in ((arguments(seed=1), (2, 3, 4)), (arguments(), (2, 3, 5))):
        assert not torch.equal(steps.add_noise(args, place, batch()), whole)
    other_layout = batch().to(memory_format=torch.channels_last)
    assert torch.equal(steps.add_noise(arguments(), PLACE[:3], other_layout), whole)
    for rank in (0, 1):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        part = steps.add_noise(arguments(), PLACE[:3], batch()[2 * rank : 2 * rank + 2])
        assert torch.equal(part, whole[2 * rank : 2 * rank + 2])
