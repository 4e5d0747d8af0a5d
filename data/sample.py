"""Make small data to try the program with: photographs cut from scikit-image's, and drawings of its own.

    python data/sample.py

Writes src_data/{train,test} and tgt_data/train. Nothing is downloaded: the photographs are files of the
installed scikit-image package, and the drawings, flat colours with ink outlines, are drawn here. The same
seed and library versions give the same bytes.
"""

import argparse
import importlib.util
import math
import random
import sys
from collections import namedtuple
from pathlib import Path

from PIL import Image, ImageColor, ImageDraw, ImageStat

# No scene is in both, so that the test photographs show what G makes of pictures that it never saw.
TRAIN = {"astronaut.png": 16, "coffee.png": 12, "motorcycle_left.png": 20}  # how many cuts of each
TEST = {  # the cuts: left, top, right, bottom
    "chelsea.png": [(0, 0, 451, 300), (110, 40, 340, 270)],
    "rocket.jpg": [(0, 0, 640, 427), (230, 60, 450, 427), (430, 170, 640, 427)],
}
DRAWINGS = 48
WIDTH, HEIGHT = 192, 144  # of a drawing, pixels
FINE = 4  # drawings are made this many times larger and reduced, which smooths their lines
INK, INK_WIDTH = "#213", 2.4

Palette = namedtuple("Palette", "sky lights land leaves walls roofs water")
COLOURS = """\
#4ad #8ce #cef, #feb #fff, #8cb #7b5 #ad5, #384 #5a4 #8b3, #fed #eca #eef, #d43 #c73 #47b, #28c #8ce
#649 #d67 #fb6, #fe9 #f98, #859 #647 #b64, #447 #746 #a55, #fca #ea8 #d89, #835 #537 #b43, #749 #f97
#114 #236 #348, #ffd #56a, #237 #235 #356, #145 #255 #346, #88b #a9b #78b, #436 #635 #358, #126 #68c
#ec9 #fdb #fec, #ffe #ffe, #c96 #c83 #eb4, #c42 #d72 #ea3, #fed #eca #ccb, #843 #654 #366, #59a #cdc
#9bd #bde #def, #ffe #fff, #abd #dee #fff, #266 #478 #7a9, #edc #c97 #bcd, #b34 #569 #eef, #48a #bde
"""  # noon, dusk, night, autumn, winter
PALETTES = [Palette(*map(str.split, row.split(","))) for row in COLOURS.splitlines()]
SKINS = ["#fdb", "#eb8", "#b75", "#743"]
HAIRS = ["#323", "#742", "#d93", "#b43", "#459"]
CLOTHES = ["#d43", "#37b", "#fb3", "#496", "#85a", "#ffe"]


# Photographs


def cuts(rng, photo, count):
    """Random cuts of a photograph, 96 to 128 pixels a side: none is blank, no two are nearly the same."""
    centres = []
    while len(centres) < count:
        size = rng.randint(96, 128), rng.randint(96, 128)
        scale = rng.uniform(1, 2.5)
        width, height = (side * scale for side in size)
        left, top = rng.uniform(0, photo.width - width), rng.uniform(0, photo.height - height)
        centre = left + width / 2, top + height / 2
        cut = photo.resize(size, Image.Resampling.LANCZOS, (left, top, left + width, top + height))
        contrast = ImageStat.Stat(cut.convert("L")).stddev[0]  # a plain wall or floor has 14 to 25
        if contrast > 35 and all(math.dist(centre, other) > 40 for other in centres):
            centres.append(centre)
            yield cut


def photographs(folder, seed):
    """Yield (path below the output folder, image) of the cuts of the photographs in `folder`."""
    for name, count in TRAIN.items():
        rng = random.Random(f"{name} {seed}")
        for number, cut in enumerate(cuts(rng, load(folder / name), count), 1):
            yield f"src_data/train/{Path(name).stem}_{number:02}.jpg", cut
    for name, areas in TEST.items():
        for number, area in enumerate(areas, 1):
            cut = load(folder / name).crop(area)
            cut.thumbnail((256, 256))
            yield f"src_data/test/{Path(name).stem}_{number}.jpg", cut


