"""Exported models against PyTorch, at sizes and batches other than the traced one."""

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


def ours(**more):
    return checkpoints.generator_file(Generator(ngf=4, nb=1, **more))


FORMS = {
    "both norms, change": lambda: ours(norm="mixed", predict="change"),
    "flatten, outline, guide": lambda: ours(flatten=1, outline=1, guide=2),
    "grey, resized": lambda: ours(in_ngc=1, out_ngc=1, upsample="resize"),
    "no biases": lambda: ours(conv_bias="none"),
    "authors": lambda: authors_weights(),
    "old script": lambda: script_weights(),
    "AnimeGANv2": animegan_weights,
    "CycleGAN": cyclegan_weights,
}


@pytest.mark.parametrize(
    "form", ["both norms, change", *(pytest.param(form, marks=pytest.mark.slow) for form in [*FORMS][1:])]
)
def test_every_form_is_exported(tmp_path, form, capsys):
    import onnxruntime

    torch.manual_seed(0)
    torch.save(FORMS[form](), tmp_path / "net.pth")
    export.main([str(tmp_path / "net.pth"), str(tmp_path / "model.onnx")])
    assert "at 2 sizes" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "net.pth"]
    generator = checkpoints.load_generator(tmp_path / "net.pth")
    photo = torch.rand(3, generator.architecture["in_ngc"], 50, 75) * 2 - 1
    (made,) = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(None, {"photo": photo.numpy()})
    with torch.inference_mode():
        assert (generator(photo) - torch.from_numpy(made)).abs().max() < 1e-3


def test_the_lines_of_the_docs_apply_a_file(tmp_path, monkeypatch):
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


@pytest.mark.parametrize(
    ("on_noise", "on_black"), [(float("nan"), 0), (2e-3, 0), (1e-6, 0.23), (1e-6, float("nan")), (1e-6, 1e-6)]
)
def test_a_model_that_differs_is_not_written_except_on_black(
    tmp_path, monkeypatch, capsys, on_noise, on_black
):
    torch.save(ours(), tmp_path / "net.pth")
    monkeypatch.setattr(export, "export", lambda _, path: path.write_bytes(b"a model"))
    monkeypatch.setattr(export, "difference", lambda *_, black=False: on_black if black else on_noise)
    call = lambda: export.main([str(tmp_path / "net.pth"), str(tmp_path / "model.onnx")])
    if on_noise == 1e-6:
        call()
        assert capsys.readouterr().err.startswith("on a black picture it differs by") == (on_black != 1e-6)
        assert (tmp_path / "model.onnx").read_bytes() == b"a model"
    else:
        with pytest.raises(RunFailed, match=r"not written: .* differs by (nan|0\.002) from"):
            call()
        assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_the_difference_is_the_largest_of_all_sizes(tmp_path, monkeypatch):
    """Against a session whose results are off by the side in thousandths."""

    class Session:
        def __init__(self, *_, **__):
            pass

        def run(self, _, given):
            photo = given["photo"]
            return (photo - photo.shape[2] / 1000,)

    monkeypatch.setattr("onnxruntime.InferenceSession", Session)
    network = torch.nn.Identity()
    network.architecture = {"in_ngc": 3}
    assert export.difference(network, "model.onnx") == pytest.approx(0.101, abs=1e-6)


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "NEEDED", ("onnx", "no_such_package"))
    with pytest.raises(WrongUse, match="pip install no_such_package"):
        export.main(["net.pth", str(tmp_path / "model.onnx")])
