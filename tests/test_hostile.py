"""Files that would do harm, or were damaged by hand: each is refused in one line."""

import math
import os
import pickle
import struct
import zipfile

import pytest
import torch

import CartoonGAN
from networks import Discriminator, Generator
from pictures import checkpoints
from training import folders, model, options
from utils import WrongUse

TINY = "--vgg_model random --ngf 4 --ndf 4 --nb 1 --input_size 16 --batch_size 2 --device cpu --workers 0"
TINY += " --precision fp32 --pool_size 1 --pre_train_epoch 1 --train_epoch 1 --save_minutes 0"


def refusal(call, *args):
    """The one line in which a call is refused."""
    with pytest.raises(WrongUse) as error:
        call(*args)
    line = str(error.value)
    assert line.isprintable() and len(line) < 1000
    return line


# Files that would take the memory, the processor, or more


class Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def deflated(path):
    """A checkpoint of a few kilobytes with 64 MB of zeros in it."""
    torch.save({"a": torch.zeros(2**24)}, path)
    with zipfile.ZipFile(path) as whole:
        records = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as small:
        for name, record in records.items():
            small.writestr(name, record)
    assert path.stat().st_size < 100_000


def overlapping(path):
    """A checkpoint with records that lie in one another: its directory names one record a thousand times."""
    torch.save({"a": torch.zeros(2**16)}, path)
    content = path.read_bytes()
    end = content.rindex(b"PK\5\6")
    size, start = struct.unpack("<II", content[end + 12 : end + 20])
    directory = content[start : start + size] * 9
    counts = struct.pack(
        "<4sHHHHIIH", b"PK\5\6", 0, 0, *[directory.count(b"PK\1\2")] * 2, len(directory), start, 0
    )
    path.write_bytes(content[:start] + directory + counts)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (deflated, "would grow in memory"),
        (overlapping, "would grow in memory"),
        (lambda path: torch.save({"a": Calls(bytearray, 10**13)}, path), "would grow in memory"),
        (lambda path: path.write_bytes(pickle.dumps(Calls(bytearray, 10**13), 2)), "would grow in memory"),
        (lambda path: torch.save({"a": Calls(os.system, "true")}, path), "wants to run code"),
        (lambda path: os.mkfifo(path), "is no file"),
        (lambda path: path.symlink_to("/dev/zero"), "is no file"),
        (lambda path: path.symlink_to(path), "cannot read"),
    ],
    ids=["deflated", "overlapping", "bytearray", "pickle", "code", "fifo", "zero", "loop"],
)
def test_a_file_that_would_never_end_or_grow_is_refused(tmp_path, make, told):
    make(tmp_path / "a.pth")
    assert told in refusal(checkpoints.load, tmp_path / "a.pth")


def test_a_run_may_be_called_what_a_bomb_is_called(tmp_path):
    checkpoints.save(tmp_path / "a.pth", {"settings": {"options": {"name": "bytearray"}}})
    assert checkpoints.load_state(tmp_path / "a.pth")["settings"]["options"] == {"name": "bytearray"}


def architecture(**values):
    return lambda file: file["architecture"].update(values)


def weight(value, key="down.0.weight"):
    return lambda file: file["state_dict"].update({key: value})


def itself(file):
    """A file within itself, without end."""
    file.clear()
    file["state_dict"] = file