def load(path):
    with Image.open(path) as image:
        return image.convert("RGB")


# Strokes. Lengths are pixels of the finished drawing.


def fine(points):
    return [(x * FINE, y * FINE) for x, y in points]


def line(draw, points, colour=INK, width=INK_WIDTH):
    """A line with round corners and ends."""
    draw.line(fine(points), colour, round(width * FINE), joint="curve")
    blobs(draw, [(x, y, width / 2) for x, y in (points[0], points[-1])], colour, ink=0)


def shape(draw, points, colour, ink=INK_WIDTH):
    """A filled polygon with an outline."""
    draw.polygon(fine(points), colour)
    if ink:
        line(draw, [*points, points[0]], width=ink)


def blobs(draw, circles, colour, ink=INK_WIDTH):
    """Circles (x, y, radius) that melt into one figure with one outline."""
    for grow, fill in ((ink / 2, INK), (-ink / 2, colour)):
        for x, y, radius in circles:
            reach = radius + grow
            (left, top), (right, bottom) = fine([(x - reach, y - reach), (x + reach, y + reach)])
            draw.ellipse((left, top, right, bottom), fill)


def oval(x, y, width, height, start=0, end=360):
    """Points of an ellipse of these radii, or of an arc of it: degrees, clockwise from the right."""
    angles = [math.radians(start + (end - start) * step / 40) for step in range(41)]
    return [(x + width * math.cos(angle), y + height * math.sin(angle)) for angle in angles]


