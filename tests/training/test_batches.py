"""The stream of batches: order, crops and flips; lost images; the loading processes."""

import itertools
import multiprocessing
import time
import types

import numpy as np
import pytest
import torch

from pictures import images
from training import batches, options
from training.data import Data
from utils import RunFailed

CPU = torch.device("cpu")


def stream(count, *place, photos=10, drawings=7, batch=3, seed=0, independent=False):
    """The first `count` batches from place (phase, epoch, step), each a list of draws."""
    streams = (batches.DRAWINGS, batches.SMOOTHED if independent else batches.DRAWINGS)
    draws = batches.draws(photos, drawings, batch, seed, *place, streams)
    return list(itertools.islice(draws, count))


def indices(drawn, role):
    return [item[role][0] for batch in drawn for item in batch]


def test_an_epoch_is_one_shuffled_pass_over_the_photographs():
    epochs = [indices(stream(3, 2, epoch, 0), 0) for epoch in range(1, 9)]
    assert all(len({*epoch}) == 9 for epoch in epochs) and len({*map(tuple, epochs)}) == 8
    assert {index for epoch in epochs for index in epoch} == {*range(10)}


def test_drawings_are_reshuffled_endlessly_and_smoothed_ones_are_the_same_or_independent():
    together, apart = (stream(70, 2, 1, 0, independent=way) for way in (False, True))
    assert all(drawing == smoothed for batch in together for _, drawing, smoothed in batch)
    assert indices(together, 1) == indices(apart, 1) != indices(apart, 2)
    for drawings in (indices(apart, 1), indices(apart, 2)):
        turns = [drawings[n : n + 7] for n in range(0, 210, 7)]
        assert all(set(turn) == set(range(7)) for turn in turns)
        assert len({tuple(turn) for turn in turns}) > 20


