"""Runs that are killed, and disks that fail: nothing that was saved is lost, and the run can be resumed."""

import signal
import subprocess

import faults
import pytest
from helpers import contents, make_data, metrics, same, tiny_run

import CartoonGAN
from pictures import checkpoints
from support.arguments import PYTHON
from training.log import run_state

OPTIONS = "--name Kill --pre_train_epoch 1 --train_epoch 2 --batch_size 3 --pool_size 2 --workers 1"
OPTIONS += " --save_minutes 0 --checkpoint_every 2 --sample_every 2 --sample_format jpg"
RUN = "results/Kill_1_2_3_results"

# In this order a run that is killed at each and resumed writes them all.
KINDS = ("pair", "settings.json", "log.txt", "plotly.min.js", "runs.js", "index.html")
KINDS += ("generator_latest.pth", "discriminator_latest.pth", "state_latest.pth")
KINDS += ("Reconstruction", "losses.png", "metrics.csv", "generator_2.pth", "Transfer")
PAGES = {"plotly.min.js", "runs.js", "index.html"}


def command(data, place):
    """The options of a tiny run whose results and pairs lie in `place`; --resume if there is a run."""
    if any((place / RUN / name).exists() for name in ("settings.json", "state_latest.pth")):
        return ["--resume", str(place / RUN)]
    return tiny_run(data, place / "results", "--pair_dir", place / "pair", *OPTIONS.split())


def assert_as_if_undisturbed(place, reference):
    """Check that the run in a place left the same files as the one in `reference`."""
    folder, expected = place / RUN, reference / RUN
    for name in ("generator_latest.pth", "discriminator_latest.pth", "generator_2.pth"):
        assert same(checkpoints.load(folder / name), checkpoints.load(expected / name))
    assert metrics(folder) == metrics(expected)
    assert [(row["phase"], row["epoch"]) for row in metrics(folder)] == [*zip("122", "112", strict=True)]
    for part in ("Transfer", "Reconstruction"):
        assert contents(folder / part) == contents(expected / part)
    assert not list(place.rglob("*.part"))
    assert run_state(folder)[0] == "finished"


def assert_one_line_error(status, output, folder, words):
    """Check for status 1, one line with the fault and how to resume, and a state that can be read."""
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in output and "Exception" not in output, output
    assert status == 1 and len(errors) == 1 and words in errors[0], f"{status}: {output}"
    assert f"resume with {PYTHON} CartoonGAN.py --" in errors[0]
    if (folder / "state_latest.pth").exists():
        checkpoints.load(folder / "state_latest.pth")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The folder of a run without faults and its data, which no test changes."""
    place = tmp_path_factory.mktemp("reference")
    CartoonGAN.main(command(make_data(place / "data"), place))
    return place


@pytest.fixture
def train(server, reference, tmp_path):
    """train(place, *fault of when_writing): start or resume the run there -> (exit status, output)."""

    def run(place, *fault):
        argv = command(reference / "data", place)
        return faults.finish(server, argv, tmp_path / "output.txt", fault or ((), None))

    return run


@pytest.fixture
def complete(train, reference):
    """complete(place): resume the run in a place to its end, which must be as if undisturbed."""

    def run(place):
        status, output = train(place)
        assert status == 0 and "Traceback" not in output, output
        assert_as_if_undisturbed(place, reference)

    return run


def test_a_run_killed_while_writing_ends_as_if_undisturbed(train, complete, tmp_path):
    """Its loading processes, which may live on for seconds, must not keep the lock."""
    for number, kind in enumerate(KINDS):
        die = faults.die_just_written if number % 2 else faults.die_half_written
        status, output = train(tmp_path, [kind], die)
        assert status == -signal.SIGKILL, f"{kind}: {status} {output}"
    complete(tmp_path)


def test_a_file_that_cannot_be_written_ends_the_run_with_a_one_line_error(train, complete, tmp_path):
    folder = tmp_path / RUN
    for kind in KINDS:
        if kind not in PAGES:
            end = train(tmp_path, [kind], faults.raise_disk_full)
            assert_one_line_error(*end, folder, "o space left")
            assert not list(folder.rglob("*.part"))
    complete(tmp_path)


def test_pages_that_cannot_be_written_do_not_end_a_run(train, reference, tmp_path):
    status, output = train(tmp_path, PAGES, faults.raise_disk_full, True)
    assert status == 0 and "Traceback" not in output and "error: " not in output, output
    assert output.count("the pages could not be written: No space left on device") == 1
    assert_as_if_undisturbed(tmp_path, reference)


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a separate disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], check=False).returncode:
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_disk_that_is_full_or_read_only(small_disk, train, complete):
    folder = small_disk / RUN
    # Between two files: TensorBoard's thread is the next to write.
    end = train(small_disk, ["metrics.csv"], faults.fill_disk)
    assert_one_line_error(*end, folder, "No space left on device")
    (small_disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert_one_line_error(*train(small_disk), folder, "Read-only file system")
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    complete(small_disk)
    assert run_state(folder)[0] == "finished"
