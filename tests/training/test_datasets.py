import itertools
import multiprocessing
import shutil

import numpy as np
import pytest
import torch

import utils
from pictures import images
from training import datasets, options
from utils import RunFailed, WrongUse


def options_of(data, *more):
    folders = ["--src_data", f"{data}/src_data", "--tgt_data", f"{data}/tgt_data"]
    return options.parse_training([*folders, "--batch_size", "4", "--input_size", "32", *more])[0]


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


# Finding and checking


def test_find(data, capsys):
    found = datasets.prepare(options_of(data), drawings=True)
    assert found.photos == files(data / "src_data/train")
    assert found.tests == files(data / "src_data/test")
    assert found.pairs == files(data / "tgt_data/pair/32") and len(found.pairs) == 6
    counts = {kind: (entry["count"], entry["left out"]) for kind, entry in found.record.items()}
    assert counts == {"photographs": (6, 0), "test photographs": (3, 0), "drawings": (6, 0)}
    assert capsys.readouterr() == ("", "")


def test_squashed_pairs_have_a_folder_of_their_own_and_pair_dir_moves_it(data, tmp_path):
    args = options_of(data, "--resize", "squash", "--pair_dir", f"{tmp_path}/elsewhere")
    assert datasets.prepare(args, drawings=True).pairs == files(tmp_path / "elsewhere/32_squash")
    assert not (data / "tgt_data/pair").exists()


def test_without_a_discriminator_no_drawings_are_needed(data):
    shutil.rmtree(data / "tgt_data")
    found = datasets.prepare(options_of(data), drawings=False)
    assert len(found.photos) == 6 and found.pairs == [] and "drawings" not in found.record


@pytest.mark.parametrize("part", ["src_data/train", "src_data/test", "tgt_data/train"])
def test_a_missing_or_empty_folder_is_told_with_the_layout(data, part):
    layout = r"SRC_DATA/\{train,test\} hold photographs and TGT_DATA/train drawings"
    for file in files(data / part):
        file.rename(file.with_suffix(".gif"))
    with pytest.raises(WrongUse, match=f"no images in {data / part}: {layout}"):
        datasets.prepare(options_of(data), drawings=True)
    shutil.rmtree(data / part)
    with pytest.raises(WrongUse, match=f"no folder {data / part}: {layout}"):
        datasets.prepare(options_of(data), drawings=True)


@pytest.mark.parametrize(
    ("part", "wanted"), [("src_data/train", "photographs"), ("tgt_data/train", "drawings")]
)
def test_fewer_than_a_batch(data, part, wanted):
    for file in files(data / part)[3:]:
        file.unlink()
    with pytest.raises(WrongUse, match=f"3 {wanted} in {data / part}, at least 4 needed: .*--batch_size"):
        datasets.prepare(options_of(data), drawings=True)
    found = datasets.prepare(options_of(data, "--batch_size", "3"), drawings=True)
    assert len(found.photos if wanted == "photographs" else found.pairs) == 3


@pytest.mark.parametrize(
    ("part", "wanted"), [("src_data/train", "photographs"), ("tgt_data/train", "drawings")]
)
def test_unreadable_images_are_left_out_while_a_batch_remains(data, part, wanted, capsys):
    whole = datasets.prepare(options_of(data), drawings=True)
    for file in files(data / part)[:2]:
        file.write_text("no image")
    found = datasets.prepare(options_of(data), drawings=True)
    assert len(found.photos if wanted == "photographs" else found.pairs) == 4
    assert capsys.readouterr().err == "".join(
        f"left out {data / part}/{number}.jpg: not an image\n" for number in (0, 1)
    )
    assert (found.record[wanted]["count"], found.record[wanted]["left out"]) == (4, 2)
    assert found.record[wanted]["fingerprint"] != whole.record[wanted]["fingerprint"]

    files(data / part)[2].write_bytes(b"")
    told = f"3 readable {wanted} in {data / part}, at least 4 needed"
    with pytest.raises(WrongUse, match=told):
        datasets.prepare(options_of(data), drawings=True)
    assert f"left out {data / part}/2.jpg: the file is empty\n" in capsys.readouterr().err


def test_test_photographs_need_no_batch_but_one_that_can_be_read(data):
    tests = files(data / "src_data/test")
    tests[0].write_text("no image")
    assert datasets.prepare(options_of(data), drawings=True).tests == tests[1:]
    for file in tests:
        file.write_text("no image")
    with pytest.raises(WrongUse) as error:
        datasets.prepare(options_of(data), drawings=True)
    assert str(error.value) == f"0 readable photographs in {data}/src_data/test, at least 1 needed: add some"


def test_a_photograph_in_train_and_test_is_warned_of_whatever_its_name(data, capsys):
    for number in (0, 1):
        shutil.copy(data / f"src_data/train/{number}.jpg", data / f"src_data/test/same_{number}.jpg")
    datasets.prepare(options_of(data), drawings=True)
    said = f"warning: 2 photographs stand in both {data}/src_data/train and {data}/src_data/test\n"
    assert capsys.readouterr().err == said


