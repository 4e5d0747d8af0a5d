"""Which files are images: by their names, in folders that people and their machines make."""

import os

import numpy as np
import pytest
from PIL import Image

from pictures import images, listing, plan

NEWER = ["h.jfif", "i.JPE", "j.jfi", "k.avif", "m.pjpeg"]


@pytest.fixture(autouse=True)
def nothing_said():
    listing.report_once.cache_clear()


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_find_goes_into_folders_and_leaves_hidden_and_other_files_out(tmp_path):
    folder = tmp_path / ".hidden above"
    wanted = ["B.JPG", "a.jpeg", "c.Png", "deep/er/d.webp", "e.tif", "f.TIFF", "g.bmp", "l.apng", *NEWER]
    for name in [*wanted, ".h.jpg", ".thumbnails/i.png", "j.txt", "k.gif", "jpg"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert [str(path) for path in listing.find_images(folder)] == sorted(wanted)


@pytest.mark.parametrize("name", [*NEWER, "a.jpg"])
def test_every_name_can_be_written_and_read(tmp_path, name):
    image = np.full((16, 24, 3), (200, 60, 40), np.uint8)
    images.write(tmp_path / name, image)
    with Image.open(tmp_path / name) as written:
        assert written.format == ("AVIF" if name == "k.avif" else "JPEG")
    assert np.abs(images.read(tmp_path / name).astype(int) - image).max() < 6


THUMBNAILS = [
    *("@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "__MACOSX/a.jpg", ".ipynb_checkpoints/a-checkpoint.png"),
    *("deep/@eaDir/b.png", "deep/.thumbs/b.png", "#recycle/c.png", "@Recycle/c.png", "$RECYCLE.BIN/c.png"),
]


def test_what_machines_put_among_pictures_is_no_picture(tmp_path, capsys):
    touch(tmp_path, "a.jpg", "deep/b.png", "# O-HAZY/c.png", *THUMBNAILS)
    wanted = ["# O-HAZY/c.png", "a.jpg", "deep/b.png"]
    assert [str(path) for path in listing.find_images(tmp_path)] == wanted
    for source in (str(tmp_path), f"{tmp_path}/**/*.*"):
        found = plan.find_pictures([source], tmp_path / "out")
        assert sorted(str(name) for _, name in found) == wanted
    assert capsys.readouterr().err == ""


def test_other_kinds_of_picture_are_counted_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(listing, "EXTENSIONS", listing.EXTENSIONS - listing.HEIF)
    touch(tmp_path, "a.jpg", "b.CR2", "deep/c.cr2", "d.heic", "e.gif", "notes.txt", "@eaDir/f.nef")
    for _ in range(2):
        listing.find_images(tmp_path, listing.EXTENSIONS)
    told = f"left out in {tmp_path}, kinds that are not read: 2 .cr2, 1 .gif, 1 .heic; "
    assert capsys.readouterr().err == f"{told}`pip install pillow-heif` to read HEIC\n"
    plan.find_pictures([f"{tmp_path}/*.[jn]*", f"{tmp_path}/*.[jC]*"], tmp_path / "out")
    assert capsys.readouterr().err == f"left out in {tmp_path}/*.[jC]*, kinds that are not read: 1 .cr2\n"


def test_pictures_with_odd_endings_are_counted_too(tmp_path, capsys):
    touch(
        tmp_path, "a.jpg", "b.jpg_large", "c.JPG_LARGE", "d.png!d", "e.pcx", "empty", "notes.txt", "f.jpg.txt"
    )
    (tmp_path / "g").write_bytes(b"\xff\xd8\xff\xe0 and so on")
    (tmp_path / "README").write_text("how it was made")
    os.mkfifo(tmp_path / "pipe")
    assert [str(path) for path in listing.find_images(tmp_path)] == ["a.jpg"]
    kinds = "kinds that are not read: 2 .jpg_large, 1 .pcx, 1 .png!d, 1 without an ending"
    advice = "rename those that are JPEG or PNG to .jpg or .png"
    assert capsys.readouterr().err == f"left out in {tmp_path}, {kinds}; {advice}\n"


@pytest.mark.parametrize("installed", [True, False])
def test_heic_is_an_image_where_its_package_is_installed(run_cli, installed):
    patched = f"import importlib.util; importlib.util.find_spec = lambda name: {installed} or None"
    end = run_cli("-c", f"{patched}; from pictures import listing; print('.heic' in listing.EXTENSIONS)")
    assert end.stdout == f"{installed}\n", end.stderr