def box(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def darker(colour, factor=0.78):
    return tuple(round(value * factor) for value in ImageColor.getrgb(colour))


# Things, each about `size` high. `at` places points, given in sizes from the middle of the thing's foot.


def at(x, y, size, points):
    return [(x + right * size, y + down * size) for right, down in points]


def tree(draw, rng, palette, x, y, size):
    leaves = rng.choice(palette.leaves)
    shape(draw, at(x, y, size, box(-0.07, -0.5, 0.07, 0)), "#643")
    if rng.random() < 0.4:  # a fir
        for low, half in ((-0.25, 0.3), (-0.53, 0.24), (-0.81, 0.18)):
            high = low - half * 1.6
            shape(draw, at(x, y, size, [(-half, low), (0, high), (half, low)]), leaves)
            shade = [(0, high + 0.08), (half * 0.85, low - 0.03), (0, low - 0.03)]
            shape(draw, at(x, y, size, shade), darker(leaves), ink=0)
        return
    crown = at(x, y, size, [(rng.uniform(-0.22, 0.22), rng.uniform(-0.85, -0.55)) for _ in range(7)])
    crown = [(left, top, size * rng.uniform(0.16, 0.24)) for left, top in crown]
    blobs(draw, crown, darker(leaves))
    lit = [(left - size * 0.03, top - size * 0.05, radius * 0.72) for left, top, radius in crown]
    blobs(draw, lit, leaves, ink=0)


def house(draw, rng, palette, x, y, size):
    wall, roof, pane = rng.choice(palette.walls), rng.choice(palette.roofs), rng.choice(("#fd8", "#79b"))
    for points, colour in (
        ([(-0.4, 0), (-0.4, -0.55), (0, -1), (0.4, -0.55), (0.4, 0)], wall),
        (box(0.4, -0.55, 0.95, 0), darker(wall)),
        ([(0, -1), (0.55, -1), (1.02, -0.53), (0.4, -0.53)], roof),
        (box(-0.25, -0.5, -0.08, -0.33), pane),
        (box(0.6, -0.4, 0.77, -0.23), pane),
        (box(0.08, -0.32, 0.24, 0), darker(roof)),
    ):
        shape(draw, at(x, y, size, points), colour, ink=min(INK_WIDTH, size * 0.05))


def boat(draw, rng, palette, x, y, size):
    hull, sail = rng.sample(CLOTHES, 2)
    line(draw, at(x, y, size, [(0, -0.1), (0, -1)]), width=3)
    shape(draw, at(x, y, size, [(0, -1), (-0.45, -0.28), (0, -0.25)]), "#ffe")
    shape(draw, at(x, y, size, [(0, -1), (0.38, -0.28), (0, -0.25)]), sail)
    shape(draw, at(x, y, size, [(-0.5, -0.18), (0.5, -0.18), (0.36, 0), (-0.36, 0)]), hull)


def walker(draw, rng, palette, x, y, size):
    skin, hair, coat = rng.choice(SKINS), rng.choice(HAIRS), rng.choice(CLOTHES)
    for foot in (-0.1, 0.1):
        line(draw, at(x, y, size, [(foot / 2, -0.4), (foot, 0)]), width=size * 0.08)
    shape(draw, at(x, y, size, [(-0.09, -0.68), (0.09, -0.68), (0.2, -0.28), (-0.2, -0.28)]), coat)
    line(draw, at(x, y, size, [(0.1, -0.62), (0.27, -0.45)]), width=size * 0.07)
    blobs(draw, [(x, y - size * 0.83, size * 0.16)], hair)
    blobs(draw, [(x + size * 0.02, y - size * 0.79, size * 0.11)], skin, ink=0)


# Layers


def sky(draw, rng, palette):
    light, cloud = palette.lights
    for place, colour in enumerate(palette.sky):
        shape(draw, box(0, place * HEIGHT / 4, WIDTH, HEIGHT), colour, ink=0)
    if sum(ImageColor.getrgb(palette.sky[0])) < 150:
        stars = [(rng.uniform(0, WIDTH), rng.uniform(0, 70), rng.uniform(0.5, 1.2)) for _ in range(30)]
        blobs(draw, stars, light, ink=0)
    blobs(draw, [(rng.uniform(20, WIDTH - 20), rng.uniform(18, 50), rng.uniform(9, 15))], light)
    for _ in range(rng.randint(1, 3)):
        x, y, size = rng.uniform(0, WIDTH), rng.uniform(12, 55), rng.uniform(6, 11)
        puffs = at(x, y, size, [(place, rng.uniform(-0.6, 0)) for place in range(4)])
        blobs(draw, [(left, top, size * rng.uniform(0.7, 1.1)) for left, top in puffs], cloud)


def hill(draw, rng, colour, top, swing):
    """Land below a waving edge around the height `top`; returns the edge as a function of x."""
    waves = [(rng.uniform(0.2, 0.5), rng.uniform(0.015, 0.05), rng.uniform(0, 6)) for _ in range(3)]
    edge = lambda x: top + swing * sum(height * math.sin(x * pace + start) for height, pace, start in waves)
    crest = [(x, edge(x)) for x in range(-8, WIDTH + 9, 4)]
    ground = [(WIDTH + 8, HEIGHT + 8), (-8, HEIGHT + 8)]
    shape(draw, crest + ground, colour)
    lower = [(x, y + 19 + 7 * math.sin(x * 0.06 + top)) for x, y in crest]
    shape(draw, lower + ground, darker(colour, 0.88), ink=0)
    return edge


# Scenes


def landscape(draw, rng, palette):
    sky(draw, rng, palette)
    far, middle, near = palette.land
    hill(draw, rng, far, rng.uniform(60, 78), 15)
    if rng.random() < 0.35:
        sea(draw, rng, palette, rng.uniform(78, 90))
    else:
        edge = hill(draw, rng, middle, rng.uniform(86, 98), 8)
        for x in range(rng.randint(0, 15), WIDTH, 26):
            thing = rng.choice((house, tree, tree))
            thing(draw, rng, palette, x, edge(x) + 10, rng.uniform(32, 46))
    edge = hill(draw, rng, near, rng.uniform(114, 130), 6)
    for thing in rng.sample((tree, tree, walker, house), 2):
        x = rng.uniform(12, WIDTH - 30)
        thing(draw, rng, palette, x, edge(x) + 10, rng.uniform(44, 75))


def sea(draw, rng, palette, level):
    water, glint = palette.water
    shape(draw, box(-8, level, WIDTH + 8, HEIGHT + 8), water)
    for _ in range(16):
        x, y = rng.uniform(0, WIDTH), rng.uniform(level + 6, HEIGHT)
        line(draw, [(x, y), (x + rng.uniform(8, 24), y)], glint, 1.8)
    for x in rng.sample((25, 60, 95, 130, 165), rng.randint(1, 3)):
        y = rng.uniform(level + 10, 118)
        boat(draw, rng, palette, x, y, 24 + (y - level) * 0.9)


def cat(draw, rng, palette):
    sky(draw, rng, palette)
    hill(draw, rng, rng.choice(palette.land), rng.uniform(90, 110), 8)
    fur, iris = rng.choice(("#e93", "#fed", "#878", "#445", "#c96")), rng.choice(("#ac4", "#fc4", "#6bc"))
    x, y = rng.uniform(60, WIDTH - 60), rng.uniform(62, 74)
    shape(draw, oval(x, HEIGHT + 6, 38, 62), fur)
    for side in (-1, 1):
        shape(draw, at(x, y, 1, [(side * 38, 0), (side * 36, -44), (side * 8, -26)]), fur)
        shape(draw, at(x, y, 1, [(side * 32, -14), (side * 32, -34), (side * 18, -26)]), "#eaa", ink=0)
    shape(draw, oval(x, y, 42, 34), fur)
    for side in (-1, 1):
        shape(draw, oval(x + side * 17, y - 2, 8, 9), iris)
        shape(draw, oval(x + side * 17, y - 2, 2.5, 7), INK, ink=0)
        line(draw, oval(x + side * 6, y + 16, 6, 5, 0, 180))
        for rise in (-3, 4):
            line(draw, at(x, y, 1, [(side * 22, 14), (side * 50, 14 + rise)]), width=1.4)
    shape(draw, at(x, y, 1, [(-5, 10), (5, 10), (0, 16)]), "#d67")


def drawing(seed, number):
    """The drawing of a number: palettes take turns, every sixth is a cat, all else is random."""
    canvas = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE))
    scene = landscape if number % 6 else cat
    rng = random.Random(f"drawing {number} {seed}")
    scene(ImageDraw.Draw(canvas), rng, PALETTES[number % len(PALETTES)])
    return canvas.reduce(FINE)


