"""The methods that `python -m survey` runs, in the order in which it shows them."""

from typing import NamedTuple


class Method(NamedTuple):
    """A row of the survey; `words` is its command: a module of survey/, and what that is told."""

    name: str
    title: str
    year: int
    optimises: str
    words: str


METHODS = (
    Method(
        "texture",
        "Texture (Gatys et al.)",
        2015,
        "Gram matrices, from noise, without a photograph",
        "texture {drawing} {output}",
    ),
    Method(
        "gatys",
        "Gatys et al.",
        2016,
        "content features and Gram matrices",
        "gatys {photo} {drawing} {output}",
    ),
    Method(
        "colour_histogram",
        "Gatys et al., colours matched",
        2016,
        "the same, with a drawing of the photograph's colours",
        "gatys {photo} {drawing} {output} --keep_colour histogram",
    ),
    Method(
        "colour_luminance",
        "Gatys et al., luminance only",
        2016,
        "the same, of luminance alone",
        "gatys {photo} {drawing} {output} --keep_colour luminance",
    ),
    Method(
        "mmd_linear",
        "Li et al., linear kernel",
        2017,
        "content features and the channels' means",
        "gatys {photo} {drawing} {output} --statistics mmd_linear",
    ),
    Method(
        "mmd_gaussian",
        "Li et al., Gaussian kernel",
        2017,
        "content features and how the places' features are distributed",
        "gatys {photo} {drawing} {output} --statistics mmd_gaussian",
    ),
    Method(
        "mean_std",
        "Li et al., batch norm's statistics",
        2017,
        "content features and the channels' means and deviations",
        "gatys {photo} {drawing} {output} --statistics mean_std",
    ),
    Method(
        "mrf",
        "Li and Wand",
        2016,
        "content features and distances to the drawing's patches of features",
        "mrf {photo} {drawing} {output}",
    ),
    Method(
        "analogy",
        "Liao et al., deep image analogy",
        2017,
        "nothing: patches of features are matched both ways, from coarse to fine",
        "analogy {photo} {drawing} {output}",
    ),
)
