"""What is shared: functions take turns, memory is that of a process, made drawings have edges everywhere."""

import functools
import os
import weakref

import numpy as np
import torch

import edge_promoting
from benchmark import measuring
from pictures import images


def test_the_functions_take_turns():
    order = []
    seconds = measuring.median_seconds({name: lambda name=name: order.append(name) for name in "ab"}, 2)
    assert order == list("ababab")
    assert seconds.keys() == {"a", "b"}


def test_on_the_cpu_the_ways_take_turns_and_their_memory_is_told(monkeypatch):
    monkeypatch.setattr(measuring, "peak_memory", lambda make: make()())
    order = []
    makes = {name: lambda name=name: lambda: order.append(name) or 7 for name in "ab"}
    measured = measuring.measure(makes, 1, torch.device("cpu"), memory_of="a")
    assert order == list("ababa")
    assert measured["a"][1] == 7 and measured["b"][1] is None


def test_on_a_gpu_each_way_is_made_measured_and_freed_before_the_next(monkeypatch):
    """By a GPU that is pretended: what it did is written down, and its memory is what the models take."""
    events, models = [], weakref.WeakSet()

    class Model:
        def __init__(self, name):
            self.name = name
            models.add(self)
            events.append(f"make {name}")

        def work(self):
            events.append(f"work {self.name}")

    for name in ("synchronize", "empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda name=name: events.append(name))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 2**20 * len(models))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 2**20 * len(models))
    makes = {name: lambda name=name: Model(name).work for name in "ab"}
    measured = measuring.measure(makes, 1, torch.device("cuda"), memory_of="ab")
    assert [memory for _, memory in measured.values()] == [1, 1] and not models
    work = ["synchronize", "work a", "synchronize"]
    first = ["empty_cache", "make a", *work * 3, "reset_peak_memory_stats", *work]
    assert events == first + [event.replace(" a", " b") for event in first]


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
