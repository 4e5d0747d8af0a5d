"""The stream of batches: what each is made of, crops and flips, any number of workers, lost images."""

import itertools
import multiprocessing
import os
import sys
import threading
import time
import types

import numpy as np
import pytest
import torch

import utils
from pictures import images
from training import batches
from training.data import Data
from utils import RunFailed

CPU = torch.device("cpu")


def stream(count, *place, photos=10, drawings=7, batch=3, seed=0, independent=False):
    """The first `count` batches from place (phase, epoch, step), each a list of draws."""
    streams = (batches.DRAWINGS, batches.SMOOTHED if independent else batches.DRAWINGS)
    draws = batches.draws(photos, drawings, batch, seed, *place, streams)
    return list(itertools.islice(draws, count))


def shown(drawn, role):
    return [item[role][0] for batch in drawn for item in batch]


def test_an_epoch_is_one_pass_over_the_photographs():
    first, second = (shown(stream(3, 2, epoch, 0), 0) for epoch in (1, 2))
    assert len(set(first)) == len(set(second)) == 9
    assert first != second and set(first + second) <= set(range(10))
    assert {index for epoch in range(1, 40) for index in shown(stream(3, 2, epoch, 0), 0)} == set(range(10))


def test_drawings_are_an_endless_reshuffle():
    drawings = shown(stream(70, 2, 1, 0), 1)
    turns = [drawings[n : n + 7] for n in range(0, 210, 7)]
    assert all(set(turn) == set(range(7)) for turn in turns)
    assert len({tuple(turn) for turn in turns}) > 20


