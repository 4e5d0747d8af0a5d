"""Exported models against PyTorch, at sizes and batches other than the one that was traced."""

import re
import runpy

import numpy as np
import pytest
import torch
from foreign import animegan_weights, authors_weights, cyclegan_weights, script_weights
from helpers import ROOT
from PIL import Image

from networks import Generator
from pictures import checkpoints, export
from utils import RunFailed, WrongUse

for name in export.NEEDED:
    pytest.importorskip(name)

OURS = {"ngf": 4, "nb": 1}
FORMS = {
    "drawn": lambda: checkpoints.generator_file(Generator(**OURS, flatten=1, outline=1, guide=2)),
    "ours": lambda: checkpoints.generator_file(Generator(**OURS)),
    "grey, resized": lambda: checkpoints.generator_file(
        Generator(**OURS, in_ngc=1, out_ngc=1, upsample="resize")
    ),
    "layer norm, change": lambda: checkpoints.generator_file(
        Generator(**OURS, norm="layer", predict="change")
    ),
    "no biases": lambda: checkpoints.generator_file(Generator(**OURS, conv_bias="none")),
    "authors": lambda: authors_weights(blocks=1),
    "old script": lambda: script_weights(blocks=1),
    "AnimeGANv2": animegan_weights,
    "CycleGAN": cyclegan_weights,
}


@pytest.mark.parametrize(
    "form", ["drawn", *(pytest.param(form, marks=pytest.mark.slow) for form in [*FORMS][1:])]
)
def test_parity_of_every_form(tmp_path, form, capsys):
    torch.manual_seed(0)
    torch.save(FORMS[form](), tmp_path / "net.pth")
    export.main([str(tmp_path / "net.pth"), str(tmp_path / "model.onnx")])
    assert "at 2 sizes" in capsys.readouterr().out
    found = export.difference(checkpoints.load_generator(tmp_path / "net.pth"), tmp_path / "model.onnx")
    assert len(found) == 2
    assert max(found) < 1e-3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "net.pth"]


def test_the_lines_that_apply_a_file(tmp_path, monkeypatch):
    """The file holds a network that inverts its photo; names and types are those of an exported one."""
    from onnx import TensorProto, helper, save

    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, "H", "W"])
        for name in ("photo", "cartoon")
    ]
    graph = helper.make_graph([helper.make_node("Neg", ["photo"], ["cartoon"])], "", ends[:1], ends[1:])
    opset = helper.make_opsetid("", export.OPSET)
    save(helper.make_model_gen_version(graph, opset_imports=[opset]), tmp_path / "paprika.onnx")
    noise = np.random.default_rng(0).integers(0, 256, (33, 46, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.jpg")
    (lines,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/applying.md").read_text(), re.M | re.S)
    (tmp_path / "lines.py").write_text(lines)
    monkeypatch.chdir(tmp_path)
    runpy.run_path("lines.py")
    photo = np.asarray(Image.open("photo.jpg"))
    assert np.array_equal(np.asarray(Image.open("cartoon.png")), 255 - photo)


def test_a_model_that_differs_is_not_written(tmp_path, monkeypatch):
    torch.save(FORMS["ours"](), tmp_path / "net.pth")
    monkeypatch.setattr(export, "export", lambda _, path: path.write_bytes(b"a model"))
    monkeypatch.setattr(export, "difference", lambda *_, **__: [0.0, float("nan")])
    with pytest.raises(RunFailed, match=r"differs by \[0.0, nan\]"):
        export.main([str(tmp_path / "net.pth"), str(tmp_path / "model.onnx")])
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_a_difference_on_black_is_reported_and_no_failure(tmp_path, monkeypatch, capsys):
    torch.save(FORMS["ours"](), tmp_path / "net.pth")
    monkeypatch.setattr(export, "export", lambda _, path: path.write_bytes(b"a model"))
    monkeypatch.setattr(export, "difference", lambda *_, black=False: [0.23 if black else 1e-6])
    export.main([str(tmp_path / "net.pth"), str(tmp_path / "model.onnx")])
    assert capsys.readouterr().err.startswith("on a black picture it differs by 0.2: an instance norm makes")
    assert (tmp_path / "model.onnx").exists()


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "NEEDED", ("onnx", "no_such_package"))
    with pytest.raises(WrongUse, match="pip install no_such_package"):
        export.main(["net.pth", str(tmp_path / "model.onnx")])


def test_the_command_as_a_process(tmp_path, run_cli):
    end = run_cli("-m", "pictures.export", tmp_path / "none.pth", tmp_path / "model.onnx")
    assert (end.returncode, end.stdout) == (2, "")
    assert end.stderr == f"error: no file {tmp_path}/none.pth\n"
