"""Exported models against PyTorch, at sizes and batches other than the traced one."""

import re
import runpy

import numpy as np
import pytest
import torch
from bad_data import noise
from foreign import PROGRAMS
from helpers import ROOT
from PIL import Image

from networks import Generator
from pictures import checkpoints, export
from pictures.api import apply_model, load_model
from utils import RunFailed

for name in export.NEEDED:
    pytest.importorskip(name)


def own_weights(**more):
    return checkpoints.generator_file(Generator(ngf=4, nb=1, **more))


FORMS = {
    "flatten, outline, guide": lambda: own_weights(flatten=1, outline=1, guide=2),
    "grey, resized, no biases": lambda: own_weights(in_ngc=1, out_ngc=1, upsample="resize", conv_bias="none"),
    **{name: lambda weights=weights: weights for name, (weights, _) in PROGRAMS.items()},
}


def exported_difference(tmp_path, weights, capsys):
    """Export weights to paprika.onnx; the largest difference of its result from PyTorch's."""
    import onnxruntime

    torch.save(weights, tmp_path / "net.pth")
    export.main([str(tmp_path / "net.pth"), str(tmp_path / "paprika.onnx")])
    assert "measured with ONNX Runtime" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.pth", "paprika.onnx"]
    generator = checkpoints.load_generator(tmp_path / "net.pth")
    photo = torch.rand(3, generator.architecture["in_ngc"], 50, 75) * 2 - 1
    session = onnxruntime.InferenceSession(tmp_path / "paprika.onnx")
    (made,) = session.run(None, {"photo": photo.numpy()})
    with torch.inference_mode():
        return (generator(photo) - torch.from_numpy(made)).abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_exported(tmp_path, form, capsys):
    torch.manual_seed(0)
    assert exported_difference(tmp_path, FORMS[form](), capsys) < 1e-3


def test_the_code_in_the_docs_applies_an_exported_model(tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    assert exported_difference(tmp_path, own_weights(norm="mixed", predict="change"), capsys) < 1e-3
    noise(46, 33).save(tmp_path / "photo.jpg")
    (lines,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/applying.md").read_text(), re.M | re.S)
    (tmp_path / "lines.py").write_text(lines)
    monkeypatch.chdir(tmp_path)
    runpy.run_path("lines.py")
    expected = apply_model(load_model("net.pth", "cpu", "fp32"), Image.open("photo.jpg"))
    assert abs(np.asarray(expected).astype(int) - Image.open("cartoon.png")).max() <= 1


@pytest.mark.parametrize("found", [float("nan"), 2e-3])
def test_a_model_that_differs_is_not_written(tmp_path, monkeypatch, found):
    torch.save(own_weights(), tmp_path / "net.pth")
    monkeypatch.setattr(export, "export", lambda _, path: path.write_bytes(b"a model"))
    monkeypatch.setattr(export, "difference", lambda *_: found)
    with pytest.raises(RunFailed, match=f"not written: .* differs by {found:g} from"):
        export.main([str(tmp_path / "net.pth"), str(tmp_path / "model.onnx")])
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]
