"Folders of pictures, as a user may have them: photograph-like ones of five classes, and grey digits."
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SCENES = {"brick": (178, 74, 52), "grass": (66, 128, 48), "sand": (214, 188, 140), "sky": (110, 160, 220),
          "water": (30, 80, 120)}


def photographs(root: Path, train: int = 8, test: int = 4) -> tuple[str, ...]:
    "Folders train/ and test/ with a folder for each of five classes, of JPEG and PNG files of unlike sizes."
    random = np.random.default_rng(0)
    for split, num in (("train", train), ("test", test)):
        for name, colour in SCENES.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(num):
                high, wide = random.integers(64, 120, 2)
                coarse = random.normal(0, 30, (high // 8 + 1, wide // 8 + 1, 1)).repeat(8, 0).repeat(8, 1)
                fine = random.normal(0, 8, (high, wide, 3))
                light = np.linspace(20, -20, high)[:, None, None]
                pixels = np.array(colour) + coarse[:high, :wide] + fine + light
                picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                picture.save(folder / f"{name}-{split}-{i}.{('jpg', 'png')[i % 2]}")
    return tuple(SCENES)


def digits(root: Path, num: int = 4) -> None:
    "A folder for each number from 0 to 10: white figures on black, 28 x 28 pixels, one byte per pixel."
    random = np.random.default_rng(1)
    for number in range(11):   # 10 comes after 9, not after 1
        folder = root / str(number)
        folder.mkdir(parents=True)
        for i in range(num):
            picture = Image.new("L", (28, 28))
            x, y = random.integers(4, 12, 2)
            ImageDraw.Draw(picture).text((int(x), int(y)), str(number), fill=255)
            picture.save(folder / f"{i}.png")
