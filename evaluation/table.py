"""The table that python -m evaluation prints, and what it says of differences within the error."""

CHECKERBOARD_FROM = 64  # pixels a side: smaller pictures have too few frequencies to tell a peak by
COLUMNS = {  # of the table: key of a row, title, digits
    "pictures": ("pictures", 0),
    "drawn": ("style", 3),
    "flat": ("flat", 3),
    "lines": ("lines", 4),
    "new_lines": ("new lines", 4),
    "at_contours": ("at contours", 2),
    "by_chance": ("by chance", 2),
    "kid_drawings": ("KID to drawings", 4),
    "kid_photos": ("KID to photos", 4),
    "fid_drawings": ("FID to drawings", 2),
    "fid_photos": ("FID to photos", 2),
    "content_change": ("content change", 3),
    "ssim": ("SSIM", 3),
    "colour": ("colour", 2),
    "checkerboard": ("checkerboard", 3),
    "checkerboard_photo": ("checkerboard of the photos", 3),
    "stripes": ("stripes", 2),
    "stripes_photo": ("stripes of the photos", 2),
    "psnr_clear": ("PSNR to clear", 2),
    "ssim_clear": ("SSIM to clear", 3),
}


def markdown(rows):
    """Rows {name: row} as a Markdown table. A column that no row has is left out."""
    keys = [key for key in COLUMNS if any(key in row for row in rows.values())]
    lines = [["", *(COLUMNS[key][0] for key in keys)]]
    for name, row in rows.items():
        cells = [f"{row[key]:.{COLUMNS[key][1]}f}" if key in row else "-" for key in keys]
        deviations = [
            f" ± {row[f'{key}_std']:.{COLUMNS[key][1]}f}" if f"{key}_std" in row else "" for key in keys
        ]
        lines.append([name, *map("".join, zip(cells, deviations, strict=True))])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in lines
    )


def remarks(rows):
    """Sentences on differences in style that are within the error, of rows {name: row}."""
    found = {name: row for name, row in rows.items() if "drawn" in row and name not in ("photos", "drawings")}
    if not found:
        return []
    said = [
        f"{name}: the style differs from the photographs' by no more than its error"
        for name, row in found.items()
        if abs(row["drawn"]) <= row["drawn_std"]
    ]
    highest = max(found, key=lambda name: found[name]["drawn"])
    lowest = found[highest]["drawn"] - found[highest]["drawn_std"]
    as_good = [name for name, row in found.items() if name != highest and row["drawn"] >= lowest]
    return said + [f"{name}: the style is within the error of the highest, {highest}" for name in as_good]
