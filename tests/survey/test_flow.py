import numpy as np
import pytest
import torch

from survey import flow
from utils import WrongUse


def moved(x, y, height=6, width=8):
    return torch.tensor([x, y], dtype=torch.float32).view(1, 2, 1, 1).expand(1, 2, height, width)


def texture(height, width):
    """A smooth picture with detail everywhere, uint8 (H,W,3)."""
    noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return flow.images.resize(noise, width, height)


def test_a_warp_by_whole_pixels_is_a_shift():
    picture = torch.rand(1, 3, 6, 8)
    found = flow.warp(picture, moved(2, -1))
    assert torch.allclose(found[..., 1:, :6], picture[..., :-1, 2:], atol=1e-5)
    assert torch.allclose(found[..., 3, 7], picture[..., 2, 7], atol=1e-5)  # the edge is repeated


def test_a_warp_between_pixels_is_their_mean():
    picture = torch.rand(1, 3, 6, 8)
    found = flow.warp(picture, moved(0.5, 0))
    assert torch.allclose(found[..., :7], (picture[..., :7] + picture[..., 1:]) / 2, atol=1e-5)


def test_what_lay_outside_is_not_seen():
    mask = flow.inside(moved(3, -2))
    assert mask.shape == (1, 1, 6, 8) and mask.unique().tolist() == [0, 1]
    assert mask[..., 2:, :5].all() and mask[..., :2, :].sum() == 0 and mask[..., 5:].sum() == 0


def test_a_pans_flow_gives_back_its_second_frame():
    random = np.random.default_rng(1)
    ways = set()
    for _ in range(20):
        before, now, there, mask = flow.pan(texture(40, 60), 24, 32, 5, random)
        to_tensor = lambda frame: torch.from_numpy(frame.copy()).float().permute(2, 0, 1)[None]
        assert before.shape == now.shape == (24, 32, 3) and there.abs().max() <= 5
        error = mask * (flow.warp(to_tensor(before), there) - to_tensor(now))
        assert error.abs().max() < 0.1
        across, down = there[0, :, 0, 0].abs().tolist()
        assert mask.sum() == (32 - across) * (24 - down)
        ways.add((across, down))
    assert len(ways) > 5


def test_a_photo_of_the_windows_size_stands_still():
    before, now, there, mask = flow.pan(texture(24, 32), 24, 32, 5, np.random.default_rng(0))
    assert np.array_equal(before, now) and there.abs().max() == 0 and mask.all()


def test_dis_finds_a_known_motion_and_what_came_into_view():
    picture = texture(96, 136)
    before, now = picture[:, :128], picture[:, 8:]  # what is seen moves by 8 to the left
    there, mask = flow.find(before, now)
    inner = there[..., 16:-16, 16:-24]
    assert (inner - torch.tensor([8.0, 0]).view(2, 1, 1)).abs().median() < 0.1
    assert mask[..., :-8].mean() > 0.99 and mask[..., -8:].max() == 0


def test_what_was_hidden_is_not_seen():
    """A square moves by 6 to the right over ground that stands; it uncovers the 6 columns at its left."""
    there, back = torch.zeros(2, 1, 2, 20, 40)
    back[:, 0, 5:15, 10:20] = 6  # before it was at 10 to 20
    there[:, 0, 5:15, 16:26] = -6
    mask = flow.visible(there, back)
    hidden = torch.zeros(1, 1, 20, 40)
    hidden[..., 5:15, 10:16] = 1
    assert mask.equal(1 - hidden)


def test_frames_of_a_film(tmp_path):
    films = pytest.importorskip("films")
    films.make(tmp_path / "film.mp4", times=films.EVEN)
    frames = flow.read_film(tmp_path / "film.mp4", 32, 7)
    assert len(frames) == 7 and frames[0].shape == (24, 32, 3)
    with pytest.raises(WrongUse, match="16 pixels a side"):
        flow.read_film(tmp_path / "film.mp4", 20, 7)
    (tmp_path / "no.mp4").write_bytes(b"no film")
    with pytest.raises(WrongUse, match=r"cannot read .*no\.mp4"):
        flow.read_film(tmp_path / "no.mp4", 32, 7)
