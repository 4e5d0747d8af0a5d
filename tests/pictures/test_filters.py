"""Films whose frames are interlaced or change size."""

from fractions import Fraction

import films
import numpy as np
import pytest
from helpers import SHARED

from pictures import film, images, video

av = films.av


def shown(path):
    """The frames of a film as RGB arrays."""
    with film.opened(path) as file:
        stream = film.video_stream(file)
        return [film.picture(*found).astype(int) for found in film.play(file, stream)]


def write_interlaced(path, pictures):
    """Write a film whose frames are marked as interlaced; returns them as its own decoder gives them."""
    with av.open(str(path), "w") as file:
        marked = {"crf": "8", "x264-params": "interlaced=1:tff=1"}
        stream = file.add_stream("libx264", rate=25, options=marked)
        stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], "yuv420p"
        for place, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = place, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0))
        assert all(frame.interlaced_frame for frame in frames)
        return [film.picture(file.streams.video[0], frame).astype(int) for frame in frames]


def moving(count):
    """Pictures of a grey texture that moves by 8 pixels a picture, and as many half a picture later."""
    texture = np.random.default_rng(0).integers(0, 256, (12, 50, 1), np.uint8)
    texture = images.resize(texture, 400, 96).repeat(3, axis=2)
    parts = [range(start, start + 8 * count, 8) for start in (0, 4)]
    return [[texture[:, left : left + 160] for left in part] for part in parts]


def combed(pictures):
    """How much the rows of pictures differ from the two beside them, of 255."""
    return np.mean([np.abs(2 * each[1:-1] - each[:-2] - each[2:]).mean() for each in pictures])


def test_interlaced_frames_are_deinterlaced_and_keep_their_times(tmp_path):
    first, second = moving(12)
    woven = [picture.copy() for picture in first]
    for picture, later in zip(woven, second, strict=True):
        picture[1::2] = later[1::2]
    stored = write_interlaced(tmp_path / "in.mp4", woven)
    assert video.convert(tmp_path / "in.mp4", tmp_path / "out.mp4", lambda frame: frame) == 12
    made = shown(tmp_path / "in.mp4")
    assert combed(stored) > 3 * combed(made)
    assert np.abs(np.array(made) - first).mean() < 0.5 * np.abs(np.array(stored) - first).mean()
    times, written, _ = films.read(tmp_path / "out.mp4")
    assert times == pytest.approx(np.arange(12) / 25, abs=1e-3)
    assert np.abs(np.array(written, int) - made).mean() < 3


def test_progressive_frames_that_are_marked_as_interlaced_stay_as_they_are(tmp_path):
    stored = write_interlaced(tmp_path / "in.mp4", moving(12)[0])
    assert np.abs(np.array(shown(tmp_path / "in.mp4")) - stored).max() <= 1


def test_frames_that_change_size_keep_their_proportions(tmp_path, capsys):
    disc = np.zeros((96, 96, 3), np.uint8)
    disc[np.hypot(*(np.indices((96, 96)) - 47.5)) < 40] = 250
    parts = []
    for place, (width, height, pixel) in enumerate([(160, 96, Fraction(64, 45)), (96, 192, 1)]):
        picture = np.zeros((height, width, 3), np.uint8)
        inner = images.resize(disc, round(96 / pixel), 96)
        left, top = (width - inner.shape[1]) // 2, (height - 96) // 2
        picture[top : top + 96, left : left + inner.shape[1]] = inner
        path = tmp_path / f"{place}.ts"
        films.make(path, picture, films.EVEN[:10], sound=None, sample_aspect_ratio=pixel)
        parts.append(path.read_bytes())
    (tmp_path / "in.ts").write_bytes(b"".join(parts))
    assert video.convert(tmp_path / "in.ts", tmp_path / "out.mp4", lambda frame: frame) == 20
    assert capsys.readouterr().err.endswith("in.ts: its frames change size: all are fitted into 160x96\n")
    written = films.read(tmp_path / "out.mp4")[1]
    for picture, size in ((written[0], 80), (written[-1], 40)):
        assert picture.shape == (96, 160, 3)
        lit = picture[..., 1] > 128
        assert lit.any(1).sum() == pytest.approx(size, abs=3)
        assert lit.any(0).sum() * 64 / 45 == pytest.approx(size, abs=4)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
def test_the_cases():
    with av.open(str(SHARED / "cases/inter.mp4")) as file:
        stored = [frame.to_ndarray(format="rgb24").astype(int) for frame in file.decode(video=0)]
    made = shown(SHARED / "cases/inter.mp4")
    assert len(made) == len(stored) and combed(made) < 0.8 * combed(stored)
    made = shown(SHARED / "cases/reschange.ts")
    assert len(made) == 10 and {each.shape for each in made} == {(96, 160, 3)}
    lit = made[-1].max(2) > 32  # 96x160 pixels, in 160x96
    assert lit.any(0).sum() == pytest.approx(96 * 96 / 160, abs=3) and lit.any(1).sum() > 90