@pytest.mark.parametrize("independent", [False, True])
def test_a_stream_begun_midway_goes_on_as_if_it_had_run_through(independent):
    whole = stream(12, 2, 1, 0, independent=independent)
    for place in range(9):
        midway = stream(3, 2, 1 + place // 3, place % 3, independent=independent)
        assert midway == whole[place : place + 3]
    # The place after the last step of an epoch is the first of the next.
    assert stream(2, 2, 1, 3, independent=independent) == whole[3:5]


def test_streams_differ_by_seed_phase_and_epoch():
    keys = [(2, 1, 0), (1, 1, 0), (2, 2, 0)]
    streams = [stream(3, *key) for key in keys] + [stream(3, 2, 1, 0, seed=1)]
    assert len({tuple(map(tuple, drawn)) for drawn in streams}) == 4
    assert stream(3, 2, 1, 0) == stream(3, 2, 1, 0)


def test_every_draw_has_a_random_key_of_its_own():
    for independent, smoothed_keys in ((False, 0), (True, 90)):
        drawn = stream(30, 2, 1, 0, independent=independent)
        keys = {draw[1] for batch in drawn for item in batch for draw in item}
        assert len(keys) == 90 + 90 + smoothed_keys


def test_smoothed_drawings_are_those_of_the_batch_or_independent_ones():
    together, apart = (stream(20, 2, 1, 0, independent=way) for way in (False, True))
    assert all(drawing == smoothed for batch in together for _, drawing, smoothed in batch)
    assert shown(together, 1) == shown(apart, 1) != shown(apart, 2)
    assert set(shown(apart, 2)) == set(range(7))


def test_drawings_alone_are_those_that_come_with_smoothed_ones():
    draws = batches.draws(10, 7, 3, 0, 2, 1, 0, (batches.DRAWINGS,))
    for alone, paired in zip(draws, stream(20, 2, 1, 0), strict=False):
        assert alone == [item[:2] for item in paired]


def test_phase_one_draws_photographs_alone():
    assert all(len(item) == 1 for batch in stream(4, 1, 1, 0, drawings=0) for item in batch)


def test_a_run_has_the_batches_of_its_place_and_of_its_process(monkeypatch):
    shapes = {"input_size": 16, "load_size": 18, "resize": "squash", "in_ngc": 1, "out_ngc": 3}
    args = types.SimpleNamespace(batch_size=4, seed=5, independent_edges=True, **shapes)
    run = types.SimpleNamespace(args=args, data=Data([*range(10)], [], [*range(6)], {}))
    for place, pairs in (((1, 2, 1), []), ((2, 2, 1), [*range(6)])):
        run.phase, run.place = place[0], place
        dataset, drawn = batches.training_batches(run)
        wanted = stream(3, *place, drawings=len(pairs), batch=4, seed=5, independent=True)
        assert list(itertools.islice(drawn, 3)) == wanted
        assert (dataset.photos, dataset.pairs) == (run.data.photos, pairs)
        assert (dataset.size, dataset.load_size, dataset.resize) == (16, 18, "squash")
        assert (dataset.photo_channels, dataset.drawing_channels) == (1, 3)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert next(batches.training_batches(run)[1]) == wanted[0][2:]
    del args.independent_edges  # which a method without smoothed drawings has not
    run.data = run.data._replace(smoothed=False)
    dataset, drawn = batches.training_batches(run)
    assert not dataset.smoothed and next(drawn) == [item[:2] for item in wanted[0][2:]]


# The images


@pytest.fixture
def made(tmp_path):
    """One photo of 48x32 whose pixels tell their place; one pair whose right half is the left's negative."""
    rows, columns = np.indices((32, 48), np.uint8)
    photo = np.stack([rows, columns, rows ^ columns], axis=-1)
    images.write(tmp_path / "photo.png", photo)
    images.write(tmp_path / "pair.png", images.side_by_side(photo, 255 - photo))
    return [tmp_path / "photo.png"], [tmp_path / "pair.png"], torch.from_numpy(photo).permute(2, 0, 1)


def training_images(made, size=32, resize="crop", photo_channels=3, drawing_channels=3):
    return batches.TrainingImages(*made[:2], size, resize, photo_channels, drawing_channels)


def test_a_drawing_alone_is_shown_whole(made):
    """As a pair the same file would be halved."""
    _, (drawing,), _ = made
    dataset = batches.TrainingImages(made[0], [drawing], 32, "squash", 3, 3, smoothed=False)
    photo, square = dataset[[(0, (1,)), (0, (2,))]]
    whole = images.fit_training(images.read(drawing), 32, "squash")
    assert photo.shape == square.shape == (3, 32, 32)
    assert any((square.permute(1, 2, 0).numpy() == side).all() for side in (whole, whole[:, ::-1]))


def test_training_images_are_random_crops_and_flips(made):
    dataset, photo = training_images(made), made[2]
    found = set()
    for key in range(100):
        (square,) = dataset[[(0, (key,))]]
        assert square.dtype == torch.uint8 and square.shape == (3, 32, 32)
        left, right = int(square[1, 0, 0]), int(square[1, 0, -1])
        window = photo[..., min(left, right) : max(left, right) + 1]
        assert torch.equal(square, window if left < right else window.flip(2))
        found.add((min(left, right), left < right))
    assert {left for left, _ in found} == set(range(17))
    assert len(found) > 25


def test_squares_are_cut_out_of_what_is_loaded(made):
    """The photo and the halves of the pair are 32 pixels high: squares of 12 show them unreduced."""
    dataset = batches.TrainingImages(*made[:2], 12, "crop", 3, 3, load_size=32)
    tops = set()
    for key in range(100):
        draw = (0, (key, 1))
        photo, drawing, smoothed = dataset[[draw] * 3]
        top, left = int(photo[0, 0, 0]), int(photo[1, 0].min())
        window = made[2][:, top : top + 12, left : left + 12]
        assert torch.equal(photo, window) or torch.equal(photo, window.flip(2))
        assert torch.equal(drawing, photo) and torch.equal(smoothed, 255 - photo)
        tops.add(top)
    assert {0, 20} <= tops


def test_a_drawing_and_its_smoothed_copy_are_cropped_and_flipped_alike(made):
    dataset = training_images(made)
    for key in range(20):
        draw = (0, (key, 1))
        _, drawing, smoothed = dataset[[(0, (key,)), draw, draw]]
        assert torch.equal(smoothed, 255 - drawing)
    apart = [dataset[[(0, (0,)), (0, (key, 1)), (0, (key, 2))]] for key in range(20)]
    assert any(not torch.equal(smoothed, 255 - drawing) for _, drawing, smoothed in apart)


def test_squash_shows_the_whole_image(made):
    dataset = training_images(made, resize="squash")
    squares = {tuple(dataset[[(0, (key,))]][0].flatten().tolist()) for key in range(20)}
    assert len(squares) == 2
    whole = torch.from_numpy(images.resize(made[2].permute(1, 2, 0).numpy(), 32, 32)).permute(2, 0, 1)
    assert {tuple(whole.flatten().tolist()), tuple(whole.flip(2).flatten().tolist())} == squares


def test_photographs_and_drawings_may_be_grey(made):
    draw = (0, (0,))
    shapes = [image.shape for image in training_images(made, 16, "crop", 1, 3)[[draw, draw, draw]]]
    assert shapes == [(1, 16, 16), (3, 16, 16), (3, 16, 16)]
    shapes = [image.shape for image in training_images(made, 16, "crop", 3, 1)[[draw, draw, draw]]]
    assert shapes == [(3, 16, 16), (1, 16, 16), (1, 16, 16)]


# Loading


@pytest.fixture
def six(tmp_path):
    """Paths of six photographs of 40x36 and of six pairs of two of them, all of noise."""
    rng, folders = np.random.default_rng(0), (tmp_path / "photos", tmp_path / "pairs")
    for folder, width in zip(folders, (40, 80), strict=True):
        folder.mkdir()
        for number in range(6):
            images.write(folder / f"{number}.png", rng.integers(0, 256, (36, width, 3), np.uint8))
    return [sorted(folder.iterdir()) for folder in folders]


def batches_of(six, workers, count):
    dataset = batches.TrainingImages(*six, 32, "crop", 3, 3)
    loader = batches.load_batches(dataset, batches.draws(6, 6, 4, 0, 2, 1, 0), workers, CPU)
    loaded = list(itertools.islice(loader, count))
    loader.close()
    return loaded


def test_batches_are_the_same_for_any_number_of_workers(six):
    alone, apart = batches_of(six, 0, 4), batches_of(six, 2, 4)
    for one, other in zip(alone, apart, strict=True):
        assert [image.shape for image in one] == [(4, 3, 32, 32)] * 3
        assert all(image.is_contiguous(memory_format=torch.channels_last) for image in one)
        assert all(torch.equal(*same) for same in zip(one, other, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_next_takes_the_place_of_a_lost_image(six, workers, capfd):
    six[0][2].write_text("no image")
    six[0][3].unlink()
    for photos, _, _ in batches_of(six, workers, 6):
        assert photos.shape == (4, 3, 32, 32)
    told = sorted(capfd.readouterr().err.splitlines())
    assert told == [
        f"lost {six[0][2]} (not an image): {six[0][4]} replaces it",
        f"lost {six[0][3]} (No such file or directory): {six[0][4]} replaces it",
    ]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_text("no image")])
def test_a_run_whose_images_are_all_lost_ends_in_one_line(made, workers, damage):
    damage(made[0][0])
    draws = batches.draws(1, 0, 1, 0, 1, 1, 0)
    with pytest.raises(RunFailed) as error:
        next(batches.load_batches(training_images(made), draws, workers, CPU))
    assert str(error.value).startswith(f"training images are lost, 1 in a row, the last is {made[0][0]}: ")
    assert "\n" not in str(error.value)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("error", "raised", "told"),
    [
        (MemoryError(), RunFailed, "no memory is left for a process that loads images: try fewer --workers"),
        (
            OSError(24, "Too many open files"),
            RunFailed,
            r"failed \(OSError: \[Errno 24\] Too many open files\)",
        ),
        (
            RuntimeError("unable to allocate shared memory(shm) for file </torch_1_2>: No space left (28)"),
            RunFailed,
            r"shared memory \(/dev/shm\) is full: take fewer --workers, .* --shm-size=2g, or --ipc=host",
        ),
        (ValueError("a fault of the program"), ValueError, "a fault of the program"),
    ],
)
def test_whatever_fails_in_a_loading_process_ends_all_of_them(error, raised, told, six, monkeypatch):
    """While the error is still held: such a process ignores SIGTERM, and the program would wait for it."""

    def fail(*_):
        raise error

    monkeypatch.setattr(batches.TrainingImages, "_photo", fail)
    with pytest.raises(raised, match=told) as held:
        batches_of(six, 2, 1)
    assert multiprocessing.active_children() == []
    assert raised is ValueError or "\n" not in str(held.value)


