"""Films read as a player shows them: orientation, colours, times, progressive frames of one size."""

from fractions import Fraction
from unittest import mock

import films
import numpy as np
import pytest

from pictures import film, film_convert, images

av = films.av


def frames(path):
    """(times, RGB frames) of a film."""
    with film.open_film(path) as file:
        video = film.video_stream(file)
        found = [(frame.time, film.to_rgb(video, frame)) for _, frame in film.play(video)]
    return [time for time, _ in found], [picture for _, picture in found]


def error(made, expected):
    return np.abs(np.array(made, int) - np.array(expected, int))


# What each display matrix (a, b, c, d) does to an array
MATRICES = {
    (-1, 0, 0, 1): lambda x: x[:, ::-1],
    (1, 0, 0, -1): lambda x: x[::-1],
    (0, 1, -1, 0): lambda x: np.rot90(x, -1),
    (0, -1, 1, 0): lambda x: np.rot90(x, 1),
}


@pytest.mark.parametrize("matrix", MATRICES)
def test_display_matrix(tmp_path, matrix):
    picture = films.halves(48, 64)
    picture[:24, :32] = 240
    films.make(tmp_path / "a.mp4", picture, [0], sound=None)
    films.set_display_matrix(tmp_path / "a.mp4", *matrix)
    (made,) = frames(tmp_path / "a.mp4")[1]
    assert made.shape == MATRICES[matrix](picture).shape
    assert error(made, MATRICES[matrix](picture)).mean() < 5


def test_unknown_side_data_leaves_the_rotation():
    frame = mock.Mock()
    type(frame).side_data = mock.PropertyMock(side_effect=ValueError("31 is not a valid Type"))
    found = [film.orientation(frame) for frame.rotation in (0, 90, -180, -90)]  # anticlockwise
    assert found == [(False, False, False), (True, True, False), (False, True, True), (True, False, True)]


