"""What the discriminator sees, how well it judges, steps in float16, and the moving average of weights."""

import math
import types

import pytest
import torch

from training import processes
from training.steps import Pool, Scaler, add_noise, auc, augment, moving_average, shown_generator

PLACE = (2, 3, 4)

# The pool


def test_a_pool_fills_and_then_gives_an_older_batch_half_of_the_time():
    """The newest batch replaces the one that is given, and each place of the pool is chosen equally often."""
    assert Pool(0, 0).exchange(7, PLACE) == 7
    pool = Pool(4, 0)
    assert [pool.exchange(n, (2, 1, n)) for n in range(4)] == pool.batches == [0, 1, 2, 3]
    given, places = {}, [0] * 4
    for n in range(4, 1004):
        before = [*pool.batches]
        given[n] = pool.exchange(n, (2, 1, n))
        if given[n] != n:
            place = before.index(given[n])
            before[place] = n
            places[place] += 1
        assert pool.batches == before
    assert 430 < sum(places) < 570 and min(places) > 90


def test_the_choice_of_a_pool_is_a_function_of_seed_stream_and_place():
    def given(*pool, epoch=1):
        made = Pool(3, *pool)
        return [made.exchange(n, (2, epoch, n)) for n in range(100)]

    assert given(1) == given(1)
    assert given(1) not in (given(2), given(1, 99), given(1, epoch=2))


def options(diffaugment="color", seed=0, smoothed_noise=0.1):
    return types.SimpleNamespace(diffaugment=diffaugment, seed=seed, smoothed_noise=smoothed_noise)


def batch(seed=0, count=4):
    return torch.rand(count, 3, 8, 6, generator=torch.Generator().manual_seed(seed)) - 0.5


def tones(pictures, place=PLACE, **changes):
    return augment(options(**changes), place, pictures)[0]


def noisy(pictures, place=PLACE, **changes):
    return add_noise(options(**changes), place, pictures)


def test_tones_change_as_in_diffaugment():
    """Brightness by -0.5 to 0.5, saturation by 0 to 2, contrast by 0.5 to 1.5, drawn for each picture."""
    pictures, drawn = batch(count=400), []
    (seen,) = augment(options(), PLACE, pictures)
    for before, after in zip(pictures, seen, strict=True):
        grey, grey_after = (x.mean(0, keepdim=True) for x in (before, after))
        contrast = ((grey_after - grey_after.mean()) / (grey - grey.mean())).flatten()
        saturation = ((after - grey_after) / (before - grey)).median() / contrast[0]
        assert contrast == pytest.approx(contrast[0].item(), rel=2e-3)
        drawn.append((after.mean() - before.mean(), saturation, contrast[0]))
    drawn = torch.tensor(drawn)
    for values, low, high in zip(drawn.T, (-0.5, 0, 0.5), (0.5, 2, 1.5), strict=True):
        assert low - 1e-3 < values.min() < low + 0.05 and high - 0.05 < values.max() < high + 1e-3
    assert drawn.T.corrcoef().sub(torch.eye(3)).abs().max() < 0.2


def test_the_noise_is_gaussian_and_has_its_deviation():
    flat = torch.zeros(4, 3, 64, 64)
    noise = add_noise(options(smoothed_noise=0.2), PLACE, flat)
    assert noise.std().item() == pytest.approx(0.2, rel=0.02) and abs(noise.mean()) < 0.01
    assert not noise[0].equal(noise[1])
    assert torch.allclose(add_noise(options(), PLACE, flat + 0.5) - 0.5, noise / 2, atol=1e-6)


@pytest.mark.parametrize("change", [tones, noisy])
def test_draws_depend_on_seed_and_place_for_any_number_of_processes(change, monkeypatch):
    pictures = batch()
    whole = change(pictures)
    assert change(pictures).equal(whole)
    assert not change(pictures, seed=1).equal(whole) and not change(pictures, (2, 3, 5)).equal(whole)
    monkeypatch.setattr(processes, "count", lambda: 2)
    for rank, part in enumerate(pictures.chunk(2)):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        assert torch.allclose(change(part), whole[2 * rank : 2 * rank + 2], atol=1e-6)


