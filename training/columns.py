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
    "auc_result": "how well the discriminator tells drawings from results, by patches; 0.5: not at all; 1: "
    "always, which teaches the generator little",
    "auc_smoothed": "how well the discriminator tells drawings from their edge-smoothed copies; 0.5: it "
    "has not learned outlines yet",
    "change_from_photo": "mean absolute difference between result and photograph in grey levels of 255; "
    "below 1 nothing is learned",
    "skipped_steps": "steps of the epoch that were left out because a number in float16 overflowed",
    "line_edges": "share of the strong edges that are drawn lines, thin and dark",
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


def meaning(column, measures, losses):
    """One line about a column of metrics.csv; "" for one that is not known.

    `measures` are those of evaluation.measures.MEASURES, of --eval_every. `losses`, {name: meaning},
    are those in the run's settings.json, from the help of its options.
    """
    column = column.removeprefix("measured_")  # beside a loss of that name
    if column in measures:
        return measures[column].meaning
    if line := (losses | LOSSES | MEASURES | RUNNING).get(column):
        return line
    return next((line for end, line in COMPANIONS.items() if column.endswith(end)), "")


def measures(columns, losses):
    """Those of `columns` that say how good results are: no losses, no companions, nothing of the run itself.

    `losses` is as in `meaning`. A column that is not known is a measure.
    """
    others = {"phase", "epoch", "pictures", "squares", *losses, *LOSSES, *RUNNING}
    return [
        column
        for column in columns
        if column not in others
        and not any(column.removesuffix(end) in columns for end in COMPANIONS if column.endswith(end))
    ]
