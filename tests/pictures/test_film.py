"""Films read as a player shows them: orientation, colours, times."""

import films
import numpy as np
import pytest
from helpers import SHARED

from pictures import film
from utils import WrongUse

av = films.av


def shown(path):
    """The frames of a film as RGB arrays."""
    with av.open(str(path)) as file:
        return [film.picture(*found) for found in film.play(file, file.streams.video[0])]


def times(path):
    with av.open(str(path)) as file:
        return [frame.time for _, frame in film.play(file, file.streams.video[0])]


def test_an_older_pyav_is_refused(monkeypatch):
    monkeypatch.setattr(av, "__version__", "16.1.0")
    with pytest.raises(WrongUse, match=r"needs PyAV 17 or later, this is 16.1.0: pip install -U av"):
        film.library()


# Orientation: what each display matrix does, written with arrays

MATRICES = {
    (1, 0, 0, 1): lambda x: x,
    (-1, 0, 0, 1): lambda x: x[:, ::-1],
    (1, 0, 0, -1): lambda x: x[::-1],
    (-1, 0, 0, -1): lambda x: np.rot90(x, 2),
    (0, 1, -1, 0): lambda x: np.rot90(x, -1),
    (0, -1, 1, 0): lambda x: np.rot90(x, 1),
    (0, 1, 1, 0): lambda x: x.swapaxes(0, 1),
    (0, -1, -1, 0): lambda x: np.rot90(x, 2).swapaxes(0, 1),
}


@pytest.mark.parametrize("matrix", MATRICES)
def test_the_whole_display_matrix_is_applied(tmp_path, matrix):
    given = films.halves(48, 64)
    given[:24, :32] = 240
    films.make(tmp_path / "a.mp4", given, [0], sound=None)
    films.show(tmp_path / "a.mp4", *matrix)
    (made,) = shown(tmp_path / "a.mp4")
    wanted = MATRICES[matrix](given)
    assert made.shape == wanted.shape
    assert np.abs(made.astype(int) - wanted).mean() < 5
    assert made.flags.c_contiguous


def test_side_data_that_pyav_does_not_know_leaves_the_rotation():
    class Frame:
        rotation = 90

        @property
        def side_data(self):
            raise ValueError("31 is not a valid Type")

    stored = np.arange(24).reshape(2, 4, 3)
    for Frame.rotation in (0, 90, 180, -90, -180):
        wanted = np.rot90(stored, round(Frame.rotation / 90))
        assert np.array_equal(film.upright(stored, Frame()), wanted)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
def test_the_mirrored_film_of_the_cases():
    picture = shown(SHARED / "cases/hflip.mp4")[0].astype(int)
    for row, column, colour in ((40, 20, (60, 60, 220)), (20, 90, (220, 40, 40)), (50, 90, (40, 200, 60))):
        assert np.abs(picture[row, column] - colour).max() < 10


# Colours


@pytest.mark.skipif(film._release(av) < 18, reason="this PyAV does not map HDR")
@pytest.mark.parametrize(("transfer", "white"), [(18, 0.75), (16, 0.58)])  # HLG, PQ: white of BT.2408
def test_the_white_of_hdr_becomes_white_and_black_stays(tmp_path, transfer, white):
    frame = films.grey([round(64 + 876 * white)] * 32 + [64] * 32)
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": transfer, "color_range": 1}
    films.make(tmp_path / "a.mp4", frame, [0], sound=None, **tags)
    (picture,) = shown(tmp_path / "a.mp4")
    assert picture[:28].min() > 225 and picture[36:].max() < 6
    assert np.ptp(picture, axis=2).max() < 4  # grey stays grey


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
def test_the_colours_of_the_cases():
    named = np.array(
        [(220, 40, 40), (40, 200, 60), (60, 60, 220), (240, 220, 40), (250, 250, 250), (20, 20, 20)]
    )
    flat = shown(SHARED / "cases/film709tag.mp4")[0].reshape(-1, 1, 3).astype(int)
    near = np.abs(flat - named).max(2) <= 6
    assert near.any(0).all() and near.any(1).mean() > 0.5


def test_rgb_and_grey_films_are_read(tmp_path):
    for codec, form in (("libx264rgb", "rgb24"), ("ffv1", "gray")):
        with av.open(str(tmp_path / "a.mkv"), "w") as file:
            stream = file.add_stream(codec, rate=25, options={"crf": "10"} if form == "rgb24" else {})
            stream.height, stream.width, stream.pix_fmt = 48, 64, form
            file.mux(stream.encode(av.VideoFrame.from_ndarray(films.halves(), "rgb24")))
            file.mux(stream.encode())
        (picture,) = shown(tmp_path / "a.mkv")
        wanted = np.array(films.LEFT) if form == "rgb24" else np.dot(films.LEFT, [0.299, 0.587, 0.114])
        assert np.abs(picture[20, 5] - wanted).max() < 6


@pytest.mark.parametrize(
    ("codec", "form", "name", "options"),
    [
        ("prores_ks", "yuva444p10le", "a.mov", None),
        ("libvpx-vp9", "yuva420p", "a.webm", None),
        ("libvpx", "yuva420p", "a.webm", {"auto-alt-ref": "0"}),
    ],
)
def test_what_is_transparent_is_white(tmp_path, codec, form, name, options):
    given = np.dstack([films.halves(), np.full((48, 64), 255, np.uint8)])
    given[:, 32:, 3] = 0
    stored = av.VideoFrame.from_ndarray(given, "rgba").reformat(format=form)
    films.make(tmp_path / name, stored, sound=None, codec=codec, options=options)
    found = shown(tmp_path / name)
    assert len(found) == len(films.TIMES)
    assert np.abs(found[0][20, 5].astype(int) - films.LEFT).max() < 8
    assert found[0][:, 40:].min() > 250


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
def test_the_transparent_film_of_the_cases():
    found = shown(SHARED / "cases/alpha_prores.mov")
    assert len(found) == 5 and all(picture[:, :75].min() > 250 for picture in found)


# Times


def test_times_count_from_the_beginning(tmp_path):
    films.make(tmp_path / "a.ts", times=films.EVEN, sound=None, start=70_000)
    assert times(tmp_path / "a.ts") == pytest.approx(np.arange(50) / 25, abs=1e-3)


def test_a_pause_is_a_jump_in_a_broadcast_alone(tmp_path):
    for name, last in (("a.mp4", 60.04), ("a.ts", 0.12)):
        films.make(tmp_path / name, times=[0, 40, 60_000, 60_040], sound=None)
        assert times(tmp_path / name)[-1] == pytest.approx(last, abs=0.06)


def test_damaged_packets_are_passed_over_and_counted(tmp_path, capsys):
    picture = av.VideoFrame.from_ndarray(films.halves(), "rgb24").reformat(format="gbrp")
    films.make(tmp_path / "a.avi", picture, films.EVEN, sound=None, codec="magicyuv")
    data = bytearray((tmp_path / "a.avi").read_bytes())
    with av.open(str(tmp_path / "a.avi")) as file:
        packets = [packet for packet in file.demux() if packet.size]
    for packet in packets[5:20]:
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    (tmp_path / "a.avi").write_bytes(data)
    found = times(tmp_path / "a.avi")
    told = capsys.readouterr().err
    assert len(found) == 35 and "a.avi: damaged packets passed over: 15\n" in told
    assert min(np.diff(found)) > 0.03
