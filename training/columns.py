"""What the columns of metrics.csv mean, a line each: the pages print it under the curve."""

# Written by every step, without the weights of the losses: the mean over an epoch. For a loss that is not
# listed the help of its option NAME_lambda is used.
LOSSES = {
    "content": "mean absolute difference of VGG19's conv4_4 features between result and photograph; 0: the "
    "photograph itself",
    "style": "difference of VGG19's Gram matrices between results and drawings; lower is nearer",
    "total_variation": "mean absolute difference of neighbouring pixels of the result; lower is smoother",
    "discriminator": "what the discriminator minimises; it falls as the discriminator recognises drawings",
    "adversarial": "what the generator minimises against the discriminator; it rises where the discriminator "
    "recognises results",
    "pixel": "mean absolute difference of the pixels of result and flattened photograph; a line costs little",
    "cycle": "mean absolute difference between a photograph and what the second generator makes of its "
    "result",
    "identity": "mean absolute difference between a drawing and what the generator makes of that drawing",
}

MEASURES = {
    "colour": "mean distance of the result's chroma from the photograph's in CIE Lab; 2 is just visible",
    "auc_result": "how well the discriminator tells drawings from results, by patches; 0.5: not at all; 1: "
    "always, which teaches the generator little",
    "auc_smoothed": "how well the discriminator tells drawings from their edge-smoothed copies; 0.5: it "
    "has not learned outlines yet",
    "change_from_photo": "mean absolute difference between result and photograph in grey levels of 255; "
    "below 1 nothing is learned",
    "skipped_steps": "steps of the epoch that were left out because a number in float16 overflowed",
    "drawn": "style: 0 is the photographs, 1 the drawings; compare differences with the deviation",
    "flat": "share of flat pixels; more is more like a drawing",
    "lines": "share of pixels on thin dark lines",
    "new_lines": "share of pixels on thin dark lines that the photograph does not have",
    "at_contours": "share of the new lines that are at contours of the photograph; compare with by_chance",
    "by_chance": "what at_contours would be if the new lines were anywhere",
    "kid_drawings": "distance of the results from the drawings (KID); lower is nearer, but compare "
    "differences with the deviation",
    "kid_photos": "distance of the results from the photographs (KID); lower is nearer",
    "fid_drawings": "distance of the results from the drawings (FID); lower is nearer",
    "fid_photos": "distance of the results from the photographs (FID); lower is nearer",
    "content_change": "change of the photograph's conv4_4 features relative to their mean size; 0: unchanged",
    "ssim": "structural similarity of result and photograph in luminance; 1: the same",
    "line_edges": "share of the strong edges that are drawn lines, thin and dark",
    "checkerboard": "energy of the pattern of transposed convolutions, grey levels squared; a photograph has "
    "about 0",
    "stripes": "energy of fine stripes along rows and columns, grey levels squared; compare with the "
    "photographs' own",
}

RUNNING = {
    "seconds": "seconds that the steps of the epoch took, without samples and measures",
    "images_per_second": "photographs a second in the steps of the epoch",
    "learning_rate": "learning rate of the generator in this epoch",
}

# Of a column that belongs to another one, and is named after it.
COMPANIONS = {
    "_back": "the same from drawings to photographs, of the second generator and discriminator",
    "_std": "standard deviation of the value of this name",
    "_photo": "the photographs' own value, to compare",
    "_drawings": "the drawings' own value, to compare",
}


def meaning(column, losses):
    """One line about a column of metrics.csv; "" for one that is not known.

    `losses`, {name: its meaning}, are those in the run's settings.json, from the help of its options.
    """
    name = column.removeprefix("measured_")  # beside a loss of that name
    if line := (losses | LOSSES | MEASURES | RUNNING).get(name):
        return line
    return next((line for end, line in COMPANIONS.items() if column.endswith(end)), "")


def measures(columns, losses):
    """Those of `columns` that say how good results are: no losses, no companions, nothing of the run itself.

    `losses` is as in `meaning`. A column that is not known is a measure.
    """
    others = {"phase", "epoch", "pictures", "squares", *losses, *LOSSES, *RUNNING} - MEASURES.keys()
    return [
        column
        for column in columns
        if column not in others
        and not any(column.removesuffix(end) in columns for end in COMPANIONS if column.endswith(end))
    ]