WEIGHT, NORM = (4, 3, 7, 7), "down.1.weight"
ENORMOUS = {key: torch.zeros(1).expand(value.shape) for key, value in Generator(ngf=64).state_dict().items()}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (architecture(ngf=4096), "does not fit this network"),
        (architecture(ngf=10**6), "--ngf"),
        (architecture(ngf=10**600), "cannot be built"),
        (architecture(nb=10**9), "--nb"),
        (architecture(nb=999), "nb is 999, but there are 38 weights"),
        (architecture(res_convs=10**9), "--res_convs"),
        (architecture(nb=-1), "--nb"),
        (architecture(ngf=0), "--ngf"),
        (architecture(in_ngc=2), "--in_ngc"),
        (architecture(ngf="4"), "ngf cannot be of the kind str"),
        (architecture(ngf=True), "ngf cannot be of the kind bool"),
        (architecture(ngf=4.0), "--ngf"),
        (architecture(ngf=[4]), "ngf cannot be of the kind list"),
        (architecture(ngf=torch.tensor(4)), "ngf cannot be of the kind Tensor"),
        (architecture(nb=None), "nb cannot be of the kind NoneType"),
        (architecture(upsample="bicubic"), "--upsample"),
        (architecture(padding="circular"), "padding or eps"),
        (architecture(eps=math.nan), "padding or eps"),
        (architecture(eps=0), "padding or eps"),
        (architecture(**{"a\nb": 1}), r"'a\nb'"),
        (lambda file: file.update(architecture=[file["architecture"]]), "it is no dictionary"),
        (weight(torch.full(WEIGHT, math.nan)), "down.0.weight is not finite there"),
        (weight(torch.full(WEIGHT, 1e300, dtype=torch.float64)), "down.0.weight is not finite there"),
        (weight(torch.zeros(1).expand(10**6, 3, 7, 10**6)), "its weights are larger than the file"),
        (weight(torch.zeros(WEIGHT, device="meta")), "down.0.weight is nothing there"),
        (weight(torch.zeros(WEIGHT).to_sparse()), "down.0.weight is nothing there"),
        (weight(torch.zeros(WEIGHT, dtype=torch.complex64)), "down.0.weight is nothing there"),
        (weight(torch.zeros(5), NORM), "down.1.weight is [5] there and [4] here"),
        (weight([0.0] * 4, NORM), "down.1.weight is nothing there and [4] here"),
        (weight(torch.zeros(1), "a\nb"), r"a\nb is [1] there and nothing here"),
        (
            lambda file: file.update(architecture={}, state_dict=ENORMOUS),
            "its weights are larger than the file",
        ),
        (lambda file: file.update(state_dict=[torch.zeros(1)]), "holds no weights by name"),
        (itself, "is no generator_latest.pth"),
    ],
)
def test_a_hostile_generator_is_refused_in_one_line(tmp_path, change, told):
    file = checkpoints.generator_file(Generator(ngf=4, nb=1))
    change(file)
    torch.save(file, tmp_path / "g.pth")
    line = refusal(checkpoints.load_generator, tmp_path / "g.pth")
    assert told in line and f"{tmp_path}/g.pth" in line


@pytest.mark.parametrize("shape", [(10**8, 3, 0, 0), (10**9, 0, 7, 7), (10**15, 3, 0), (0, 3, 7, 7), ()])
@pytest.mark.parametrize("mark", ["down_convs.0", "conv01_1"])
def test_a_first_layer_that_says_it_is_enormous_is_refused(tmp_path, mark, shape):
    last = "up_convs.8" if mark == "down_convs.0" else "deconv03_1"
    torch.save({f"{mark}.weight": torch.zeros(shape), f"{last}.bias": torch.zeros(3)}, tmp_path / "g.pth")
    assert f"{tmp_path}/g.pth" in refusal(checkpoints.load_generator, tmp_path / "g.pth")


def test_a_file_of_another_kind_is_told(tmp_path):
    generator, discriminator = tmp_path / "generator.pth", tmp_path / "discriminator.pth"
    checkpoints.save(generator, checkpoints.generator_file(Generator(ngf=4, nb=1)))
    checkpoints.save(discriminator, Discriminator(ndf=4).state_dict())
    assert "it looks like a discriminator" in refusal(checkpoints.load_generator, discriminator)
    given = [*TINY.split(), "--latest_discriminator_model", str(generator)]
    args, _ = options.parse_training(given)
    t = model.build(args, torch.device("cpu"), "fp32")
    assert "it looks like a generator" in refusal(model.start_from_weights, t, args)


# States


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """(model.Training, its state in the middle of phase two) as fp16 on a GPU leaves it."""
    folder = tmp_path_factory.mktemp("stopped")
    args, given = options.parse_training(TINY.split())
    t = model.build(args, torch.device("cpu"), "fp32")
    t.scaler = torch.amp.GradScaler("cpu", enabled=True)
    t.phase = 2
    CartoonGAN.one_step(t, args, [torch.zeros(2, 3, 16, 16, dtype=torch.uint8) for _ in range(3)])
    t.step, t.seconds, t.sums["content"] = 1, 2.5, 0.5
    data = {"photographs": {"count": 6}}
    record = folders.settings(args, given, None, TINY.split(), torch.device("cpu"), "fp32", data)
    checkpoints.save_run(folder, t, t.pool.batches, record)
    return t, folder / "state_latest.pth"


def moment(name, value, of="adam_g"):
    return lambda state: state[of]["state"][0].update({name: value})


def put(key, value):
    return lambda state: state.update({key: value})


NAN = torch.full((4, 3, 7, 7), math.nan)


