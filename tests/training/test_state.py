"""state_latest.pth, the weights beside it, and weights to start from."""

import math
import types

import pytest
import torch
from foreign import animegan_weights
from helpers import TINY

import CartoonGAN
from networks import Discriminator
from pictures import checkpoints
from training import options, state
from training.config import STATE
from utils import RunFailed, WrongUse

CPU = torch.device("cpu")
SETTINGS = {"options": {"name": "x", "batch_size": 2}, "data": {"photographs": {"count": 6}}}


def new_run(folder, text="", place=(1, 1, 0)):
    """What `save` and `restore` know of a run.Run: here one that begins."""
    args, _ = options.parse(f"{TINY} --con_lambda 1 --pool_size 2 {text}".split())
    model = CartoonGAN.build(args, CPU, args.precision)
    return types.SimpleNamespace(
        model=model,
        folder=folder,
        config=types.SimpleNamespace(folder=folder, method=options.CARTOONGAN, argv=[]),
        device=CPU,
        args=args,
        place=place,
        phase=place[0],
        precision=args.precision,
        sums={},
        counts={},
        seconds=0.0,
        settings=SETTINGS,
    )


def step(run):
    """One step of a run's model, on the same pictures each time."""
    batch = [torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    take = CartoonGAN.adversarial_step if run.model.discriminator else CartoonGAN.perceptual_step
    take(run.model, run.args, *batch, place=(2, 1, 0))


def stepped(folder, text=""):
    """A run after a step, at another place."""
    run = new_run(folder, text, place=(2, 3, 4))
    step(run)
    run.seconds, run.sums = 5.0, {"content": 6.0}
    return run


def equal(one, other):
    """Whether two networks are the same to the bit."""
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def one_line(error, *told):
    text = str(error.value)
    return "\n" not in text and all(part in text for part in told)


@pytest.mark.parametrize("text", ["", "--adv_lambda 0", "--precision fp16", "--conv_bias none"])
def test_a_state_puts_all_back(text, tmp_path):
    before = stepped(tmp_path, text)
    state.save(before, {"pool": before.model.pool.batches})
    assert checkpoints.load_generator(tmp_path / "generator_latest.pth").architecture["ngf"] == 4
    assert (tmp_path / "discriminator_latest.pth").exists() == (text != "--adv_lambda 0")
    assert state.load_state(tmp_path / STATE)["settings"] == SETTINGS
    after = new_run(tmp_path, text)
    state.restore(after, tmp_path / STATE)
    assert (after.phase, after.epoch, after.step) == (2, 3, 4)
    assert (after.seconds, after.sums, after.counts) == (5.0, {"content": 6.0}, {"content": 4})
    pools = [run.model.pool.batches for run in (before, after)]
    assert all(torch.equal(*pair) for pair in zip(*pools, strict=True))
    assert before.model.scaler.state_dict() == after.model.scaler.state_dict()
    for run in (before, after):
        step(run)
    assert equal(before.model.generator, after.model.generator)
    if before.model.discriminator:
        assert len(pools[0]) == 2
        assert equal(before.model.discriminator, after.model.discriminator)


@pytest.mark.parametrize("before", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("after", ["fp32", "bf16", "fp16"])
def test_a_run_goes_on_in_another_precision(before, after, tmp_path):
    run, fresh = stepped(tmp_path, f"--precision {before}"), new_run(tmp_path, f"--precision {after}")
    state.save(run, {"pool": run.model.pool.batches})
    resumed = new_run(tmp_path, f"--precision {after}")
    state.restore(resumed, tmp_path / STATE)
    wanted = run if before == after else fresh
    assert resumed.model.scaler.state_dict() == wanted.model.scaler.state_dict()
    assert equal(run.model.generator, resumed.model.generator)
    step(resumed)


@pytest.mark.parametrize(("size", "batches", "steps"), [(1, 2, 8), (2, 2, 4), (3, 1, 2)])
def test_a_run_resumes_with_another_batch_size(size, batches, steps, tmp_path):
    """As many photographs of the epoch are done as before, and the pool holds batches of the new size."""
    run = stepped(tmp_path)
    whole = [torch.rand(2, 3, 16, 16) for _ in range(2)]
    state.save(run, {"pool": whole})
    after = new_run(tmp_path, f"--batch_size {size}")
    state.restore(after, tmp_path / STATE)
    assert after.step == steps
    pool = after.model.pool.batches
    assert [len(batch) for batch in pool] == [size] * batches
    assert torch.equal(torch.cat(pool), torch.cat(whole)[: size * batches])


def test_a_batch_of_the_pool_that_float16_lost_does_no_harm_later(tmp_path):
    run = stepped(tmp_path)
    state.save(run, {"pool": [batch * math.nan for batch in run.model.pool.batches]})
    after = new_run(tmp_path)
    state.restore(after, tmp_path / STATE)
    assert after.model.pool.batches and all(batch.isfinite().all() for batch in after.model.pool.batches)


def test_means_go_on_over_the_steps_that_were_counted(tmp_path):
    run, after = stepped(tmp_path), new_run(tmp_path)
    run.counts = {"content": 3}  # of four steps float16 left out one
    state.save(run, {"pool": []})
    state.restore(after, tmp_path / STATE)
    assert after.counts == {"content": 3}


def test_a_run_that_had_no_discriminator_yet_goes_on_with_a_fresh_one(tmp_path):
    state.save(stepped(tmp_path, "--train_epoch 0 --con_lambda 1"), {"pool": []})
    extended, fresh = new_run(tmp_path), new_run(tmp_path)
    state.restore(extended, tmp_path / STATE)
    assert equal(extended.model.discriminator, fresh.model.discriminator) and extended.phase == 2
    assert not equal(extended.model.generator, fresh.model.generator)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("place"),
        lambda content: content.update(place=(1, 2)),
        lambda content: content.update(pool=None),
        lambda content: content.update(sums=[1]),
        lambda content: content.update(generator=Discriminator(ndf=4).state_dict()),
        lambda content: content["generator"].pop("down.0.bias"),
        lambda content: content["discriminator"]["layers.0.bias"].fill_(math.nan),
        lambda content: content.update(adam_g=None),
        lambda content: content["adam_d"].pop("state"),
    ],
)
def test_a_state_that_does_not_fit_is_one_line(tmp_path, change):
    state.save(new_run(tmp_path), {"pool": []})
    content = checkpoints.load(tmp_path / STATE)
    change(content)
    checkpoints.save(tmp_path / STATE, content)
    with pytest.raises(WrongUse) as error:
        state.restore(new_run(tmp_path), tmp_path / STATE)
    assert one_line(error, str(tmp_path / STATE))


