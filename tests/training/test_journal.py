"""What a run records: a row and events an epoch, samples, kept checkpoints, warnings, how it ended."""

import math
import types

import numpy as np
import pytest
import torch
from helpers import new_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import utils
from pictures import checkpoints
from training import history, journal
from training.data import Data
from training.log import read_log, run_state


@pytest.fixture
def drawn(monkeypatch):
    """The (phase, epoch) at which samples were drawn; three wide grey pictures are drawn in their place."""
    drawn = []
    pictures = [np.full((40, 600, 3), 200, np.uint8)] * 3
    draw = lambda run: drawn.append((run.phase, run.epoch)) or pictures
    monkeypatch.setattr(journal.samples, "draw", draw)
    monkeypatch.setattr(history, "plot_losses", lambda _: None)
    return drawn


def start(folder, epoch=(1, 1), more="", after_samples=lambda _: None):
    """The Journal of a run after three steps of an epoch, (phase, number)."""
    folder.mkdir(exist_ok=True)
    run = new_run(folder, f"--pre_train_epoch 2 --batch_size 4 --lrG 3e-4 {more}", (*epoch, 3))
    run.sums, run.counts, run.seconds = {"content": 1.5}, {"content": 3}, 6.0
    run.settings = {"commands": ["python CartoonGAN.py --name P", "python CartoonGAN.py"]}
    run.data, run.measure = Data([], [], [], {}, test_digests=("a", "b")), None
    return journal.Journal(run, after_samples)


def record(records, epochs, *measured):
    """Record the run's next epochs, one for each of `measured`, of a phase of `epochs`."""
    for measures in measured:
        records.run.measure = lambda measures=measures: measures
        records.record_epoch(epochs)
        records.run.epoch += 1


def test_an_epoch_is_a_row_a_line_and_events(tmp_path, capsys, drawn):
    shown = []
    with start(tmp_path / "P_results", (2, 4), "--eval_every 2 --sample_every 2", shown.append) as records:
        records.run.sums["skipped_steps"], records.run.counts["skipped_steps"] = 2.0, 3
        record(records, 5, *[{"content": 3.0, "ssim": 0.25}] * 2)
        records.end("finished")
    four, five = history.read(records.folder / "metrics.csv")
    assert four == {
        **{"phase": "2", "epoch": "4", "content": "0.5", "skipped_steps": "2", "seconds": "6.0"},
        **{"images_per_second": "2.0", "learning_rate": "0.0003"},
        **{"measured_content": "3.0", "ssim": "0.25"},  # a measure with the name of a loss
    }
    assert five == {**four, "epoch": "5", "measured_content": "", "ssim": ""}
    line, last = capsys.readouterr().out.splitlines()
    assert line.startswith("phase 2, epoch 4/5: content 0.5000, ") and ", about 6 s left" in line
    assert last.endswith("; 6.0 s, 2.0 images/s")
    events = EventAccumulator(str(records.folder))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("content")] == [(6, 0.5), (7, 0.5)]
    assert [(event.step, event.value) for event in events.Scalars("ssim")] == [(6, 0.25)]
    first, second = events.Images("samples")  # of epochs 4 and 5: every 2, and the last
    assert drawn == [(2, 4), (2, 5)] and (first.step, second.step) == (6, 7)
    assert (first.width, first.height) == (512, 34) and shown == [records.folder] * 5


def test_the_plot_and_the_pages_take_a_small_share_of_the_time(tmp_path, monkeypatch, drawn):
    """Pages that take a second are written every 20 seconds, however many epochs, and at the end."""
    shown, clock = [], types.SimpleNamespace(now=100.0)

    def show(_):
        shown.append(clock.now)
        clock.now += 1

    monkeypatch.setattr(journal.time, "monotonic", lambda: clock.now)
    with start(tmp_path / "P_results", after_samples=show) as records:
        shown.clear()
        for records.run.epoch in range(1, 101):
            clock.now += 1
            records.record_epoch(100)
    assert len(shown) == 6 and shown[-1] == clock.now - 1 and len(drawn) == 100


def test_samples_are_removed_except_some_early_ones_and_the_last(tmp_path, drawn):
    """Kept are epochs 1, 2, 4, …, samples 1, 2, 4, …, and the last two. Other files are not touched."""
    folder, name = tmp_path / "a+b_results", "{}_epoch_a+b_test_1{}.png"
    (folder / "Transfer").mkdir(parents=True)
    others = {"5_epoch_aab_test_1.png", "5_epoch_a+b_test_1.txt", "mine.png"}
    own = {name.format(epoch, end) for epoch in range(1, 21) for end in ("", "_cycle")}
    for each in own | others:
        (folder / "Transfer" / each).touch()
    left = lambda: {path.name for path in (folder / "Transfer").iterdir()}
    with start(folder, more="--sample_every 3 --sample_keep 2") as records:
        records.draw_samples()
        assert left() == own | others
        records.run.phase = 2
        records.draw_samples()
    kept = [1, 2, 4, 8, 16, 3, 6, 12, 19, 20]
    assert left() == {name.format(epoch, end) for epoch in kept for end in ("", "_cycle")} | others