def test_a_loading_process_that_does_not_end_by_itself_is_killed(six, monkeypatch):
    def stick(self, path):
        time.sleep(600)

    monkeypatch.setattr(batches.TrainingImages, "_pair", stick)
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.1)  # PyTorch's patience
    dataset = batches.TrainingImages(*six, 32, "crop", 3, 3)
    draws = itertools.chain([[[(0, (0,))]]], [[[(0, (0,))] * 3]] * 10)  # a photo alone, then pairs
    loader = batches.load_batches(dataset, draws, 1, CPU)
    next(loader)
    loader.close()
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal of a parent's death is Linux's")
def test_a_loading_process_that_is_stuck_ends_with_a_program_that_is_killed(six, monkeypatch):
    """A worker that waits for a lock never comes to ask whether the program is still there."""
    ours, theirs = multiprocessing.Pipe()

    def stick(self, path):
        theirs.send(None)
        threading.Event().wait()

    def load():
        dataset = batches.TrainingImages(*six, 32, "crop", 3, 3)
        next(batches.load_batches(dataset, batches.draws(6, 6, 4, 0, 2, 1, 0), 1, CPU))

    monkeypatch.setattr(batches.TrainingImages, "_photo", stick)
    program = multiprocessing.get_context("fork").Process(target=load)
    program.start()
    ours.recv()
    program.kill()
    program.join()
    theirs.close()
    assert ours.poll(30), "the worker lives: it still holds the other end of the pipe"
    with pytest.raises(EOFError):
        ours.recv()


