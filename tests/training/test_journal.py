"""What a run records as it goes: TensorBoard events, kept checkpoints, and in the log how it ended."""

import json

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import networks
import utils
from pages import writing
from pictures import checkpoints
from training import folders, history, journal, options


def start(folder, place=(1, 1), more=""):
    args, _ = options.parse_training(f"--pre_train_epoch 2 {more}".split())
    folder.mkdir(exist_ok=True)
    return journal.Journal(folder, args, "python CartoonGAN.py", place)


def row(phase, epoch, **more):
    return {"phase": phase, "epoch": epoch, "content": 10.0 * phase + epoch, "learning_rate": 2e-4, **more}


def add(record, generator, values):
    history.add(record.folder / "metrics.csv", values)
    record.tell_tensorboard(values)
    if values["phase"] == 2:
        record.keep(generator, values["epoch"])


@pytest.fixture
def generator():
    return networks.Generator(ngf=4, nb=1)


def test_events_go_on_from_where_a_run_is_resumed(tmp_path):
    folder = tmp_path / "P_results"
    with start(folder) as record:
        for phase, epoch in ((1, 1), (1, 2), (2, 1), (2, 2)):
            record.tell_tensorboard(row(phase, epoch))
    with start(folder, (2, 1)) as record:
        record.tell_tensorboard(row(2, 1, discriminator=0.5))
        record.end("finished")
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("content")] == [(1, 11), (2, 12), (3, 21)]
    assert [(event.step, event.value) for event in events.Scalars("discriminator")] == [(3, 0.5)]


def test_the_generator_is_kept_every_n_epochs_and_at_the_lowest_kid(tmp_path, generator):
    with start(tmp_path / "P_results", more="--checkpoint_every 2") as record:
        add(record, generator, row(1, 2, kid_drawings=0.01))  # phase one is no result
        for epoch, kid in enumerate((0.5, 0.2, 0.3, ""), 1):
            with torch.no_grad():
                next(generator.parameters()).fill_(epoch)
            add(record, generator, row(2, epoch, **({"kid_drawings": kid} if kid else {})))
    kept = {path.name: path for path in record.folder.glob("generator_*")}
    assert kept.keys() == {"generator_2.pth", "generator_4.pth", "generator_best.pth"}
    first = lambda name: next(checkpoints.load_generator(kept[name]).parameters()).mean().item()
    assert [first(name) for name in sorted(kept)] == [2, 4, 2]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (utils.RunFailed("the content loss is nan"), ("failed", "the content loss is nan")),
        (OSError(28, "No space left on device"), ("failed", "No space left on device")),
        (KeyboardInterrupt(), ("stopped", "KeyboardInterrupt")),
    ],
)
def test_the_log_tells_how_a_run_ended(tmp_path, error, state):
    folder = tmp_path / "P_results"
    with pytest.raises(type(error)), start(folder):
        raise error
    assert folders.state(folder) == state
    assert f'class="state {state[0]}"' in (folder / "index.html").read_text()


def test_what_is_said_stands_in_the_log(tmp_path):
    utils.said.clear()
    utils.say("warning: one\ntwo")
    with start(tmp_path / "P_results") as record:
        record.end("finished")
    assert [event[1:] for event in folders.read_log(record.folder)] == [
        ("started", "python CartoonGAN.py"),
        ("said", r"warning: one\ntwo"),
        ("finished", ""),
    ]


def test_a_fault_of_the_pages_does_not_end_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(writing, "update", lambda folder: json.loads("{"))
    with start(tmp_path / "P_results") as record:
        record.end("finished")
    assert capsys.readouterr().err.count("the pages could not be written") == 1
    assert folders.state(record.folder) == ("finished", "")


def test_samples_make_one_image_grid_and_the_pages(tmp_path, generator, monkeypatch):
    picture = np.full((40, 600, 3), 200, np.uint8)
    monkeypatch.setattr(journal.samples, "draw", lambda *_: [picture] * 3)
    training = type("T", (), {"phase": 2, "epoch": 5})
    with start(tmp_path / "P_results") as record:
        record.samples(training, [])
        record.end("finished")
    events = EventAccumulator(str(record.folder))
    events.Reload()
    (image,) = events.Images("samples")
    assert (image.step, image.width, image.height) == (7, 512, 34)
    assert (tmp_path / "index.html").exists() and (record.folder / "index.html").exists()


@pytest.mark.parametrize("mode", ["bce", "lsgan"])
def test_what_is_done_already_is_not_advised(mode, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(utils, "said", [])  # no later run is to write this into its log
    with start(tmp_path / "P_results", more=f"--gan_mode {mode}") as record:
        for _ in range(2):
            record.watch({"fakes_detected": 0.995})
    said = capsys.readouterr().err
    assert said.count("over 99%") == 1 and ("--gan_mode lsgan" in said) == (mode == "bce")
