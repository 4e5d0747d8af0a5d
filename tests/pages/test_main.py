"""`python -m pages`: which folders get pages, the list in the terminal, slimming."""

import os
import re
from unittest import mock

import pytest
from helpers import contents, make_run

from pages import tables
from pages.__main__ import main
from training import history
from training.log import log_event
from utils import WrongUse


def test_nothing_but_pages_is_written(tmp_path):
    one, _ = make_run(tmp_path, "One"), make_run(tmp_path, "Two")
    (tmp_path / "notes").mkdir()
    with pytest.raises(WrongUse, match="no run in"):
        main([str(tmp_path / "notes")])
    before = contents(tmp_path)
    main([str(one)])
    pages = {"One_results/index.html", "One_results/plotly.min.js"}
    assert contents(tmp_path).keys() - before.keys() == pages
    assert 'const PLOTLY = "" +' in (one / "index.html").read_text()
    (one / "plotly.min.js").unlink()
    main([str(tmp_path)])
    after = contents(tmp_path)
    pages = {"One_results/index.html", "Two_results/index.html", "index.html", "runs.js", "plotly.min.js"}
    assert after.keys() - before.keys() == pages
    assert after.items() >= before.items()


def test_the_list_fits_120_columns_and_names_the_options_that_do_not_fit(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(tables.shutil.os, "get_terminal_size", lambda _: os.terminal_size((0, 0)))
    for number, name in enumerate(("One", "Two", "画像\x1b[31m")):
        options = {"ngf": number % 2, "con_lambda": number, "device": number}
        make_run(tmp_path, name, tgt_data="d" * 70 + str(number % 2), **options)
        row = {"phase": 2, "epoch": 4, "kid_drawings": 0.5, "kid_drawings_std": 0.1}
        history.add(tmp_path / f"{name}_results/metrics.csv", row)
    before = contents(tmp_path)
    main([str(tmp_path), "--list"])
    head, *lines, rest = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "state", "epoch", "con_lambda", "ngf", "best", "KID", "size"]
    one, _, other = sorted(lines)
    assert one.split()[:10] == ["One", "finished", "4", "of", "3", "0", "0", "0.5", "±", "0.1,"]
    assert head.index("state") == one.index("finished") and len(one) <= 120
    assert other.startswith("画像?[31m  finished")  # the letters are two columns wide
    assert rest.startswith("The runs also differ in tgt_data:")
    assert contents(tmp_path) == before


def test_slimming_asks_and_removes_only_the_state(tmp_path, monkeypatch, capsys):
    folder = make_run(tmp_path, "P")
    (folder / "state_latest.pth").write_bytes(bytes(2_500_000))
    names = contents(tmp_path).keys()
    monkeypatch.setattr("builtins.input", ask := mock.Mock(side_effect=["n", EOFError, "y"]))
    for _ in range(2):
        main(["--slim", str(folder)])
        assert capsys.readouterr().out == "nothing removed\n" and contents(tmp_path).keys() == names
    main(["--slim", str(folder)])
    assert capsys.readouterr().out == "2.5 MB freed\n" and "2.5 MB" in ask.call_args.args[0]
    assert names - contents(tmp_path).keys() == {"P_results/state_latest.pth"}


def test_the_named_parts_of_several_runs_are_removed(tmp_path, monkeypatch):
    runs = [make_run(tmp_path, name, epochs=7) for name in ("One", "Two")]
    for folder in runs:
        for name in ("state_latest.pth", "events.out.tfevents.1.host"):
            (folder / name).write_bytes(bytes(1000))
    main([str(tmp_path)])
    monkeypatch.setattr("builtins.input", lambda _: "y")
    main(["--slim", *map(str, runs), "--remove", "samples", "events"])
    for folder in runs:
        assert {path.name.split("_")[0] for path in (folder / "Transfer").iterdir()} == {*"1247"}
        assert (folder / "state_latest.pth").exists() and not list(folder.glob("events.*"))
        images = re.findall(r'"(\w+)":"\w+/[^"]*test', (folder / "index.html").read_text())
        assert images == ["recon", *"1247"]
    with pytest.raises(WrongUse, match="nothing to remove \\(samples\\)"):
        main(["--slim", *map(str, runs), "--remove", "samples"])
    log_event(runs[1], "stopped")
    with pytest.raises(WrongUse, match="Two_results is not finished"):
        main(["--slim", *map(str, runs)])
    assert all((folder / "state_latest.pth").exists() for folder in runs)
