"""What is shared: functions take turns, memory is that of a process, made drawings have edges everywhere."""

import functools
import os

import numpy as np

import edge_promoting
from benchmark import measuring
from pictures import images


def test_the_functions_take_turns():
    order = []
    seconds = measuring.median_seconds({name: lambda name=name: order.append(name) for name in "ab"}, 2)
    assert order == list("ababab")
    assert seconds.keys() == {"a", "b"}


def test_peak_memory_is_what_the_work_takes():
    taken = measuring.peak_memory(functools.partial, os.urandom, 2**26)
    assert 60 < taken < 140  # 64 MiB, twice where the second is made before the first is gone


def test_photographs_are_a_folders_or_smooth_noise(data):
    folder = data / "src_data/test"
    shown = measuring.photographs(folder, 4, 20)
    wanted = [images.resize(images.read(folder / f"{n}.jpg"), 20, 20) for n in (0, 1, 2, 0)]
    assert np.array_equal(shown, wanted)
    first, second = measuring.photographs(None, 2, 64)
    assert first.shape == (64, 64, 3) and first.std() > 20 and (first != second).any()
    assert np.abs(np.diff(first.astype(int), axis=0)).mean() < 0.5 * first.std()


def test_drawings_have_edges_everywhere(data):
    folder = data / "tgt_data/train"
    for page in (*measuring.drawings(None, 2, 120, 170), *measuring.drawings(folder, 2, 120, 170)):
        assert page.shape == (170, 120, 3)
        changed = (edge_promoting.smooth_edges(page) != page).any(2)
        assert all(part.any() for half in np.array_split(changed, 2) for part in np.array_split(half, 2, 1))


def test_a_mosaic_keeps_the_scale(data):
    folder = data / "tgt_data/train"
    (page,) = measuring.drawings(folder, 1, 20, 20)
    assert any(np.array_equal(page, images.read(path)[:20, :20]) for path in folder.iterdir())


def test_speeds_are_beside_the_first(capsys):
    measuring.print_speeds({"slow": 2.0, "fast": 0.5}, 4, (100, 50))
    *_, slow, fast = capsys.readouterr().out.splitlines()
    assert slow == "| slow | 2 | 2 | 0.03 | 1 |"
    assert fast == "| fast | 0.5 | 8 | 0.12 | 4 |"