def test_a_stream_started_midway_equals_the_rest_of_the_whole_one():
    whole = stream(12, 2, 1, 0, independent=True)
    for place in range(9):  # the place after the last step of an epoch is the first of the next
        for epoch, step in {(1 + place // 3, place % 3), (1, place)}:
            assert stream(3, 2, epoch, step, independent=True) == whole[place : place + 3]


def test_every_draw_has_its_own_random_key():
    """By seed, phase, epoch, image and stream: no crop or flip is repeated."""
    places = [(seed, phase, epoch) for seed in (0, 1) for phase in (1, 2) for epoch in (1, 11)]
    # 30 batches of 3 are 10 epochs of 9 photographs
    drawn = [stream(30, *place, 0, seed=seed, independent=True) for seed, *place in places]
    keys = {draw[1] for each in drawn for batch in each for item in batch for draw in item}
    assert len(keys) == len(places) * 90 * 3


def test_a_run_has_the_batches_of_its_place_and_of_its_process(monkeypatch):
    args, _ = options.parse(["--batch_size", "4", "--seed", "5", "--independent_edges"])
    data = Data([*range(10)], [], [*range(6)], {})
    run = types.SimpleNamespace(args=args, data=data, phase=2, place=(2, 2, 1))
    dataset, drawn = batches.training_batches(run)
    expected = stream(3, 2, 2, 1, drawings=6, batch=4, seed=5, independent=True)
    assert list(itertools.islice(drawn, 3)) == expected
    assert (dataset.photos, dataset.pairs) == (data.photos, data.pairs)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert next(batches.training_batches(run)[1]) == expected[0][2:]


# The images


@pytest.fixture
def made(tmp_path):
    """One photo of 48x32 whose pixels are their coordinates; one pair whose right half is its negative."""
    rows, columns = np.indices((32, 48), np.uint8)
    photo = np.stack([rows, columns, rows ^ columns], axis=-1)
    images.write(tmp_path / "photo.png", photo)
    images.write(tmp_path / "pair.png", images.side_by_side(photo, 255 - photo))
    return [tmp_path / "photo.png"], [tmp_path / "pair.png"], torch.from_numpy(photo).permute(2, 0, 1)


def training_images(made, size=32, resize="crop", photo_channels=3, **more):
    args, _ = options.parse(["--input_size", "16", "--load_size", "32", "--resize", resize])
    args.input_size, args.in_ngc = size, photo_channels
    return batches.TrainingImages(*made[:2], args, **more)


def test_squares_are_random_crops_and_flips_of_what_is_loaded(made):
    """The photo and the halves of the pair are 32 pixels high: squares of 12 show them unreduced."""
    dataset, found = training_images(made, 12), []
    for key in range(400):
        photo, drawing, smoothed = dataset[[(0, (key, 1))] * 3]
        assert photo.dtype == torch.uint8 and photo.shape == (3, 12, 12)
        flipped = bool(photo[1, 0, 0] > photo[1, 0, -1])
        top, left = int(photo[0, 0, 0]), int(photo[1, 0].min())
        window = made[2][:, top : top + 12, left : left + 12]
        assert torch.equal(photo, window.flip(2) if flipped else window)
        # The same draw gives the drawing and its smoothed copy the same crop and flip.
        assert torch.equal(drawing, photo) and torch.equal(smoothed, 255 - photo)
        found.append((top, left, flipped))
    assert [len({each[n] for each in found}) for n in range(3)] == [21, 37, 2]
    apart = [dataset[[(0, (0,)), (0, (key, 1)), (0, (key, 2))]] for key in range(20)]
    assert any(not torch.equal(smoothed, 255 - drawing) for _, drawing, smoothed in apart)


def test_squash_loads_the_whole_image_and_drawings_may_be_single(made):
    """As a pair, the same file would be halved."""
    drawing = images.read(made[1][0])
    dataset = training_images(made, 32, "squash", smoothed=False)
    items = [dataset[[(0, (key,)), (0, (key,))]] for key in range(20)]
    for side, image in enumerate((made[2].permute(1, 2, 0).numpy(), drawing)):
        whole = torch.from_numpy(images.resize(image, 32, 32)).permute(2, 0, 1)
        squares = {tuple(item[side].flatten().tolist()) for item in items}
        assert squares == {tuple(whole.flatten().tolist()), tuple(whole.flip(2).flatten().tolist())}


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


def batches_of(six, workers, count, epoch=1):
    dataset = training_images(six, photo_channels=1)
    loader = batches.load_batches(dataset, batches.draws(6, 6, 4, 0, 2, epoch, 0), workers, CPU)
    loaded = list(itertools.islice(loader, count))
    loader.close()
    assert multiprocessing.active_children() == []
    return loaded


def test_batches_are_the_same_for_any_number_of_workers(six):
    alone, apart = batches_of(six, 0, 4), batches_of(six, 2, 4)
    for one, other in zip(alone, apart, strict=True):
        assert [image.shape for image in one] == [(4, 1, 32, 32), (4, 3, 32, 32), (4, 3, 32, 32)]
        assert all(image.is_contiguous(memory_format=torch.channels_last) for image in one)
        assert all(torch.equal(*same) for same in zip(one, other, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_lost_image_is_reported_once(six, workers, capfd):
    six[0][2].write_text("no image")
    six[1][5].write_bytes(b"")
    for epoch in (1, 9):  # a second stream, as phase two has its own
        for loaded in batches_of(six, workers, 9, epoch):
            assert [len(part) for part in loaded] == [4] * 3
    assert sorted(capfd.readouterr().err.splitlines()) == [
        f"cannot read {six[1][5]} (the file is empty): {six[1][0]} replaces it",
        f"cannot read {six[0][2]} (not an image): {six[0][3]} replaces it",
    ]


def test_ten_lost_images_in_a_row_are_an_error(monkeypatch):
    tried = []

    def read(path, *_, **__):
        tried.append(path)
        if path != 9:
            raise images.CannotRead(path, "gone")
        return np.zeros((32, 48, 3), np.uint8)

    monkeypatch.setattr(images, "read", read)
    dataset = training_images(([*range(20)], []))
    with pytest.raises(RunFailed, match=r"10 .* be read, the last is 7: gone; check the disk, .*--resume"):
        dataset[[(18, (0,))]]
    assert tried == [18, 19, *range(8)]
    items = [dataset[[(0, (0,))]]]
    assert dataset.collate(items)[1] == dict.fromkeys(range(9), ("gone", 9))
    assert dataset.collate(items)[1] == {}


@pytest.mark.parametrize("error", [RunFailed("images are lost"), ValueError("a fault of the program")])
def test_a_failure_in_a_loading_process_ends_all_of_them(error, six, monkeypatch):
    """While the error is still referenced: such a process ignores SIGTERM, and the program would wait."""

    def fail(*_):
        raise error

    monkeypatch.setattr(batches.TrainingImages, "_photo", fail)
    with pytest.raises(type(error)) as failed:
        batches_of(six, 2, 1)
    assert multiprocessing.active_children() == []
    lines = str(failed.value).splitlines()
    assert str(error) in lines[-1] and (len(lines) == 1) == (type(error) is RunFailed)


def test_a_loading_process_that_does_not_end_by_itself_is_killed(six, monkeypatch):
    def hang(self, path):
        time.sleep(600)

    monkeypatch.setattr(batches.TrainingImages, "_pair", hang)
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.1)  # PyTorch's timeout
    dataset = training_images(six)
    draws = itertools.chain([[[(0, (0,))]]], [[[(0, (0,))] * 3]] * 10)  # a photo alone, then pairs
    loader = batches.load_batches(dataset, draws, 1, CPU)
    next(loader)
    loader.close()
    assert multiprocessing.active_children() == []


def test_shared_memory_and_a_long_tmpdir_limit_the_workers(monkeypatch, tmp_path, capsys):
    """Each may have two batches in shared memory, the program itself two more."""
    size = 16 * 3 * 3 * 256**2
    monkeypatch.setattr(batches, "SHARED", tmp_path)
    monkeypatch.setattr(batches.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=64 * 2**20))
    assert [batches.with_room(workers, size) for workers in (8, 2, 0)] == [2, 2, 0]
    expected = f"8 processes that load images need 170 MB in {tmp_path}, which has 67 MB: using 2; "
    assert capsys.readouterr().err.startswith(expected)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert batches.with_room(1, size) == 0
    for length, room in ((60, 2), (70, 0)):
        monkeypatch.setattr(batches.tempfile, "tempdir", "/" + "a" * length)
        assert batches.with_room(2, 100) == room
    assert "TMPDIR is too long for processes that load images, so none are used: /" in capsys.readouterr().err
