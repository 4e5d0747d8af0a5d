"""log.txt: an event a line, and how a run stands by it and by the lock."""

import contextlib

from training import log
from training.folder import lock_run
from training.log import log_event, read_log, run_state


def test_the_state_follows_from_the_log_and_the_lock(tmp_path):
    assert run_state(tmp_path) == ("", "") and read_log(tmp_path) == []
    log_event(tmp_path, "started", "python CartoonGAN.py")
    assert run_state(tmp_path) == ("killed", "the process died without logging an exit")
    with lock_run(tmp_path):
        assert run_state(tmp_path) == ("running", "")
    log_event(tmp_path, "said", "warning: finished: not yet")
    assert run_state(tmp_path)[0] == "killed"
    log_event(tmp_path, "failed", "out of\nmemory")
    assert run_state(tmp_path) == ("failed", "out of memory")
    log_event(tmp_path, "started", "python CartoonGAN.py --resume")
    assert run_state(tmp_path)[0] == "killed"
    log_event(tmp_path, "finished")
    log_event(tmp_path, "slimmed", "state_latest.pth")
    assert run_state(tmp_path) == ("finished", "")
    assert [event for _, event, _ in read_log(tmp_path)] == [
        *("started", "said", "failed", "started", "finished", "slimmed")
    ]


def test_what_is_no_event_is_passed_over(tmp_path):
    log_event(tmp_path, "started", "one \udcff é")
    damaged = (tmp_path / "log.txt").read_bytes() + b"by hand\n\xff\xfe\n\n"
    (tmp_path / "log.txt").write_bytes(damaged)
    log_event(tmp_path, "finished")
    assert [event[1:] for event in read_log(tmp_path)] == [("started", "one ? é"), ("finished", "")]


def test_a_folder_that_cannot_be_locked_has_a_state_as_well(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "locked", lambda *_, **__: contextlib.nullcontext(None))
    assert run_state(tmp_path) == ("", "")
    log_event(tmp_path, "started")
    assert run_state(tmp_path)[0] == "unknown"
    log_event(tmp_path, "stopped", "SIGTERM")
    assert run_state(tmp_path) == ("stopped", "SIGTERM")