def test_the_generator_is_kept_every_n_epochs_and_at_its_best(tmp_path, capsys, drawn):
    with start(tmp_path / "P_results", more="--checkpoint_every 2 --eval_every 1") as records:
        record(records, 2, {"drawn": 0.9, "drawn_std": 0.05})  # phase one gives no result
        records.run.phase, records.run.epoch, weight = 2, 1, next(records.run.model.generator.parameters())
        capsys.readouterr()
        for style, text in ((0.1, ", the highest so far"), (0.5, ", the highest so far"), (0.2, "")):
            with torch.no_grad():
                weight.fill_(records.run.epoch)
            records.run.saved = 0.0
            record(records, 5, {"drawn": style, "drawn_std": 0.05})
            assert f"; style {style:.3f} ± 0.050{text}, about" in capsys.readouterr().out
            assert records.run.saved == (-math.inf if text else 0)  # the state is saved with the best
        record(records, 5, {"drawn": 0.46, "drawn_std": 0.05})
        records.finish()
    kept = {path.name: path for path in records.folder.glob("generator_*")}
    first = lambda name: next(checkpoints.load_generator(kept[name]).parameters()).mean().item()
    assert {name: first(name) for name in kept} == {
        **{"generator_2.pth": 2, "generator_4.pth": 3, "generator_best.pth": 2}
    }
    expected = "highest style: 0.500 ± 0.050 after epoch 2 (within its error: 4), in generator_best.pth\n"
    assert expected in capsys.readouterr().out
    file = checkpoints.load(records.folder / "generator_best.pth")
    assert (file["epoch"], file["drawn"], file["chosen_by"]) == (2, 0.5, ["a", "b"])


def test_a_best_generator_from_before_a_kill_is_reported(tmp_path, capsys, drawn):
    """A kill between epochs: epochs 2 and 3 are trained again, and on a GPU their KIDs differ slightly."""
    folder = tmp_path / "P_results"
    measured = lambda *kids: [{"kid_drawings": kid} for kid in kids]
    with start(folder, (2, 1), "--eval_every 1") as records:
        record(records, 9, *measured(0.5, 0.3, 0.2))
    history.cut(folder / "metrics.csv", 2, 2)
    stale = "generator_best.pth is from epoch 3 with KID 0.2, saved before the run was interrupted"
    with start(folder, (2, 2), "--eval_every 1") as records:
        assert capsys.readouterr().err == f"warning: {stale}\n"
        records.finish()
        assert f"lowest KID: 0.5 after epoch 1, but {stale}\n" in capsys.readouterr().out
        record(records, 9, *measured(0.25))
        records.finish()
    assert "\nlowest KID: 0.25 after epoch 2, in generator_best.pth\n" in capsys.readouterr().out


def test_two_faults_of_training_are_warned_of_once(tmp_path, capsys, drawn):
    with start(tmp_path / "P_results", more="--eval_every 1") as records:
        records.run.means = lambda: {"auc_result": 0.985, "change_from_photo": 1.5}
        record(records, 9, {})
        assert capsys.readouterr().err == ""
        records.run.means = lambda: {"auc_result": 0.2, "auc_result_back": 0.995, "change_from_photo": 0.5}
        record(records, 9, {}, {})
    first, second = capsys.readouterr().err.splitlines()
    assert "over 99%" in first and first.endswith("try a lower --lrD, or more --pre_train_epoch")
    assert "less than one grey level of 255: try a lower --con_lambda, a higher --lrG" in second


def test_the_log_and_the_pages_show_how_a_run_ended(tmp_path, drawn):
    shown = []
    show = lambda folder: shown.append(run_state(folder))
    utils.unlogged.clear()  # by other tests
    utils.report("warning: one\ntwo")
    with pytest.raises(OSError), start(tmp_path / "P_results", after_samples=show):
        raise OSError(28, "No space left on device")
    assert shown[-1] == ("failed", "No space left on device")
    assert [event[1:] for event in read_log(tmp_path / "P_results")] == [
        ("started", "python CartoonGAN.py"),
        ("reported", r"warning: one\ntwo"),
        ("failed", "No space left on device"),
    ]