def test_the_fingerprint_tells_the_content_not_the_names(data):
    before = datasets.prepare(options_of(data), drawings=True).record
    files(data / "src_data/train")[0].rename(data / "src_data/train/z.jpg")
    assert datasets.prepare(options_of(data), drawings=True).record == before


def test_numbered_pairs_are_used_as_they_are_when_no_sized_folder_exists(data, capsys):
    pair_dir = data / "tgt_data/pair"
    pair_dir.mkdir()
    for number in (10, 9, 1, 2):
        images.write(pair_dir / f"{number}.png", np.full((256, 512, 3), number, np.uint8))
    (pair_dir / "notes.txt").touch()
    drawings = data / "tgt_data/train"
    drawings.rename(data / "away")
    found = datasets.prepare(options_of(data), drawings=True)
    assert [path.name for path in found.pairs] == ["1.png", "2.png", "9.png", "10.png"]
    assert f"4 ready-made pairs in {pair_dir}" in capsys.readouterr().err

    (data / "away").rename(drawings)
    (pair_dir / "256").mkdir()
    assert datasets.prepare(options_of(data), drawings=True).pairs == files(pair_dir / "32")


# The stream of batches


def stream(count, *place, photos=10, drawings=7, batch=3, seed=0, independent=False):
    """The first `count` batches from place (phase, epoch, step), each a list of draws."""
    draws = datasets.draws(photos, drawings, batch, seed, *place, independent)
    return list(itertools.islice(draws, count))


def shown(batches, role):
    return [item[role][0] for batch in batches for item in batch]


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
    assert len({tuple(map(tuple, batches)) for batches in streams}) == 4
    assert stream(3, 2, 1, 0) == stream(3, 2, 1, 0)


def test_every_draw_has_a_random_key_of_its_own():
    for independent, smoothed_keys in ((False, 0), (True, 90)):
        batches = stream(30, 2, 1, 0, independent=independent)
        keys = {draw[1] for batch in batches for item in batch for draw in item}
        assert len(keys) == 90 + 90 + smoothed_keys


def test_smoothed_drawings_are_those_of_the_batch_or_independent_ones():
    together, apart = (stream(20, 2, 1, 0, independent=way) for way in (False, True))
    assert all(drawing == smoothed for batch in together for _, drawing, smoothed in batch)
    assert shown(together, 1) == shown(apart, 1) != shown(apart, 2)
    assert set(shown(apart, 2)) == set(range(7))


def test_phase_one_draws_photographs_alone():
    assert all(len(item) == 1 for batch in stream(4, 1, 1, 0, drawings=0) for item in batch)


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
    return datasets.TrainingImages(*made[:2], size, resize, photo_channels, drawing_channels)


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


def batches_of(data, workers, count):
    found = datasets.prepare(options_of(data), drawings=True)
    dataset = datasets.TrainingImages(found.photos, found.pairs, 32, "crop", 3, 3)
    draws = datasets.draws(6, 6, 4, 0, 2, 1, 0)
    loader = datasets.load_batches(dataset, draws, workers, torch.device("cpu"))
    batches = list(itertools.islice(loader, count))
    loader.close()
    return batches


def test_batches_are_the_same_for_any_number_of_workers(data):
    alone, apart = batches_of(data, 0, 4), batches_of(data, 2, 4)
    for one, other in zip(alone, apart, strict=True):
        assert [image.shape for image in one] == [(4, 3, 32, 32)] * 3
        assert all(image.is_contiguous(memory_format=torch.channels_last) for image in one)
        assert all(torch.equal(*same) for same in zip(one, other, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_text("no image")])
def test_a_run_whose_images_are_all_lost_ends_in_one_line(made, workers, damage):
    damage(made[0][0])
    draws = datasets.draws(1, 0, 1, 0, 1, 1, 0)
    with pytest.raises(RunFailed) as error:
        next(datasets.load_batches(training_images(made), draws, workers, torch.device("cpu")))
    assert str(error.value).startswith(f"training images are lost, 1 in a row, the last is {made[0][0]}: ")
    assert "\n" not in str(error.value)
    assert multiprocessing.active_children() == []


def test_a_pure_red_file_becomes_1_minus_1_minus_1(data):
    red = np.full((50, 60, 3), (255, 0, 0), np.uint8)
    for number in range(6):
        (data / f"src_data/train/{number}.jpg").unlink()
        images.write(data / f"src_data/train/{number}.png", red)
    ((photo, *_),) = batches_of(data, 0, 1)
    assert torch.equal(
        utils.to_range(photo), torch.tensor([1.0, -1, -1]).view(1, 3, 1, 1).expand(4, 3, 32, 32)
    )