def test_loading_processes_are_as_many_as_shared_memory_has_room_for(monkeypatch, tmp_path, capsys):
    """Each may have two batches there, the program itself two more."""
    size = 16 * 3 * 3 * 256**2
    monkeypatch.setattr(batches, "SHARED", tmp_path)
    usage = types.SimpleNamespace(free=64 * 2**20)
    monkeypatch.setattr(batches.shutil, "disk_usage", lambda _: usage)
    assert batches.with_room(8, size) == 2
    assert capsys.readouterr().err == (
        f"8 processes that load images need 170 MB in {tmp_path}, which has 67 MB: using 2; "
        "docker run --shm-size=2g, or --ipc=host, gives a container more\n"
    )
    assert batches.with_room(2, size) == 2 and batches.with_room(0, size) == 0
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert batches.with_room(1, size) == 0
    monkeypatch.setattr(batches, "SHARED", tmp_path / "none")
    capsys.readouterr()
    assert batches.with_room(8, size) == 8 and capsys.readouterr().err == ""


def test_a_stream_is_loaded_by_fewer_processes_where_there_is_less_room(six, monkeypatch):
    asked = []
    monkeypatch.setattr(batches, "with_room", lambda workers, size: asked.append((workers, size)) or 0)
    assert len(batches_of(six, 3, 2)) == 2
    assert asked == [(3, 4 * 9 * 32**2)]  # four items of three colour pictures


def test_ten_lost_images_in_a_row_are_a_lost_disk():
    def use(path):
        tried.append(path)
        raise images.CannotRead(path, "gone")

    tried = []
    with pytest.raises(RunFailed, match=r"10 in a row, the last is 7: gone; check the disk, .*--resume"):
        batches.first_readable([*range(20)], 18, use)
    assert tried == [18, 19, *range(8)]


def test_a_pure_red_file_becomes_1_minus_1_minus_1(tmp_path):
    images.write(tmp_path / "red.png", np.full((50, 60, 3), (255, 0, 0), np.uint8))
    (photo,) = training_images(([tmp_path / "red.png"], []))[[(0, (0,))]]
    assert torch.equal(utils.to_range(photo), torch.tensor([1.0, -1, -1]).view(3, 1, 1).expand(3, 32, 32))


def test_default_workers(monkeypatch):
    assert batches.default_workers(CPU) == 1
    for cores, workers in ((4, 4), (64, 8)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        assert batches.default_workers(torch.device("cuda")) == workers


@pytest.mark.parametrize(("cores", "processes", "workers"), [(16, 4, 4), (64, 4, 8), (2, 4, 1)])
def test_processes_on_one_machine_share_its_cores(cores, processes, workers, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert batches.default_workers(torch.device("cuda")) == workers
    assert batches.default_workers(CPU) == 1