@pytest.mark.parametrize(
    "change",
    [
        *(lambda state, key=key: state.pop(key) for key in ("adam_g", "scaler", "pool", "place", "sums")),
        *(
            lambda state, key=key: state.pop(key)
            for key in ("seconds", "generator", "discriminator", "adam_d")
        ),
        lambda state: [state.pop(key) for key in ("discriminator", "adam_d")],
        *(put(key, None) for key in ("adam_g", "adam_d", "scaler", "pool", "place", "sums", "seconds")),
        *(put(key, []) for key in ("generator", "discriminator", "adam_g", "scaler", "sums")),
        *(
            put("place", place)
            for place in ((7, 1, 0), (0, 1, 0), (2, 0, 0), (2, 3, 0), (2, 1, -1), (2, 1, 4))
        ),
        *(put("place", place) for place in ((2, 1), (2, 1, 0, 0), (2, 1.0, 0), ("2", 1, 0), (True, 1, 0), 2)),
        *(put("place", place) for place in (([], 1, 0), (2, 10**30, 0), "210", torch.tensor([2, 1, 0]))),
        *(put("seconds", value) for value in (-1.0, math.nan, math.inf, "2", True, torch.ones(1))),
        *(put("sums", {"content": value}) for value in (math.nan, "0.5", None, [0.5], torch.ones(1))),
        *(put("sums", {key: 0.5}) for key in (1, "epoch", "a\nb", "a,b")),
        *(
            put("pool", pool)
            for pool in ("x", [None], [torch.zeros(2, 3, 16, 16)] * 2, [torch.zeros(2, 3, 8, 8)])
        ),
        *(
            put("pool", [value])
            for value in (torch.full((2, 3, 16, 16), math.nan), torch.zeros(2, 3, 16, 16).int())
        ),
        *(
            put("generator", Generator(**shape).state_dict())
            for shape in ({"ngf": 8, "nb": 1}, {"ngf": 4, "nb": 2})
        ),
        put("generator", Discriminator(ndf=4).state_dict()),
        lambda state: state["generator"].update({"down.0.weight": NAN}),
        lambda state: state["discriminator"].update({"layers.0.bias": torch.full((4,), math.inf)}),
        *(moment(name, torch.zeros(3)) for name in ("exp_avg", "exp_avg_sq", "step")),
        *(moment(name, None, "adam_d") for name in ("exp_avg", "exp_avg_sq", "step")),
        *(moment(name, NAN) for name in ("exp_avg", "exp_avg_sq")),
        moment("step", torch.tensor(-1.0)),
        moment("exp_avg_sq", torch.full((4, 3, 7, 7), -1.0)),
        moment("more", 1),
        lambda state: state["adam_g"].update(state={0: {}}),
        lambda state: state["adam_g"].update(state=[1]),
        lambda state: state["adam_g"]["state"].update({10**6: {}}),
        *(lambda state, key=key: state["scaler"].pop(key) for key in ("scale", "_growth_tracker")),
        *(
            lambda state, value=value: state["scaler"].update(scale=value)
            for value in (math.nan, -1, "1", None)
        ),
        lambda state: state["scaler"].update(growth_factor="2"),
        lambda state: state["scaler"].update(growth_factor=torch.ones(2)),
        lambda state: state["settings"]["data"].clear(),
        lambda state: state["settings"].update(data=torch.ones(2)),
        lambda state: state["settings"]["data"]["photographs"].update(count=torch.ones(2)),
        lambda state: state["settings"]["options"].update(batch_size=0),
    ],
)
def test_a_hostile_state_is_refused_and_changes_nothing(stopped, change):
    t, path = stopped
    state = checkpoints.load_state(path)
    before = {key: value.clone() for key, value in t.generator.state_dict().items()}
    change(state)
    assert f"{path} does not fit this run: " in refusal(checkpoints.restore_state, path, t, state)
    assert (t.phase, t.epoch, t.step, t.seconds, dict(t.sums)) == (2, 1, 1, 2.5, {"content": 0.5})
    assert all(torch.equal(value, before[key]) for key, value in t.generator.state_dict().items())


def test_the_state_itself_is_taken_with_the_optimisers_own_settings(stopped):
    t, path = stopped
    state = checkpoints.load_state(path)
    state["adam_g"]["param_groups"][0].update(betas="none", lr=math.nan, maximize=True)
    t.step = 0
    checkpoints.restore_state(path, t, state)
    assert t.step == 1 and t.adam_g.param_groups[0]["betas"] == (0.5, 0.999)
    assert not t.adam_g.param_groups[0]["maximize"]
