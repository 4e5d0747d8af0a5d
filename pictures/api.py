"""Apply a generator from your own Python code: two functions with a stable interface.

    from PIL import Image
    from pictures.api import apply_model, load_model

    model = load_model("results/Paprika_20_200_16_results")
    apply_model(model, Image.open("photo.jpg")).save("cartoon.png")

`pip install -e .` in the project's folder makes this work in any folder.
"""

import numpy as np
from PIL import Image, ImageOps

import utils
from pictures import checkpoints, colour, decoding, inference


def load_model(path, device="auto", precision="auto"):
    """Load a generator for `apply_model`; returns a torch.nn.Module.

    `path` is a checkpoint of any layout that test.py reads, or a run's folder: its moving average
    (generator_ema.pth) if there is one, else generator_latest.pth. `device` ("auto", "cpu", "cuda", "cuda:1",
    ...) and `precision` ("auto", "fp32", "tf32", "bf16", "fp16") are those of test.py. PyTorch's TF32
    switches are set for the whole process: on for "tf32", else off. Raises utils.WrongUse if there is no
    such file, it holds no generator, or the device cannot be used.
    """
    generator = checkpoints.load_generator(path)
    device = utils.choose_device(str(device))
    return inference.prepare(generator, device, utils.choose_precision(precision, device))


def apply_model(model, pictures, keep_colour="off", strength=1):
    """Apply a model of `load_model` to a picture, or to each of a list; returns the same kind and size.

    A picture is a PIL image of any mode, which is turned upright and converted to sRGB and gives an RGB
    image, or a uint8 array of height x width x 3 (RGB), which gives another one. `keep_colour` ("off",
    "chroma" or "mean") and `strength` (0 to 1) are those of test.py (docs/applying.md). Raises TypeError for
    another kind of picture, ValueError for other options, utils.RunFailed if the result is not finite.
    """
    if keep_colour not in ("off", "chroma", "mean") or not 0 <= strength <= 1:
        raise ValueError(f"keep_colour is {keep_colour!r} and strength {strength!r}: see docs/applying.md")
    if isinstance(pictures, (list, tuple)):
        return [apply_model(model, picture, keep_colour, strength) for picture in pictures]
    is_pil = isinstance(pictures, Image.Image)
    photo = decoding.pixels(ImageOps.exif_transpose(pictures)) if is_pil else np.asarray(pictures)
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        given = f"{photo.dtype} of shape {photo.shape}"
        raise TypeError(f"a picture is a PIL image or a uint8 array of height x width x 3, RGB; not {given}")
    (result,) = inference.convert(model, [photo])
    result = colour.keep(photo, result, keep_colour, strength)
    return Image.fromarray(result) if is_pil else result