@pytest.mark.parametrize("content", [[], {"settings": 1}, {"settings": {"options": []}}, {"weights": {}}])
def test_a_file_of_something_else_is_no_state(content, tmp_path):
    checkpoints.save(tmp_path / STATE, content)
    with pytest.raises(WrongUse) as error:
        state.load_state(tmp_path / STATE)
    assert one_line(error, f"{tmp_path / STATE} is not a {STATE} of this program")


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, name):
    run = new_run(tmp_path)
    with torch.no_grad():
        next(getattr(run.model, name).parameters())[0, 0, 0, 0] = math.inf
    with pytest.raises(RunFailed, match=f"a weight of the {name} is not finite in phase 1, epoch 1, step 0"):
        state.save(run, {"pool": []})
    assert not list(tmp_path.iterdir())


# Weights to start from


def test_without_the_options_nothing_is_loaded(tmp_path):
    run = new_run(tmp_path)
    assert state.start_from_weights(run.model, run.args) is False
    assert equal(run.model.generator, new_run(tmp_path).model.generator)


@pytest.mark.parametrize("kind", ["learned", "none"])
def test_weights_to_start_from(kind, tmp_path):
    """The discriminator's too; a generator's `eps` may be another, as in the authors' checkpoints."""
    before = stepped(tmp_path, f"--conv_bias {kind}")
    before.model.generator.architecture["eps"] = 1e-9
    state.save(before, {"pool": []})
    start = f"--conv_bias {kind} --latest_generator_model {tmp_path}/generator_latest.pth"
    after = new_run(tmp_path, f"{start} --latest_discriminator_model {tmp_path}/discriminator_latest.pth")
    assert state.start_from_weights(after.model, after.args) is True
    assert equal(before.model.generator, after.model.generator)
    assert equal(before.model.discriminator, after.model.discriminator)
    assert not after.model.adam_g.state


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("--ngf 8", "has ngf 4, but --ngf is 8"),
        ("--nb 2", "has nb 1, but --nb is 2"),
        ("--upsample resize", "has upsample deconv, but --upsample is resize"),
        ("--conv_bias none", "has conv_bias learned, but --conv_bias is none"),
    ],
)
def test_a_generator_of_another_architecture_is_refused(more, told, tmp_path):
    state.save(new_run(tmp_path), {"pool": []})
    run = new_run(tmp_path, f"--latest_generator_model {tmp_path}/generator_latest.pth {more}")
    with pytest.raises(WrongUse) as error:
        state.start_from_weights(run.model, run.args)
    assert one_line(error, str(tmp_path / "generator_latest.pth"), told)


def test_another_network_to_start_from_is_refused(tmp_path):
    torch.save(animegan_weights(), tmp_path / "paprika.pt")
    run = new_run(tmp_path, f"--latest_generator_model {tmp_path}/paprika.pt")
    with pytest.raises(WrongUse) as error:
        state.start_from_weights(run.model, run.args)
    assert one_line(error, "paprika.pt holds AnimeGANv2's network: a run can start from CartoonGAN's alone")


def test_a_discriminator_that_does_not_fit_is_refused(tmp_path):
    state.save(new_run(tmp_path), {"pool": []})
    path = tmp_path / "discriminator_latest.pth"
    for other in ("--ndf 8", "--conv_bias none"):
        run = new_run(tmp_path, f"--latest_discriminator_model {path} {other}")
        with pytest.raises(WrongUse) as error:
            state.start_from_weights(run.model, run.args)
        assert one_line(error, f"{path} does not fit this network")
