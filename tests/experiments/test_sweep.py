"""`python -m experiments.sweep`: its runs, what it refuses, how it continues after a stop or a failure."""

import os
import signal

import pytest
from helpers import at_step, tiny_run

import CartoonGAN
from experiments import sweep
from training.log import read_log
from utils import RunFailed, Stopped, WrongUse


def test_the_tag_of_each_run_names_its_values():
    words = ["@experiments/a,b.txt", "--con_lambda", "1,.5", "--tgt_data=data/ink,data/oil", "--name", "P"]
    first, *_, last = sweep.combinations(words)
    start, end = ["@experiments/a,b.txt", "--con_lambda"], ["--name", "P"]
    assert first == ("con_lambda_1_tgt_data_ink", [*start, "1", "--tgt_data", "data/ink", *end])
    assert last == ("con_lambda_.5_tgt_data_oil", [*start, ".5", "--tgt_data", "data/oil", *end])
    assert len(sweep.combinations(words)) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no option has several values"),
        (["--con_lambda", "1,2,-3"], "'-3' is not a number"),
        (["--lrG", "1e-4,1e-4"], "same folder"),
        (["--lrG", "1e-4,1e-3", "--resume"], "no --resume"),
    ],
)
def test_a_wrong_sweep_is_refused_before_its_first_run(data, tmp_path, monkeypatch, words, message):
    monkeypatch.setattr(CartoonGAN, "main", lambda _: pytest.fail("a run began"))
    with pytest.raises(WrongUse, match=message):
        sweep.main([*tiny_run(data, tmp_path / "results"), *words])


def test_a_sweep_continues_after_a_failed_run_and_is_resumed_by_the_same_command(
    data, tmp_path, monkeypatch, capsys
):
    """Three runs of three steps: the first fails, the second is stopped, and then all are finished."""
    results = tmp_path / "results"
    options = ["--con_lambda", "1,2,3", "--pre_train_epoch", 0, "--train_epoch", 1, "--tag", "t"]
    words = tiny_run(data, results, *options)

    def fail(run):
        raise RunFailed("no more memory")

    with monkeypatch.context() as patch:
        at_step(patch, 1, fail)
        at_step(patch, 3, lambda _: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(
            Stopped, match=r"continue the sweep with: .*experiments.sweep .*--con_lambda 1,2,3"
        ):
            sweep.main(words)
    assert "t_con_lambda_1_results failed: no more memory" in capsys.readouterr().err
    ends = lambda: [
        [event for _, event, _ in read_log(folder) if event in ("failed", "stopped", "finished")]
        for folder in sorted(results.glob("*_results"))
    ]
    assert ends() == [["failed"], ["stopped"]]
    assert sweep.main(words) == 0
    assert ends() == [["failed", "finished"], ["stopped", "finished"], ["finished"]]
    out = capsys.readouterr().out
    names = [f"Tiny_0_1_2_t_con_lambda_{weight}_results" for weight in (1, 2, 3)]
    assert f"compare: {results.as_uri()}/index.html#compare={'&compare='.join(names)}\n" in out
    assert sweep.main(words) == 0 and capsys.readouterr().out.count(" is finished\n") == 3
    with pytest.raises(WrongUse, match="ngf is 8, was 4"):
        sweep.main([*words, "--ngf", "8"])
