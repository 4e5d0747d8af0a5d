"""data/frames.py on a synthetic film: drawings, a black gap, a fade, a blur, credits, repeats, bars, pan."""

from fractions import Fraction

import films
import numpy as np
import pytest
from helpers import ROOT
from PIL import Image, ImageDraw, ImageFilter

from data import frames, screening
from pictures import images
from pictures.images import cv2
from utils import WrongUse

BAR = 30  # pixels: height of the bars above and below the film's pictures
PLACES = [(x, y) for y in (0, 128) for x in (0, 128, 256)]


def drawing(number, left=0):
    """A picture of the film without bars, of six drawings of the sample data, from `left` on."""
    files = sorted((ROOT / "data/sample/tgt_data/train").iterdir())[6 * number :: len(PLACES) * 9]
    whole = Image.new("RGB", (384, 256))
    for place, file in zip(PLACES, files, strict=False):
        whole.paste(Image.open(file), place)
    return whole.crop((left, 38, left + 320, 218))


def credits():
    page = Image.new("RGB", (320, 180))
    for row in range(5):
        ImageDraw.Draw(page).text((40, 20 + 30 * row), f"Background art  {row} Somebody Else", "white")
    return page


SCENES = [  # one second each
    drawing(1),
    Image.new("RGB", (320, 180)),
    drawing(2),
    drawing(1),
    drawing(3).filter(ImageFilter.GaussianBlur(4)),
    credits(),
    drawing(4),
    drawing(2, left=4),
    drawing(7).point(lambda value: value // 8),
    drawing(5),
]
KEPT = [0, 2, 6, 9]


def write(path, scenes, bar=BAR, **how):
    pictures = [np.pad(scene, [(bar, bar), (0, 0), (0, 0)]) for scene in scenes for _ in range(10)]
    films.make(path, pictures, range(0, 100 * len(pictures), 100), None, options={"crf": "18"}, **how)


def written(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "My film.mp4"
    write(path, SCENES)
    return path


@pytest.mark.parametrize("how", [["--every", "1", "--similar", "1"], ["--cuts"]])
def test_which_frames_are_kept_and_which_are_dropped(film, tmp_path, capsys, how):
    out = tmp_path / "new/out"
    assert not frames.main([str(film), str(out), *how])
    offset = "000" if how[0] == "--every" else "300"
    assert written(out) == [f"My film_{second:06}_{offset}.png" for second in KEPT]
    for name, second in zip(written(out), KEPT, strict=True):  # two lines are cut off beside each bar
        assert abs(images.read(out / name).astype(int) - np.asarray(SCENES[second])[2:-2]).mean() < 6
    output = capsys.readouterr().out
    assert f"4 of 10 frames in {out}; dropped 2 black, 1 credits, 1 blurred, 2 near-dup" in output
    assert "black bars cut off: 320x240 became 320x176\n" in output


def test_a_slow_pan_gives_few_frames_and_the_sheet_shows_all_with_reasons(tmp_path, monkeypatch):
    row = Image.new("RGB", (128 * 6, 180))
    for place, file in enumerate(sorted((ROOT / "data/sample/tgt_data/train").iterdir())[::60]):
        row.paste(Image.open(file).resize((128, 180)), (128 * place, 0))
    seen = [row.crop((left, 0, left + 320, 180)) for left in range(0, 400, 40)]  # 1/8 of the width each
    monkeypatch.setattr(frames.Sheet, "COLUMNS", 5)
    monkeypatch.setattr(frames.Sheet, "ROWS", 2)
    write(tmp_path / "pan.mp4", [*seen, SCENES[1]], bar=0)
    for similar, kept in (("0.6", [0, 4, 8]), ("1", range(10))):  # after four seconds half of it is new
        frames.main([str(tmp_path / "pan.mp4"), str(tmp_path / similar), "--similar", similar])
        assert [int(name[4:10]) for name in written(tmp_path / similar)] == [*kept]
    page = images.read(tmp_path / "0.6_pan_sheet_1.jpg").astype(int)
    assert page.shape == (2 * (90 + 14), 5 * 160, 3)
    assert images.read(tmp_path / "0.6_pan_sheet_2.jpg").shape == (90 + 14, 5 * 160, 3)  # the black frame
    for place, (scene, light) in enumerate(zip(seen[:5], (1, 0.5, 0.5, 0.5, 1), strict=True)):
        expected = light * np.asarray(scene.resize((160, 90), Image.Resampling.BOX)).astype(int)
        assert abs(page[:90, 160 * place : 160 * (place + 1)] - expected).mean() < 8
        assert page[90:104, 160 * place : 160 * (place + 1)].max() > 120  # a line of text


def test_interval_limits_and_format_apply_and_frames_are_never_overwritten(film, tmp_path):
    part = f"{film}\n{tmp_path}\n--every=0.5\n--start=2\n--end=7\n--format=jpg".split("\n")
    frames.main(part)
    assert written(tmp_path) == [f"My film_{second:06}_000.jpg" for second in (2, 3, 6)]
    with pytest.raises(WrongUse, match="already holds frames of My film: name another folder"):
        frames.main(part)
    write(tmp_path / "My.mp4", [drawing(1)])
    frames.main([str(tmp_path / "My.mp4"), str(tmp_path)])  # another film may share the folder
    assert (tmp_path / "My_000000_000.png").is_file()
    tenths = [(place / 10, None) for place in range(12)]
    assert [time for time, _ in frames.at_intervals(tenths, 0.25)] == [0, 0.3, 0.5, 0.8, 1]


@pytest.mark.parametrize("upright", [True, False])
def test_pixels_become_square_and_a_rotated_film_upright(tmp_path, upright):
    write(tmp_path / "a.mp4", [drawing(1)], bar=0, sample_aspect_ratio=Fraction(2, 1))
    if not upright:
        films.set_display_matrix(tmp_path / "a.mp4", 0, 1, 1, 0)
    frames.main([str(tmp_path / "a.mp4"), str(tmp_path / "out")])
    result = images.read(tmp_path / "out/a_000000_000.png").swapaxes(0, int(not upright))
    assert result.shape == (180, 640, 3)  # without bars nothing is cut off
    assert abs(result[:, ::2].astype(int) - np.asarray(drawing(1))).mean() < 12


def test_a_broadcast_is_read_from_its_first_frame_and_across_a_clock_jump(tmp_path):
    for name, scenes in (("a", SCENES[:3]), ("b", SCENES[3:])):
        write(tmp_path / f"{name}.ts", scenes)
    (tmp_path / "ab.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    for start, kept in (("0", KEPT), ("1", [2, 3, 6, 9])):
        frames.main([str(tmp_path / "ab.ts"), str(tmp_path / start), "--start", start])
        assert written(tmp_path / start) == [f"ab_{second:06}_000.png" for second in kept]


def test_dark_scenes_and_a_stray_subtitle_do_not_move_the_crop():
    rng = np.random.default_rng(0)
    greys = np.zeros((40, 100, 160), np.uint8)
    greys[:, 10:-20, 6:] = rng.integers(0, 256, (40, 70, 154))
    greys[:30, 10:50] = 8  # a night sky in most of the film
    greys[3, 85:95, 40:120] = 255
    assert screening.picture_area(greys) == (slice(12, 78), slice(8, 160))
    assert screening.picture_area([]) == (slice(0, None), slice(0, None))


def test_sharpness_does_not_depend_on_contrast_and_falls_with_blur():
    step = np.full((64, 64), 60, np.uint8)
    step[:, 32:] = 240
    assert screening.sharpness(step) == screening.sharpness(step // 2) == 1
    blurred = [screening.sharpness(cv2.GaussianBlur(step, (0, 0), sigma)) for sigma in (1, 2, 4)]
    assert blurred == sorted(blurred, reverse=True)
    # The median window, which holds all of a sharp edge, holds four fifths of one blurred by a pixel.
    assert blurred[0] == pytest.approx(0.383 / 0.77, abs=0.01)  # erf(0.5 / sqrt 2), the steepest step's share
    assert screening.sharpness(np.full((64, 64), 99, np.uint8)) == 0


def test_the_share_of_a_frame_that_an_earlier_one_also_shows():
    grey = np.asarray(drawing(1).convert("L"))
    features = screening.find_features(grey)
    moved = np.pad(grey[:, 80:], ((0, 0), (0, 80)))
    assert screening.shared(grey, *features, moved, *screening.find_features(moved)) == pytest.approx(
        240 / 320, abs=0.05
    )
    for other in (np.zeros_like(grey), np.random.default_rng(0).integers(0, 256, grey.shape, np.uint8)):
        assert screening.shared(grey, *features, other, *screening.find_features(other)) == 0
