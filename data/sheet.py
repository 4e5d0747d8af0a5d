"""A contact sheet: all frames that were looked at, in order, the kept ones bright, each with a line."""

import numpy as np
from PIL import Image, ImageDraw

from pictures import images

COLUMNS, ROWS = 12, 40  # of a page
WIDTH, LABEL = 160, 14  # pixels: of a frame, and the height of the line below it
KEPT, DROPPED = (130, 230, 130), (255, 150, 130)


class Sheet:
    """Pages PREFIX_1.jpg, PREFIX_2.jpg, … of frames; each is written when full, the last one by `finish`."""

    def __init__(self, prefix):
        self.prefix, self.files, self.cells = prefix, [], []

    def add(self, frame, text, kept):
        """Show a frame (uint8 RGB) above a text of at most 26 letters. Raises OSError."""
        height, width = frame.shape[:2]
        small = images.resize(frame, WIDTH, round(WIDTH * height / width))
        self.cells.append((small if kept else small // 2, text, kept))
        if len(self.cells) == COLUMNS * ROWS:
            self.finish()

    def finish(self):
        """Write the frames that no page shows yet. Raises OSError."""
        if not self.cells:
            return
        row = max(len(small) for small, *_ in self.cells) + LABEL  # a film may change its size
        page = Image.new("RGB", (COLUMNS * WIDTH, -(-len(self.cells) // COLUMNS) * row))
        pen = ImageDraw.Draw(page)
        for place, (small, text, kept) in enumerate(self.cells):
            left, top = place % COLUMNS * WIDTH, place // COLUMNS * row
            page.paste(Image.fromarray(small), (left, top))
            pen.text((left + 2, top + len(small)), text, KEPT if kept else DROPPED)
        self.files.append(self.prefix.with_name(f"{self.prefix.name}_{len(self.files) + 1}.jpg"))
        images.write(self.files[-1], np.asarray(page), quality=85)
        self.cells = []
