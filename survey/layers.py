"""The layers of VGG19 by their names in papers, such as relu4_1 and pool3, and their feature maps."""

import copy

from torch import nn

from utils import report

# Indices in VGG19.features of the layers that the methods use: ReLUs, and the poolings between blocks.
INDICES = {"relu1_1": 1, "relu1_2": 3, "pool1": 4, "relu2_1": 6, "relu2_2": 8, "pool2": 9}
INDICES |= {"relu3_1": 11, "relu3_2": 13, "relu3_3": 15, "relu3_4": 17, "pool3": 18}
INDICES |= {"relu4_1": 20, "relu4_2": 22, "relu4_3": 24, "relu4_4": 26, "pool4": 27, "relu5_1": 29}


def available(vgg, names):
    """Those of the named layers that a VGG19 has; reports the missing ones."""
    missing = [name for name in names if INDICES[name] >= len(vgg.features)]
    if missing:
        report(f"these VGG19 weights end at conv4_4: {', '.join(missing)} cannot be used")
    return [name for name in names if name not in missing]


def features(vgg, picture, names):
    """{name: feature map (N,C,H,W)} of a picture (N,3,H,W) in [-1, 1]; stops at the last of the layers."""
    ordered = sorted({*names}, key=INDICES.get)
    return dict(zip(ordered, vgg.maps(picture, [INDICES[name] for name in ordered]), strict=True))


def pool_by_average(vgg):
    """A copy of a VGG19 with average pooling, which Gatys et al. (2015) prefer."""
    vgg = copy.deepcopy(vgg)
    for index, layer in enumerate(vgg.features):
        if isinstance(layer, nn.MaxPool2d):
            vgg.features[index] = nn.AvgPool2d(2)
    return vgg