def test_hdr_white_becomes_white_and_the_result_is_bt709(tmp_path, capsys):
    stored = av.VideoFrame(64, 64, "yuv420p10le")
    for plane in stored.planes:
        plane.update(np.full(plane.buffer_size // 2, 512, np.uint16).tobytes())
    rows = [round(64 + 876 * 0.75)] * 32 + [64] * 32  # HLG: white at 75% (ITU-R BT.2408), and black
    stored.planes[0].update(np.repeat(np.array(rows, np.uint16), 64).tobytes())
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": 18, "color_range": 1}
    films.make(tmp_path / "in.mp4", stored, [0], sound=None, **tags)
    film_convert.convert(tmp_path / "in.mp4", tmp_path / "out.mp4", lambda frame: frame)
    assert "in.mp4 is HDR (HLG): its colours are mapped" in capsys.readouterr().err
    with av.open(str(tmp_path / "out.mp4")) as file:
        context = file.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)
    for name in ("in.mp4", "out.mp4"):
        (made,) = frames(tmp_path / name)[1]
        assert made[:28].min() > 225 and made[36:].max() < 6
        assert np.ptp(made, axis=2).max() < 4  # grey stays grey


def test_transparent_pixels_are_white(tmp_path):
    picture = np.dstack([films.halves(), np.full((48, 64), 255, np.uint8)])
    picture[:, 32:, 3] = 0
    stored = av.VideoFrame.from_ndarray(picture, "rgba").reformat(format="yuva420p")
    films.make(tmp_path / "a.webm", stored, sound=None, codec="libvpx-vp9")
    made = frames(tmp_path / "a.webm")[1]
    assert len(made) == len(films.TIMES)
    assert error(made[0][20, 5], films.LEFT).max() < 8 and made[0][:, 40:].min() > 250


def test_a_pause_is_a_jump_only_in_a_broadcast(tmp_path):
    for name, last in (("a.mp4", 60.04), ("a.ts", 0.12), ("a.h264", 0.12)):  # the last has no times
        films.make(tmp_path / name, times=[0, 40, 60_000, 60_040], sound=None)
        assert frames(tmp_path / name)[0][-1] == pytest.approx(last, abs=0.06)


def test_damaged_packets_are_skipped_and_counted(tmp_path, capsys):
    picture = av.VideoFrame.from_ndarray(films.halves(), "rgb24").reformat(format="gbrp")
    films.make(tmp_path / "a.avi", picture, films.EVEN, sound=None, codec="magicyuv")
    data = bytearray((tmp_path / "a.avi").read_bytes())
    with av.open(str(tmp_path / "a.avi")) as file:
        packets = [packet for packet in file.demux() if packet.size]
    for packet in packets[5:20]:
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    (tmp_path / "a.avi").write_bytes(data)
    times, made = frames(tmp_path / "a.avi")
    assert len(times) == 35 and min(np.diff(times)) > 0.03
    assert error(made[0], films.halves()).max() == 0  # stored as RGB
    assert "a.avi: 15 damaged packets skipped\n" in capsys.readouterr().err


def write_interlaced(path, pictures):
    """Write a film whose frames are marked as interlaced; returns them as they are stored."""
    marked = {"crf": "8", "x264-params": "interlaced=1:tff=1"}
    films.make(path, pictures, films.EVEN[: len(pictures)], sound=None, options=marked)
    with av.open(str(path)) as file:
        assert next(file.decode(video=0)).interlaced_frame
    return films.read(path)[1]


def test_interlaced_frames_are_deinterlaced_and_falsely_marked_ones_are_unchanged(tmp_path):
    texture = np.random.default_rng(0).integers(0, 256, (12, 50, 1), np.uint8)
    texture = images.resize(texture, 400, 96).repeat(3, axis=2)  # moves by 8 pixels a frame
    first, second = ([texture[:, x : x + 160] for x in range(start, start + 96, 8)] for start in (0, 4))
    woven = [picture.copy() for picture in first]
    for picture, later in zip(woven, second, strict=True):
        picture[1::2] = later[1::2]
    stored = write_interlaced(tmp_path / "in.mp4", woven)
    times, made = frames(tmp_path / "in.mp4")
    assert times == pytest.approx(np.arange(12) / 25, abs=1e-3)
    assert error(made, first).mean() < 0.5 * error(stored, first).mean()
    progressive = write_interlaced(tmp_path / "in.mp4", first)
    assert error(frames(tmp_path / "in.mp4")[1], progressive).max() <= 1


def test_frames_that_change_size_keep_their_proportions(tmp_path, capsys):
    disc = np.zeros((96, 96, 3), np.uint8)
    disc[np.hypot(*(np.indices((96, 96)) - 47.5)) < 40] = 250
    parts = []
    for width, height, aspect in ((160, 96, Fraction(64, 45)), (96, 192, 1), (320, 96, 1)):
        picture = np.zeros((height, width, 3), np.uint8)
        inner = images.resize(disc, round(96 / aspect), 96)
        left, top = (width - inner.shape[1]) // 2, (height - 96) // 2
        picture[top : top + 96, left : left + inner.shape[1]] = inner
        films.make(tmp_path / "part.ts", picture, films.EVEN[:10], sound=None, sample_aspect_ratio=aspect)
        parts.append((tmp_path / "part.ts").read_bytes())
    (tmp_path / "in.ts").write_bytes(b"".join(parts))
    assert film_convert.convert(tmp_path / "in.ts", tmp_path / "out.mp4", lambda frame: frame) == 30
    assert capsys.readouterr().err.endswith("in.ts: its frames change size: all are fitted into 160x96\n")
    made = films.read(tmp_path / "out.mp4")[1]
    for picture, diameter in ((made[0], 80), (made[15], 40), (made[-1], 57)):
        lit = picture[..., 1] > 128
        assert picture.shape == (96, 160, 3)
        assert lit.any(1).sum() == pytest.approx(diameter, abs=3)
        assert lit.any(0).sum() * 64 / 45 == pytest.approx(diameter, abs=4)
        assert np.argwhere(lit).mean(0) == pytest.approx([47.5, 79.5], abs=2)
