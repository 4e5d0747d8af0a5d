"""What a run records as it goes: a row and events an epoch, kept checkpoints, warnings, how it ended."""

import json
import math
import threading
import types

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import networks
import utils
from pictures import checkpoints
from survey.cyclegan_options import CYCLEGAN
from training import history, journal, options
from training.log import read_log, run_state


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch):
    monkeypatch.setattr(utils, "unlogged", type(utils.unlogged)())  # else a later run would log it


class Shown(list):
    """What a journal shows its folder to: notes how the run stands by its log, each time."""

    def __call__(self, folder):
        self.append(run_state(folder))


def run_at(folder, place=(1, 1), more=""):
    """A run as its journal sees it, three steps after `place`."""
    folder.mkdir(exist_ok=True)
    args, _ = options.parse(f"--pre_train_epoch 2 --batch_size 4 {more}".split())
    generator = networks.Generator(ngf=4, nb=1)
    adam_g = torch.optim.Adam(generator.parameters(), 3e-4)
    return types.SimpleNamespace(
        args=args,
        folder=folder,
        settings={"commands": ["python CartoonGAN.py --name P", "python CartoonGAN.py"]},
        model=types.SimpleNamespace(generator=generator, adam_g=adam_g, ema=None),
        phase=place[0],
        epoch=place[1],
        step=3,
        sums={"content": 1.5},
        means=lambda: {"content": 0.5},
        seconds=6.0,
        measure=None,
        photos=[],
        data=types.SimpleNamespace(test_digests=("a", "b")),
    )


def start(folder, place=(1, 1), more="", after_samples=lambda _: None):
    return journal.Journal(run_at(folder, place, more), after_samples)


def row(phase, epoch, **more):
    return {"phase": phase, "epoch": epoch, "content": 10.0 * phase + epoch, "learning_rate": 2e-4, **more}