def photo_folder():
    """The folder of scikit-image's photographs, found without importing it: its functions may download."""
    package = importlib.util.find_spec("skimage")
    folder = Path(*package.submodule_search_locations, "data") if package else None
    if not folder or not all((folder / name).is_file() for name in (*TRAIN, *TEST)):
        sys.exit("error: scikit-image and its photographs are not installed: pip install -r requirements.txt")
    return folder


def main(argv=None):
    parser = argparse.ArgumentParser(description="Make small sample data: photographs and drawings.")
    beside = Path(__file__).parent / "sample"
    parser.add_argument("--out", type=Path, default=beside, help="folder to write (sample, beside this file)")
    parser.add_argument("--seed", type=int, default=0, help="which cuts and drawings (%(default)s)")
    args = parser.parse_args(argv)

    pictures = dict(photographs(photo_folder(), args.seed))
    pictures |= {f"tgt_data/train/drawing_{n:02}.png": drawing(args.seed, n) for n in range(DRAWINGS)}
    try:
        for name, picture in pictures.items():
            (args.out / name).parent.mkdir(parents=True, exist_ok=True)
            picture.save(args.out / name, quality=92)
    except OSError as error:
        reason = error.strerror or error
        sys.exit(f"error: cannot write {args.out} ({reason}): name another folder with --out")
    photos, tests = sum(TRAIN.values()), sum(map(len, TEST.values()))
    print(f"wrote {photos} training and {tests} test photographs, {DRAWINGS} drawings: {args.out}")


if __name__ == "__main__":
    main()