def test_each_batch_of_a_step_has_its_own_tones_and_gradients_pass():
    pictures = batch().requires_grad_()
    first, second = augment(options(), PLACE, pictures, pictures)
    assert first.equal(tones(pictures)) and not first.equal(second)
    second.square().sum().backward()
    assert (pictures.grad != 0).any(dim=(1, 2, 3)).all()


def one_weight():
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    return weight, torch.optim.Adam([weight], 0.1)


def test_a_step_uses_fresh_gradients_with_and_without_scaling():
    ends = []
    for enabled in (True, False):
        scaler, (weight, adam) = Scaler("cpu", enabled=enabled), one_weight()
        for _ in range(5):
            scaler.optimise(adam, weight.square().sum())
            assert weight.grad.item() / scaler.get_scale() <= 2
            scaler.update()
        assert scaler.skipped == 0
        ends.append(weight.item())
    assert ends[0] == ends[1] < 0.6


@pytest.mark.parametrize("lost", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_is_skipped_though_its_gradients_are_finite(lost):
    scaler, (weight, adam) = Scaler("cpu", init_scale=1.0), one_weight()
    scaler.optimise(adam, weight.square().sum())
    scaler.update()
    before = weight.item()
    scaler.optimise(adam, weight.square().sum() + lost)
    assert weight.item() == before < 1 and scaler.skipped == 1


def test_steps_that_overflow_are_skipped_and_counted():
    """Gradients that overflow are planted: of one network at one step, of both at another."""
    scaler, networks, step = Scaler("cpu", init_scale=1.0), [one_weight(), one_weight()], 0
    for (weight, _), bad in zip(networks, ((3, 5), (0, 5)), strict=True):
        weight.register_hook(lambda gradient, bad=bad: gradient * (math.inf if step in bad else 1))
    counts = []
    for step in range(7):  # noqa: B007, the hooks read it
        before = [weight.item() for weight, _ in networks]
        for weight, adam in networks:
            scaler.optimise(adam, weight.square().sum())
        scaler.update()
        stayed = sum(weight.item() == was for (weight, _), was in zip(networks, before, strict=True))
        assert stayed == scaler.skipped
        counts.append(int(scaler.skipped))
        scaler.skipped = 0
    assert counts == [1, 0, 0, 1, 0, 2, 0]


@pytest.mark.parametrize(("size", "levels"), [(1, 3), (50, 4), (300, 10**6)])
def test_auc_is_the_share_of_pairs_in_order(size, levels):
    random = torch.Generator().manual_seed(size)
    real, fake = torch.randint(levels, (2, size, 1, 2, 3), generator=random).bfloat16()
    real = (real + levels / 4).requires_grad_()
    above, same = (compare(real.view(-1, 1), fake.view(1, -1)) for compare in (torch.gt, torch.eq))
    expected = (above.double() + same.double() / 2).mean().item()
    assert auc(real, fake).item() == pytest.approx(expected, abs=1e-6)
    assert not auc(real, fake).requires_grad


def test_the_moving_average_is_exponential_and_begins_with_the_first_weights():
    generator, rng = torch.nn.Linear(2, 2), torch.Generator().manual_seed(0)
    assert moving_average(generator, 0) is None
    model = types.SimpleNamespace(generator=generator, ema=moving_average(generator, 0.75))
    assert shown_generator(model) is generator
    expected = None
    for _ in range(4):
        with torch.no_grad():
            generator.weight.normal_(generator=rng)
        new = generator.weight.clone()
        expected = new if expected is None else 0.75 * expected + 0.25 * new
        model.ema.update_parameters(generator)
    assert torch.allclose(shown_generator(model).weight, expected, atol=1e-7)
