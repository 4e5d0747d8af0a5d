"""Write a checkpoint's generator as ONNX, for use without PyTorch.

    python -m pictures.export generator_latest.pth model.onnx

Needs `pip install onnx onnxscript onnxruntime`.
"""

import importlib.util
import sys

import torch

from pictures import checkpoints
from support.arguments import Parser, one_line, path
from support.files import replacing
from utils import RunFailed, WrongUse, exit_status, report

NEEDED = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18
CLOSE = 1e-3  # largest difference from PyTorch's result, in [-1, 1]
SIZE = 1, 101, 67  # batch, height and width that are compared: not those of the trace


def export(generator, path):
    """Write a generator and its weights to an ONNX file.

    Input "photo" (N,in_ngc,H,W) and output "cartoon" (N,out_ngc,H,W), float32 in [-1, 1], RGB; any N, and
    any H and W of at least 16.
    """
    # Two pictures, since a trace with one is valid only for one.
    photo = torch.zeros(2, generator.architecture["in_ngc"], 64, 96)
    shape = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    program = torch.onnx.export(
        generator.eval(),
        (photo,),
        input_names=["photo"],
        output_names=["cartoon"],
        dynamic_shapes=(shape,),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    for node in program.model.graph:
        node.metadata_props.clear()  # stack traces, with the names of this machine's folders
    program.save(path, external_data=False)


def difference(generator, path, black=False):
    """The largest difference between PyTorch and ONNX Runtime at SIZE, on noise or on black."""
    import onnxruntime

    batch, height, width = SIZE
    noise = torch.Generator().manual_seed(0)
    photo = torch.rand(batch, generator.architecture["in_ngc"], height, width, generator=noise) * 2 - 1
    if black:
        photo.fill_(-1)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (made,) = session.run(None, {"photo": photo.numpy()})
    with torch.inference_mode():
        return (generator(photo) - torch.from_numpy(made)).abs().max().item()


def main(argv=None):
    parser = Parser("Write a generator as ONNX, and compare its results with PyTorch's.")
    parser.add_argument("checkpoint", type=one_line, help="a generator in any layout that test.py reads")
    parser.add_argument("model", type=path, help="the ONNX file to write")
    args = parser.parse_args(argv)
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise WrongUse(f"export needs more packages: pip install {' '.join(missing)}")
    generator = checkpoints.load_generator(args.checkpoint)
    args.model.parent.mkdir(parents=True, exist_ok=True)
    with replacing(args.model) as part:
        export(generator, part)
        found = difference(generator, part)
        if not found <= CLOSE:
            raise RunFailed(f"not written: the model differs by {found:g} from PyTorch, more than {CLOSE:g}")
        on_black = difference(generator, part, black=True)
    print(f"{args.model}: within {found:.1g} of PyTorch, measured with ONNX Runtime")
    if not on_black <= CLOSE:
        report(f"on black it differs by {on_black:.1g}: norms amplify rounding errors of equal pixels")


if __name__ == "__main__":
    sys.exit(exit_status(main))