def events_of(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_an_epoch_is_a_row_a_line_and_events(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(journal.samples, "draw", lambda _: [np.zeros((4, 8, 3), np.uint8)])
    with start(tmp_path / "P_results", (2, 4), more="--eval_every 2 --sample_every 2") as record:
        record.run.sums = {"content": 1.5, "skipped_steps": 2.0}
        record.run.means = lambda: {"content": 0.5, "skipped_steps": 2 / 3}
        record.run.measure = lambda: {"kid_drawings": 0.25}
        record.epoch(5)
        record.run.epoch = 5
        record.epoch(5)
    four, five = history.read(record.folder / "metrics.csv")
    assert four == {
        **{"phase": "2", "epoch": "4", "content": "0.5", "skipped_steps": "2", "seconds": "6.0"},
        **{"images_per_second": "2.0", "learning_rate": "0.0003", "kid_drawings": "0.25"},
    }
    assert five == {**four, "epoch": "5", "kid_drawings": ""}
    assert capsys.readouterr().out.splitlines() == [
        "phase 2, epoch 4/5: content 0.5000, skipped_steps 2.0000; 6.0 s, 2.0 images/s, "
        "about 6 s to go in this phase",
        "phase 2, epoch 5/5: content 0.5000, skipped_steps 2.0000; 6.0 s, 2.0 images/s",
    ]
    events = events_of(record.folder)
    assert [(event.step, event.value) for event in events.Scalars("content")] == [(6, 0.5), (7, 0.5)]
    assert [(event.step, event.value) for event in events.Scalars("kid_drawings")] == [(6, 0.25)]


def test_samples_are_drawn_when_it_is_time_and_at_the_end(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        journal.samples, "draw", lambda run: drawn.append(run.epoch) or [np.zeros((4, 8, 3), "u1")]
    )
    with start(tmp_path / "P_results", more="--sample_every 3") as record:
        for record.run.epoch in range(1, 8):
            record.epoch(7)
    assert drawn == [3, 6, 7] and (record.folder / "losses.png").exists()


def test_the_plot_and_the_pages_take_a_small_share_of_the_time(tmp_path, monkeypatch):
    """Pages that take a second are written every 20 seconds, however many epochs, and at the end."""
    shown, clock = [], types.SimpleNamespace(now=100.0)

    def show(_):
        shown.append(clock.now)
        clock.now += 1

    monkeypatch.setattr(journal.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(journal.history, "plot_losses", lambda *_: None)
    monkeypatch.setattr(journal.samples, "draw", lambda _: [np.zeros((4, 8, 3), np.uint8)])
    with start(tmp_path / "P_results", after_samples=show) as record:
        shown.clear()
        for record.run.epoch in range(1, 101):
            clock.now += 1
            record.epoch(100)
    assert len(shown) == 6 and shown[-1] == clock.now - 1


def test_samples_make_one_image_of_all_and_are_shown(tmp_path, monkeypatch):
    shown = Shown()
    monkeypatch.setattr(journal.samples, "draw", lambda _: [np.full((40, 600, 3), 200, np.uint8)] * 3)
    with start(tmp_path / "P_results", (2, 5), after_samples=shown) as record:
        before = len(shown)
        record.epoch(5)
        assert len(shown) == before + 1
        record.end("finished")
    (image,) = events_of(record.folder).Images("samples")
    assert (image.step, image.width, image.height) == (7, 512, 34)


def test_older_samples_are_thinned_in_phase_two(tmp_path, monkeypatch):
    monkeypatch.setattr(journal.samples, "draw", lambda _: [np.zeros((4, 8, 3), np.uint8)])
    names = [f"{epoch}_epoch_P_test_1.png" for epoch in range(1, 8)]
    (tmp_path / "P_results/Transfer").mkdir(parents=True)
    for name in names:
        Image.new("RGB", (1, 1)).save(tmp_path / "P_results/Transfer" / name)
    with start(tmp_path / "P_results", more="--sample_keep 1") as record:
        record.samples()
        assert len(list((record.folder / "Transfer").iterdir())) == 7
        record.run.phase = 2
        record.samples()
    kept = {path.name for path in (record.folder / "Transfer").iterdir()}
    assert kept == {names[epoch - 1] for epoch in (1, 2, 4, 7)}


def test_events_go_on_from_where_a_run_is_resumed(tmp_path):
    folder = tmp_path / "P_results"
    with start(folder) as record:
        for phase, epoch in ((1, 1), (1, 2), (2, 1), (2, 2)):
            record.tell_tensorboard(row(phase, epoch))
    with start(folder, (2, 1)) as record:
        record.tell_tensorboard(row(2, 1, discriminator=0.5))
        record.end("finished")
    events = events_of(folder)
    assert [(event.step, event.value) for event in events.Scalars("content")] == [(1, 11), (2, 12), (3, 21)]
    assert [(event.step, event.value) for event in events.Scalars("discriminator")] == [(3, 0.5)]


def test_the_generator_is_kept_every_n_epochs_and_at_the_lowest_kid(tmp_path, capsys):
    with start(tmp_path / "P_results", more="--checkpoint_every 2 --eval_every 1") as record:
        generator = record.run.model.generator
        history.add(record.folder / "metrics.csv", row(1, 2, kid_drawings=0.01))  # phase one is no result
        for epoch, kid in enumerate((0.5, 0.2, 0.3, ""), 1):
            with torch.no_grad():
                next(generator.parameters()).fill_(epoch)
            history.add(
                record.folder / "metrics.csv", row(2, epoch, **({"kid_drawings": kid} if kid else {}))
            )
            record.keep(generator, epoch)
        record.finish()
    kept = {path.name: path for path in record.folder.glob("generator_*")}
    assert kept.keys() == {"generator_2.pth", "generator_4.pth", "generator_best.pth"}
    first = lambda name: next(checkpoints.load_generator(kept[name]).parameters()).mean().item()
    assert [first(name) for name in sorted(kept)] == [2, 4, 2]
    assert "lowest KID: 0.2 after epoch 2, in generator_best.pth\n" in capsys.readouterr().out


def measured(record, *kids):
    """Record epochs of phase two, from the run's on, with these KIDs."""
    for kid in kids:
        history.add(record.folder / "metrics.csv", row(2, record.run.epoch, kid_drawings=kid))
        record.keep(record.run.model.generator, record.run.epoch)
        record.run.epoch += 1


def test_the_best_generator_is_compared_with_the_metrics(tmp_path, capsys):
    """A kill between epochs: epochs 2 and 3 are done again, and on a GPU their KIDs come out otherwise."""
    folder = tmp_path / "P_results"
    with start(folder, (2, 1), "--eval_every 1") as record:
        measured(record, 0.5, 0.3, 0.2)
        assert record.run.saved == -math.inf  # so that the state is written with it
        record.finish()
    assert capsys.readouterr().out.startswith("lowest KID: 0.2 after epoch 3, in generator_best.pth\n")
    file = checkpoints.load(folder / "generator_best.pth")
    assert (file["epoch"], file["kid_drawings"], file["chosen_by"]) == (3, 0.2, ["a", "b"])

    history.cut(folder / "metrics.csv", 2, 2)
    told = "generator_best.pth is of epoch 3 at KID 0.2, from before the run was cut off"
    with start(folder, (2, 2), "--eval_every 1") as record:
        assert capsys.readouterr().err == f"warning: {told}\n"
        measured(record, 0.6)
        record.finish()
        assert capsys.readouterr().out.startswith(f"lowest KID: 0.5 after epoch 1, but {told}\n")
        measured(record, 0.25)
        record.finish()
    assert capsys.readouterr().out.startswith("lowest KID: 0.25 after epoch 3, in generator_best.pth\n")


@pytest.mark.parametrize("content", [b"", {"architecture": {}, "state_dict": {}}, [1]])
def test_a_best_generator_that_tells_no_epoch_is_left_alone(tmp_path, content, capsys):
    """Of an earlier version, or damaged: who uses it is told."""
    folder = tmp_path / "P_results"
    folder.mkdir()
    if isinstance(content, bytes):
        (folder / "generator_best.pth").write_bytes(content)
    else:
        checkpoints.save(folder / "generator_best.pth", content)
    with start(folder):
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (utils.RunFailed("the content loss is nan"), ("failed", "the content loss is nan")),
        (OSError(28, "No space left on device"), ("failed", "No space left on device")),
        (KeyboardInterrupt(), ("stopped", "KeyboardInterrupt")),
    ],
)
def test_the_log_tells_how_a_run_ended(tmp_path, error, state):
    shown = Shown()
    with pytest.raises(type(error)), start(tmp_path / "P_results", after_samples=shown):
        raise error
    assert run_state(tmp_path / "P_results") == shown[-1] == state


def test_a_run_that_was_stopped_is_logged_once(tmp_path):
    with pytest.raises(utils.Stopped), start(tmp_path / "P_results") as record:
        record.end("stopped", "SIGTERM")
        raise utils.Stopped("go on with …", 143)
    assert [event for _, event, _ in read_log(record.folder)] == ["started", "stopped"]


def test_a_disk_so_full_that_the_end_cannot_be_logged(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(utils.RunFailed, match="the first fault"), start(tmp_path / "P_results"):
        monkeypatch.setattr(journal, "log_event", full)
        raise utils.RunFailed("the first fault")


@pytest.mark.parametrize(
    ("error", "printed"), [(OSError(28, "No space left"), False), (ValueError("x"), True)]
)
def test_the_thread_of_tensorboard_leaves_a_full_disk_to_the_run_s_own_error(
    tmp_path, capsys, error, printed
):
    with start(tmp_path / "P_results"):
        threading.excepthook(threading.ExceptHookArgs((type(error), error, None, threading.current_thread())))
    assert (type(error).__name__ in capsys.readouterr().err) == printed


def test_what_is_said_stands_in_the_log(tmp_path, capsys):
    utils.report("warning: one\ntwo")
    with start(tmp_path / "P_results") as record:
        record.finish()
    assert [event[1:] for event in read_log(record.folder)] == [
        ("started", "python CartoonGAN.py"),
        ("said", r"warning: one\ntwo"),
        ("finished", ""),
    ]
    assert capsys.readouterr().out.startswith(f"finished: open {record.folder}/index.html; ")


def test_a_fault_of_the_pages_does_not_end_a_run(tmp_path, capsys):
    with start(tmp_path / "P_results", after_samples=lambda _: json.loads("{")) as record:
        record.end("finished")
    assert capsys.readouterr().err.count("the pages could not be written") == 1
    assert run_state(record.folder) == ("finished", "")


def test_a_discriminator_that_is_never_wrong_is_warned_of_once(tmp_path, capsys):
    with start(tmp_path / "P_results") as record:
        record.watch({"auc_result": 0.985, "change_from_photo": 1.5})
        assert capsys.readouterr().err == ""
        for _ in range(2):
            record.watch({"auc_result": 0.995})
    assert capsys.readouterr().err.count("over 99%") == 1


def test_results_that_are_the_photographs_are_warned_of_once(tmp_path, capsys):
    with start(tmp_path / "P_results") as record:
        for _ in range(2):
            record.watch({"change_from_photo": 0.5})
    assert capsys.readouterr().err.count("less than a grey level of 255: try a lower --con_lambda") == 1


def test_the_warnings_name_options_that_the_method_has(tmp_path, capsys):
    with start(tmp_path / "P_results") as record:
        record.args, _ = CYCLEGAN.parse([])
        record.watch({"auc_result_back": 0.995, "change_from_photo": 0.5})
    told = capsys.readouterr().err
    assert "try a lower --lrD\n" in told and "try a lower --idt_lambda, " in told


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (61.7, "1 min 2 s"), (3599.6, "1 h 0 min"), (90000, "25 h 0 min")]
)
def test_durations(seconds, text):
    assert journal.duration(seconds) == text


