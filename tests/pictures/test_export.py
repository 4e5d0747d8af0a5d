"""Exported models against PyTorch, at sizes and batches other than the one that was traced."""

import pytest
import torch
from test_layouts import authors_weights, script_weights

import utils
from networks import Generator
from pictures import checkpoints, export

for name in export.NEEDED:
    pytest.importorskip(name)


@pytest.mark.parametrize("layout", ["ours", "grey, resized", "authors", "old script"])
def test_parity_of_every_layout(tmp_path, layout, capsys):
    torch.manual_seed(0)
    content = {
        "ours": lambda: checkpoints.generator_file(Generator(ngf=4, nb=1)),
        "grey, resized": lambda: checkpoints.generator_file(
            Generator(in_ngc=1, out_ngc=1, ngf=4, nb=1, upsample="resize")
        ),
        "authors": lambda: authors_weights(blocks=1),
        "old script": lambda: script_weights(blocks=1),
    }[layout]()
    torch.save(content, tmp_path / "net.pth")
    argv = [str(tmp_path / "net.pth"), str(tmp_path / "model.onnx")]
    assert utils.exit_status(lambda: export.main(argv)) == 0
    assert "at 2 sizes" in capsys.readouterr().out
    found = export.difference(checkpoints.load_generator(tmp_path / "net.pth"), tmp_path / "model.onnx")
    assert len(found) == 2
    assert max(found) < 1e-3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "net.pth"]


def test_a_model_that_differs_is_not_written(tmp_path, monkeypatch, capsys):
    torch.save(checkpoints.generator_file(Generator(ngf=4, nb=0)), tmp_path / "net.pth")
    monkeypatch.setattr(export, "difference", lambda *_: [0.0, float("nan")])
    argv = [str(tmp_path / "net.pth"), str(tmp_path / "model.onnx")]
    assert utils.exit_status(lambda: export.main(argv)) == 1
    assert "differs by [0.0, nan]" in capsys.readouterr().err
    assert not (tmp_path / "model.onnx").exists()


def test_missing_packages_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "NEEDED", ("onnx", "no_such_package"))
    assert utils.exit_status(lambda: export.main(["net.pth", str(tmp_path / "model.onnx")])) == 2
    assert "pip install no_such_package" in capsys.readouterr().err
