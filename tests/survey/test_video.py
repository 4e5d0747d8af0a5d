import json

import numpy as np
import pytest
import torch
from helpers import VGG

import networks
from CartoonGAN import total_variation
from pictures import checkpoints
from survey import feedforward, flow, video
from utils import WrongUse, to_image


@pytest.fixture(scope="module")
def vgg():
    return checkpoints.load_vgg(VGG)


@pytest.fixture
def words(data, tmp_path):
    """The arguments of a tiny run."""
    photo, drawing = data / "src_data/test/0.jpg", data / "tgt_data/train/0.jpg"
    places = [photo, drawing, tmp_path / "out.png", "--photos", data / "src_data/train", "--vgg_model", VGG]
    return [*map(str, places), "--device", "cpu", "--size", "64"]


def of_film(words, film, *more):
    return [*words[:3], "--film", str(film), *words[5:], *more]


def still(height=16, width=24):
    return torch.zeros(1, 2, height, width), torch.ones(1, 1, height, width)


def pictures(count, height=16, width=24):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_a_film_that_stands_still_has_no_temporal_error():
    (frame,) = pictures(1).split(1)
    assert video.temporal_error(frame, frame, *still()) < 1e-9


def test_the_temporal_error_by_hand():
    before = pictures(1)
    moved = torch.tensor([1.0, 0]).view(1, 2, 1, 1).expand(1, 2, 16, 24)
    now = before.roll(-1, 3)  # what was at x + 1; the last column came from elsewhere
    assert video.temporal_error(before, now, moved, flow.inside(moved)).item() == pytest.approx(0, abs=1e-9)
    error = video.temporal_error(before, now + 0.5, moved, flow.inside(moved))
    assert error.item() == pytest.approx(0.25, rel=1e-4)
    assert video.temporal_error(before, now, *still()) > 0.1
    assert video.temporal_error(before, now, moved, torch.zeros(1, 1, 16, 24)) == 0


def test_an_untrained_network_shows_the_frame():
    torch.manual_seed(0)
    frame = pictures(1, 64, 64)
    with torch.no_grad():
        result = networks.Generator(**video.SHAPE)(frame)
    assert torch.corrcoef(torch.stack([frame.flatten(), result.flatten()]))[0, 1] > 0.7


def test_the_terms_of_the_objective(vgg, words):
    args = video.parse([*words, "--content=2", "--style=3", "--tv=4", "--temporal=5"])
    network, drawing = networks.Generator(**video.SHAPE), pictures(1, 40, 32)
    before, now = pictures(2).split(1)
    motion = still()
    terms = video.make_objective(args, vgg, network, drawing)(before, now, *motion)
    results = torch.cat([networks.stylise(network, frame) for frame in (before, now)])
    loss = feedforward.make_loss(vgg, drawing, "relu4_2", video.STYLE)(results, torch.cat([before, now]))
    expected = {"content": 2 * loss["content"], "style": 3 * loss["style"]}
    expected |= {"tv": 4 * total_variation(results)}
    expected["temporal"] = 5 * (results[0] - results[1]).square().mean()
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-3)


def test_pairs_of_photographs_and_of_the_photo(words):
    photo = pictures(1, 48, 64)
    learned, measured = video.pairs_of(video.parse([*words, "--batch_size", "2"]), photo)
    before, now, moved, mask = video.to_batch([next(learned), next(learned)], photo.device)
    assert before.shape == now.shape == (2, 3, 32, 32) and moved.abs().max() <= 4
    assert video.temporal_error(before, now, moved, mask) < 1e-9
    assert len(measured) == video.MEASURED
    again, _ = video.pairs_of(video.parse(words), photo)
    assert np.array_equal(next(again)[0], to_image(before[0]))


def test_the_last_tenth_of_a_film_is_not_learned_from(words, tmp_path, monkeypatch):
    frames = [np.full((16, 24, 3), number, np.uint8) for number in range(40)]
    monkeypatch.setattr(flow, "read_film", lambda *_: frames)
    (tmp_path / "film.mp4").touch()
    learned, measured = video.pairs_of(video.parse(of_film(words, tmp_path / "film.mp4")), None)
    known = {(int(before.max()), int(now.max())) for before, now, *_ in (next(learned) for _ in range(300))}
    assert known <= {(n, n + 1) for n in range(35)} and len(known) > 30
    assert [int(pair[0].max()) for pair in measured] == [35, 36, 37, 38]


def test_a_run_lowers_its_objective_and_test_py_applies_its_network(words, tmp_path, run_cli):
    video.main([*words, "--steps", "2"])
    before = json.loads((tmp_path / "out.json").read_text())["losses"]
    video.main([*words, "--steps", "20"])
    after = json.loads((tmp_path / "out.json").read_text())["losses"]
    terms = ("content", "style", "tv", "temporal")
    assert sum(after[name] for name in terms) < sum(before[name] for name in terms) / 2
    assert after["temporal_error_of_frames"] < 1e-9 < after["temporal_error_of_results"]
    network = checkpoints.load_generator(tmp_path / "out.pth")
    assert network.architecture["ngf"] == 16
    words = f"--pre_trained_model {tmp_path}/out.pth --image_dir {words[0]} --output_image_dir {tmp_path}/o"
    assert run_cli("test.py", *words.split(), "--device", "cpu").returncode == 0


def test_the_temporal_loss_makes_results_steadier(words, tmp_path):
    errors = []
    for weight in ("0", "1000"):
        video.main([*words, "--steps", "15", "--temporal", weight])
        errors.append(json.loads((tmp_path / "out.json").read_text())["losses"]["temporal_error_of_results"])
    assert errors[1] < errors[0] / 2


def test_the_same_seed_gives_the_same_network_from_a_film(words, tmp_path):
    films = pytest.importorskip("films")
    films.make(tmp_path / "film.mp4", times=films.EVEN)
    made = []
    for seed in ("5", "5", "6"):
        video.main(of_film(words, tmp_path / "film.mp4", "--steps", "1", "--frames", "12", "--seed", seed))
        made.append(next(iter(checkpoints.load(tmp_path / "out.pth")["state_dict"].values())))
    assert made[0].equal(made[1]) and not made[0].equal(made[2])
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["losses"]["temporal_error_of_frames"] < 1e-3  # it shows one picture


def test_wrong_use_is_told_in_a_line(words, tmp_path):
    with pytest.raises(WrongUse, match="--photos DIR or --film FILE is needed"):
        video.main(words[:3])
    with pytest.raises(WrongUse, match="not both"):
        video.main([*words, "--film", words[0]])
    with pytest.raises(WrongUse, match=r"no film .*no\.mp4"):
        video.main(of_film(words, tmp_path / "no.mp4"))
    (tmp_path / "bad.mp4").write_bytes(b"no film")
    with pytest.raises(WrongUse, match=r"cannot read .*bad\.mp4"):
        video.main(of_film(words, tmp_path / "bad.mp4"))