def test_an_epochs_style_is_ranked_and_the_best_is_kept(tmp_path, capsys):
    with start(tmp_path / "P_results", (2, 1)) as record:
        for style, text in ((0.1, ", the highest so far"), (0.5, ", the highest so far"), (0.2, "")):
            record.run.measure = lambda style=style: {"drawn": style, "drawn_std": 0.05, "content": 3.0}
            record.args.eval_every, record.args.sample_every = 1, 100
            record.epoch(200)
            assert f"; style {style:.3f} ± 0.050{text}, about" in capsys.readouterr().out
            record.run.epoch += 1
        record.run.measure = lambda: {"drawn": 0.46, "drawn_std": 0.05}
        record.epoch(200)
        assert (
            "0.460 ± 0.050, within the error of the highest (0.500 ± 0.050, epoch 2), about"
            in capsys.readouterr().out
        )
        record.finish()
    told = "highest style: 0.500 ± 0.050 after epoch 2 (within its error: 4), in generator_best.pth\n"
    assert capsys.readouterr().out.startswith(told)
    file = checkpoints.load(record.folder / "generator_best.pth")
    assert (file["epoch"], file["drawn"], file["chosen_by"]) == (2, 0.5, ["a", "b"])
    last = history.read(record.folder / "metrics.csv")[0]
    assert (last["content"], last["measured_content"]) == ("0.5", "3.0")  # a loss and a measure of one name
