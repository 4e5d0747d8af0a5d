"""python -m evaluation.weights: its table of weights that are known."""

import pytest
import torch
from foreign import animegan_weights, authors_weights
from helpers import SHARED

from evaluation import weights
from networks import Generator
from pictures import checkpoints

HAYAO = SHARED / "pretrained/Hayao_net_G_float.pth"


def table(capsys, *paths):
    """The cells of the table that the command prints, without its head."""
    weights.main([str(path) for path in paths])
    head, line, *rows = [row.strip("| ").split(" | ") for row in capsys.readouterr().out.splitlines()]
    assert tuple(head) == weights.COLUMNS and set(line) == {"---"}
    assert {len(row) for row in (line, *rows)} == {len(head)}
    return rows


def test_known_weights(tmp_path, capsys):
    network = Generator(ngf=4, nb=0)
    norms = [layer for layer in network.modules() if hasattr(layer, "running_mean")]
    with torch.no_grad():
        for norm in norms:  # 4, 8, 16, 8 and 4 channels: half of the scales are 0.25, half 0.75
            norm.weight[::2], norm.weight[1::2] = 0.25, 0.75
        norms[1].bias[3] = -0.5
        network.down[3].bias[2], network.up[0].bias[0] = -0.375, 0.125
    checkpoints.save(tmp_path / "g.pth", checkpoints.generator_file(network))
    count = f"{sum(parameter.numel() for parameter in network.parameters()):,}"
    assert table(capsys, tmp_path / "g.pth") == [
        [str(tmp_path / "g.pth"), count, "0.500", "0.250, 0.500, 0.750", "0.38", "0.5", "1e-05"]
    ]


def test_a_row_for_each_of_several_layouts(tmp_path, capsys):
    checkpoints.save(tmp_path / "none.pth", checkpoints.generator_file(Generator(ngf=4, conv_bias="none")))
    torch.save(authors_weights(), tmp_path / "authors.pth")
    torch.save(animegan_weights(), tmp_path / "animegan.pth")
    none, authors, animegan = table(capsys, *(tmp_path / f"{n}.pth" for n in ("none", "authors", "animegan")))
    assert none[2:] == ["1.000", "1.000, 1.000, 1.000", "none", "0", "1e-05"]
    assert authors[-1] == "1e-09" and 0 < float(authors[4]) < 1
    assert animegan[1] == f"{sum(value.numel() for value in animegan_weights().values()):,}"


@pytest.mark.skipif(not HAYAO.exists(), reason="the released weights are not here")
def test_what_the_documentation_says_of_the_released_model(capsys):
    (row,) = table(capsys, HAYAO)
    assert row[1:] == ["11,129,667", "0.514", "0.279, 0.514, 0.741", "2.5e-07", "0.2", "1e-09"]


def test_a_file_of_something_else_is_told_in_one_line(tmp_path, run_cli):
    end = run_cli("-m", "evaluation.weights", tmp_path / "none.pth")
    assert (end.returncode, end.stdout) == (2, "")
    assert end.stderr == f"error: no file {tmp_path}/none.pth\n"
