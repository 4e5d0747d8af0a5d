"""state_latest.pth: everything is restored, damage changes nothing; weights to start from."""

import math
import shutil

import pytest
import torch
from foreign import animegan_weights
from helpers import contents, make_data, new_run, same, tiny_run

import CartoonGAN
from networks import Generator
from pictures import checkpoints
from training import state
from training.config import STATE
from utils import RunFailed, WrongUse


def step(run, number=0):
    """One step of a run's model."""
    batch = [torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    CartoonGAN.adversarial_step(run.model, run.args, *batch, place=(2, 1, number))
    if run.model.ema:
        run.model.ema.update_parameters(run.model.generator)


def stepped(folder, text=""):
    """A run with a pool after two steps, at another place."""
    run = new_run(folder, f"--pool_size 2 {text}", place=(2, 3, 4))
    step(run), step(run, 1)
    run.seconds, run.sums, run.settings = 5.0, {"content": 6.0}, {"options": vars(run.args)}
    return run


def content_of(model):
    """Everything that a model's state consists of."""
    names = ("generator", "discriminator", "ema", "adam_g", "adam_d", "scaler")
    return {name: getattr(model, name).state_dict() for name in names} | {"pool": model.pool.batches}


def test_a_state_restores_everything(tmp_path):
    text = "--precision fp16 --conv_bias none --ema_decay 0.9"
    before, after = stepped(tmp_path, text), new_run(tmp_path, f"--pool_size 2 {text}")
    state.save(before, {"pool": before.model.pool.batches})
    state.restore(after, tmp_path / STATE)
    assert after.place == (2, 3, 4)
    assert (after.seconds, after.sums, after.counts) == (5.0, {"content": 6.0}, {"content": 4})
    assert same(content_of(before.model), content_of(after.model))
    for run in (before, after):
        step(run, 2)
    assert same(content_of(before.model), content_of(after.model))
    assert len(after.model.pool.batches) == 2


@pytest.mark.parametrize(("size", "batches", "steps"), [(1, 2, 8), (3, 1, 2)])
def test_a_run_resumes_with_another_batch_size_and_learning_rate(size, batches, steps, tmp_path):
    """The same photographs of the epoch are done; the pool holds batches of the new size, all finite."""
    run = stepped(tmp_path)
    whole = [torch.rand(2, 3, 16, 16) for _ in range(2)]
    whole[0][0, 0, 0, 0] = math.nan  # as after an overflow of float16
    run.counts = {"content": 3}  # of four steps float16 skipped one
    state.save(run, {"pool": whole})
    after = new_run(tmp_path, f"--pool_size 2 --batch_size {size} --lrG 0.5 --beta1 0.25")
    state.restore(after, tmp_path / STATE)
    assert (after.step, after.counts) == (steps, {"content": 3})
    pool = after.model.pool.batches
    assert [len(batch) for batch in pool] == [size] * batches
    assert torch.equal(torch.cat(pool), torch.cat(whole)[: size * batches].nan_to_num())
    (group,) = after.model.adam_g.param_groups
    assert (group["lr"], group["betas"]) == (0.5, (0.25, 0.999)) and after.model.adam_g.state


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, name):
    run = new_run(tmp_path)
    with torch.no_grad():
        next(getattr(run.model, name).parameters())[0, 0, 0, 0] = math.inf
    with pytest.raises(RunFailed, match=f"a weight of the {name} is not finite in phase 1, epoch 1, step 0"):
        state.save(run, {"pool": []})
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished tiny run."""
    place = tmp_path_factory.mktemp("finished")
    CartoonGAN.main(tiny_run(make_data(place / "data"), place, "--pre_train_epoch", 0, "--train_epoch", 1))
    return next(place.glob("Tiny*"))


DAMAGES = {
    "another network": lambda content: content.update(generator=Generator(ngf=8, nb=1).state_dict()),
    "NaN": lambda content: content["discriminator"]["layers.0.bias"].fill_(math.nan),
    "a short place": lambda content: content.update(place=(1, 2)),
    "no optimiser": lambda content: content.pop("adam_g"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_state_is_refused_and_changes_nothing(finished, tmp_path, name):
    folder = shutil.copytree(finished, tmp_path / finished.name)
    content = checkpoints.load(folder / STATE)
    DAMAGES[name](content)
    torch.save(content, folder / STATE)
    before = contents(folder)
    with pytest.raises(WrongUse) as error:
        CartoonGAN.main(["--resume", str(folder), "--train_epoch", "2"])
    line = str(error.value)
    assert line.isprintable() and f"{folder}/{STATE}" in line and len(line) < 1000
    assert contents(folder) == before


def test_weights_to_start_from_must_fit(tmp_path):
    """A generator's `eps` may differ, as in the authors' checkpoints."""
    before = stepped(tmp_path)
    before.model.generator.architecture["eps"] = 1e-9
    state.save(before, {"pool": []})
    torch.save(animegan_weights(), tmp_path / "paprika.pt")
    generator = f"--latest_generator_model {tmp_path}/generator_latest.pth"
    discriminator = f"--latest_discriminator_model {tmp_path}/discriminator_latest.pth"
    after = new_run(tmp_path, f"{generator} {discriminator}")
    assert state.start_from_weights(after.model, after.args) is True
    for name in ("generator", "discriminator"):
        assert same(*[getattr(run.model, name).state_dict() for run in (before, after)])
    assert not after.model.adam_g.state

    for text, message in (
        (f"{generator} --nb 2", "has nb 1, but --nb is 2"),
        (f"--latest_generator_model {tmp_path}/paprika.pt", "AnimeGANv2's network: a run can start from Car"),
        (f"{discriminator} --ndf 8", "does not fit this network"),
    ):
        run = new_run(tmp_path, text)
        with pytest.raises(WrongUse, match=f"{tmp_path}.*{message}"):
            state.start_from_weights(run.model, run.args)
