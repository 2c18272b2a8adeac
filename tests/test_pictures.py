"Every kind of picture is decided as lesson 01's table says; a folder's files are used or named."
import os
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tools.notebooks import read
from tokenbridge import pictures as p

GREEN, WHITE, BLUE = [0, 128, 0], [255, 255, 255], [0, 0, 255]


def seen(image: Image.Image, path: Path, **options) -> torch.Tensor:
    "The two pixels (2, 3) of a saved picture of 16 x 8, left and right half."
    image.save(path, **options)
    read_back = p.read_image(path, 8)   # the middle square: columns 4 to 11
    return torch.stack([read_back[:, 4, 0], read_back[:, 4, -1]])


def halves(mode: str, left, right) -> Image.Image:
    image = Image.new(mode, (16, 8), right)
    image.paste(left, (0, 0, 8, 8))
    return image


def deep(left: int, right: int) -> np.ndarray:
    pixels = np.full((8, 16), right, np.uint16)
    pixels[:, :8] = left
    return pixels


def black_and_white(folder):
    assert seen(halves("1", 0, 1), folder / "a.png").tolist() == [[0] * 3, WHITE]
    assert seen(halves("L", 7, 200), folder / "b.png").tolist() == [[7] * 3, [200] * 3]


def colour(folder):
    assert seen(halves("RGB", (0, 128, 0), (1, 2, 3)), folder / "a.png").tolist() == [GREEN, [1, 2, 3]]
    assert p.to_rgb(halves("RGBX", (0, 128, 0, 0), (1, 2, 3, 9))).getpixel((15, 0)) == (1, 2, 3)


def palette(folder):
    image = halves("P", 0, 1)
    image.putpalette([0, 128, 0, 1, 2, 3])
    assert seen(image, folder / "a.png").tolist() == [GREEN, [1, 2, 3]]


def transparent(folder):
    assert seen(halves("RGBA", (0, 128, 0, 255), (0, 0, 0, 0)), folder / "a.png").tolist() == [GREEN, WHITE]
    assert seen(halves("LA", (9, 255), (0, 0)), folder / "b.png").tolist() == [[9] * 3, WHITE]
    assert seen(halves("RGB", (0, 128, 0), (1, 2, 3)), folder / "c.png",
                transparency=(1, 2, 3)).tolist() == [GREEN, WHITE]
    assert seen(halves("L", 9, 4), folder / "d.png", transparency=4).tolist() == [[9] * 3, WHITE]
    assert seen(halves("1", 1, 0), folder / "e.png", transparency=0).tolist() == [WHITE, WHITE]
    image = halves("P", 0, 1)
    image.putpalette([0, 128, 0, 1, 2, 3])
    assert seen(image, folder / "f.png", transparency=1).tolist() == [GREEN, WHITE]
    assert seen(image, folder / "g.png", transparency=b"\xff\x00").tolist() == [GREEN, WHITE]
    assert seen(image, folder / "h.gif", transparency=1).tolist() == [GREEN, WHITE]
    image.putpalette([0, 128, 0, 255, 1, 2, 3, 0], "RGBA")
    assert p.to_rgb(image).getpixel((15, 0)) == (255, 255, 255)
    pale = halves("RGBA", (0, 0, 0, 51), (0, 0, 0, 0))
    assert p.to_rgb(pale, "blue").getpixel((0, 0)) == (0, 0, 204)
    pale.save(folder / "i.png")
    assert p.read_image(folder / "i.png", 8, "#00f")[:, 4, -1].tolist() == BLUE
    assert p.read_image(folder / "i.png", 8, (0, 0, 255))[:, 4, -1].tolist() == BLUE
    image = Image.new("PA", (8, 8))
    image.putpalette([0, 128, 0])
    assert p.to_rgb(image).getpixel((0, 0)) == (255, 255, 255)


def premultiplied(folder):
    half = halves("RGBA", (0, 200, 0, 128), (0, 0, 0, 0)).convert("RGBa")
    red, green, _ = p.to_rgb(half).getpixel((0, 0))
    assert 125 <= red <= 129 and 225 <= green <= 229 and p.to_rgb(half).getpixel((15, 0)) == (255, 255, 255)
    grey = p.to_rgb(halves("LA", (200, 128), (0, 0)).convert("La")).getpixel((0, 0))[0]
    assert 225 <= grey <= 229


def sixteen_bits(folder):
    for name in ("a.png", "b.tif"):
        assert seen(Image.fromarray(deep(257 * 7, 65535)), folder / name).tolist() == [[7] * 3, WHITE], name
    assert seen(Image.fromarray(deep(257 * 7, 300)), folder / "c.png", transparency=300).tolist() == [
        [7] * 3, WHITE]
    (folder / "d.pgm").write_bytes(b"P5 16 8 65535\n" + deep(257 * 7, 65535).astype(">u2").tobytes())
    assert p.read_image(folder / "d.pgm", 8)[0, 4, [0, -1]].tolist() == [7, 255]
    big = Image.frombytes("I;16B", (16, 8), deep(257 * 7, 65535).astype(">u2").tobytes())
    assert seen(big, folder / "e.tif").tolist() == [[7] * 3, WHITE]
    white_is_zero = Image.fromarray(deep(65535 - 257 * 7, 0))
    assert seen(white_is_zero, folder / "f.tif", tiffinfo={262: 0}).tolist() == [[7] * 3, WHITE]


def sixteen_bits_of_colour(folder):
    row = np.zeros((8, 16, 3), ">u2")
    row[:, :8] = (0, 128 * 256, 0)
    row[:, 8:] = (256, 512, 768)
    (folder / "a.ppm").write_bytes(b"P6 16 8 65535\n" + row.tobytes())
    values = p.read_image(folder / "a.ppm", 8)[:, 4, [0, -1]].T.tolist()
    assert values == [GREEN, [1, 2, 3]]


def formulas(folder):
    assert seen(halves("CMYK", (255, 0, 0, 0), (0, 0, 0, 255)), folder / "a.tif").tolist() == [
        [0, 255, 255], [0, 0, 0]]
    assert seen(halves("YCbCr", (128, 128, 128), (255, 128, 128)), folder / "b.tif").tolist() == [
        [128] * 3, WHITE]
    assert p.to_rgb(halves("HSV", (0, 255, 255), (0, 0, 255))).getpixel((0, 0)) == (255, 0, 0)
    black, white = seen(halves("LAB", (0, 128, 128), (255, 128, 128)), folder / "c.tif")
    assert black.max() < 5 and white.min() > 250


def no_range(folder):
    for mode in ("F", "I"):
        Image.new(mode, (8, 8)).save(folder / f"{mode}.tif")
        with pytest.raises(ValueError, match=f"{mode}.tif: .*mode '{mode}': its numbers have no known range"):
            p.read_image(folder / f"{mode}.tif", 8)


def upright(folder):
    image, note = halves("RGB", (255, 0, 0), (0, 0, 0)).resize((16, 16)), Image.Exif()
    note[0x0112] = 3   # half a turn
    for ending in ("png", "jpg", "webp", "tif"):
        image.save(folder / f"a.{ending}", exif=note)
        turned = p.read_image(folder / f"a.{ending}", 16)
        assert turned[0, :, 12:].min() > 230 and turned[0, :, :4].max() < 25, ending


def several(folder):
    first, second = Image.new("RGB", (8, 8), (0, 128, 0)), Image.new("RGB", (8, 8), (255, 0, 0))
    for ending in [e for e in ("gif", "tif", "webp", "avif", "png") if f".{e}" in p.IMAGE_ENDINGS]:
        lossless = {"lossless": True} if ending == "webp" else {"quality": 100} if ending == "avif" else {}
        first.save(folder / f"a.{ending}", save_all=True, append_images=[second], **lossless)
        difference = p.read_image(folder / f"a.{ending}", 8)[:, 4, 4] - torch.tensor(GREEN)
        assert difference.abs().max() < 4, ending


def damaged(folder):
    Image.effect_noise((64, 64), 50).save(folder / "half.png")
    (folder / "half.png").write_bytes((folder / "half.png").read_bytes()[:900])
    with pytest.raises(ValueError, match="half.png: cannot be read as an image"):
        p.read_image(folder / "half.png", 8)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ValueError, match="whole.png: .*Bomb"):
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        Image.new("L", (64, 64)).save(folder / "whole.png")
        p.read_image(folder / "whole.png", 8)


KINDS = {"black and white, grey": black_and_white, "colour": colour, "palette": palette,
         "transparent": transparent, "premultiplied": premultiplied, "16 bits of grey": sixteen_bits,
         "16 bits of colour": sixteen_bits_of_colour, "print, video, Lab, HSV": formulas,
         "numbers without a range": no_range, "held upright": upright, "several pictures": several,
         "damaged, or too large for Pillow's limit": damaged}


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_the_table(kind, tmp_path):
    KINDS[kind](tmp_path)


def test_every_row_of_the_lesson_has_its_test():
    cells = read("01_data")["cells"]
    table = next(cell["source"] for cell in cells if "| Pillow's modes |" in cell["source"])
    assert [row.split("|")[1].strip() for row in table.split("\n") if row.startswith("| ")][2:] == list(KINDS)


def test_a_strip_is_cut_before_it_is_enlarged(tmp_path, monkeypatch):
    Image.new("L", (10000, 1), 200).save(tmp_path / "strip.png")
    sizes, resize = [], Image.Image.resize
    def watched(image, size, *args, **options):
        sizes.append(size)
        return resize(image, size, *args, **options)
    monkeypatch.setattr(Image.Image, "resize", watched)
    assert p.read_image(tmp_path / "strip.png", 256).unique().tolist() == [200]
    assert sizes and max(max(size) for size in sizes) <= 256
    sizes.clear()
    wide = p.centre_square(Image.new("RGB", (1000, 300)), 64)
    assert wide.size == (64, 64) and sizes == [(500, 150), (250, 75), (213, 64)], "first shrunk, then cut"


def test_all_endings_that_a_folder_takes_can_be_read(tmp_path):
    for ending in p.IMAGE_ENDINGS:
        image = Image.new("1" if ending == ".pbm" else "L" if ending == ".pgm" else "RGB", (16, 16), 1)
        kind = {".jfif": "JPEG", ".jpe": "JPEG", ".pnm": "PPM", ".pbm": "PPM", ".pgm": "PPM"}.get(ending)
        image.save(tmp_path / f"x{ending.upper()}", kind)
        assert p.read_image(tmp_path / f"x{ending.upper()}", 8).shape == (3, 8, 8)
    assert len(p.image_files(tmp_path)) == len(p.IMAGE_ENDINGS)
    assert {".tif", ".tiff", ".gif", ".ppm", ".pgm", ".jfif"} <= set(p.IMAGE_ENDINGS)


def tree(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            Image.new("L", (16, 16), number).save(path)
        else:
            path.write_text("no image")
    return root


def quiet(*args, **options) -> p.Listing:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return p.list_images(*args, **options)


def test_numbers_sort_as_numbers_and_a_flat_folder_is_one_class(tmp_path):
    tree(tmp_path / "digits", *(f"{name}/x.png" for name in ("10", "9", "1", "b", "a", "02")))
    assert quiet(tmp_path / "digits", 8).classes == ("1", "02", "9", "10", "a", "b")
    tree(tmp_path / "flowers", "a.png", "b.png")
    assert quiet(tmp_path / "flowers", 8).classes == ("flowers",)
    assert quiet(tmp_path / "flowers", 8).labels.tolist() == [0, 0]


def test_sub_folders_for_training_and_tests(tmp_path):
    names = lambda listing: sorted(path.relative_to(tmp_path).as_posix() for path in listing.paths)
    for tests in ("test", "val"):
        root = tree(tmp_path / tests, "train/a/1.png", "train/b/2.png", f"{tests}/b/3.png")
        parts = {"train": ["train/a/1.png", "train/b/2.png"], "test": [f"{tests}/b/3.png"]}
        for split, expected in parts.items():
            listing = quiet(root, 8, split)
            assert names(listing) == [f"{tests}/{name}" for name in expected]
            assert listing.classes == ("a", "b")
        assert listing.labels.tolist() == [1] and len(quiet(root, 8).paths) == 3
    tree(tmp_path / "test", "test/zebra/1.png")
    with pytest.raises(ValueError, match="expected the classes of .*train, found 'zebra' besides"):
        p.list_images(tmp_path / "test", 8, "test")
    with pytest.raises(FileNotFoundError, match="expected a folder train beside test"):
        p.list_images(tree(tmp_path / "only", "test/a/1.png"), 8, "train")
    vehicles = tree(tmp_path / "vehicles", "train/1.png", "car/2.png", "ship/3.png")
    assert quiet(vehicles, 8).classes == ("car", "ship", "train"), "a train is a vehicle"


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_without_them_a_tenth_is_for_tests(tmp_path, prefix):
    tree(tmp_path, *(f"{prefix}{name}/{i}.png" for name in "ab" for i in range(15)))
    train, test, everything = (quiet(tmp_path, 8, split) for split in ("train", "test", None))
    assert (len(train.paths), len(test.paths)) == (27, 3)
    assert train.paths + test.paths == everything.paths and train.classes == test.classes == ("a", "b")
    assert quiet(tmp_path, 8, "train", limit=5).paths == train.paths[:5]


def test_what_is_left_out_is_counted_and_named(tmp_path):
    root = tree(tmp_path / "photos", "a/1.png", "b/2.png", "b/deep/3.png", "b/notes.txt", "b/4.heic", "5.png",
                "a/.hidden.png", ".cache/x/y.png", "README", "a/6.HEIC", "a/7.mp4")
    (root / "a" / "gone.png").symlink_to(root / "nowhere.png")
    (root / "a" / "again").symlink_to(root / "b", target_is_directory=True)
    with pytest.warns(UserWarning) as said:
        listing = p.list_images(root, 8)
    assert len(said) == 1
    text = str(said[0].message)
    assert text.startswith(f"{root}: left out ") and "2 beside the class folders (5.png, README)" in text
    assert "4 with another ending (a/6.HEIC, a/7.mp4, b/4.heic, ...)" in text
    assert "1 broken links (a/gone.png)" in text and "1 linked folders inside a class (a/again)" in text
    assert {reason: len(paths) for reason, paths in listing.left_out.items()} == {
        "beside the class folders": 2, "linked folders inside a class": 1, "broken links": 1,
        "with another ending": 4}
    assert len(listing.paths) == 3 and "hidden" not in text and "cache" not in text


def test_broken_files_and_empty_classes_are_errors_or_left_out(tmp_path):
    root = tree(tmp_path, *(f"a/{i}.png" for i in range(5)), "b/1.png")
    for name in ("a/x.png", "b/y.png"):
        (root / name).write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"[xy]\.png: expected an image file .* skip_broken=True leaves"):
        p.list_images(root, 8)
    (root / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: expected images, found none"):
        p.list_images(root, 8)
    with pytest.warns(UserWarning, match=r"1 empty class folders \(empty\); 2 that cannot be read \("):
        listing = p.list_images(root, 8, skip_broken=True)
    assert sorted(path.name for path in listing.left_out["that cannot be read"]) == ["x.png", "y.png"]
    assert listing.classes == ("a", "b") and len(listing.paths) == 6
    (root / "empty").rmdir()
    assert len(p.list_images(root, 8, open_each=False).paths) == 8, "whoever reads them finds the broken ones"


def test_a_truncated_photograph_is_found_when_the_set_is_made(tmp_path):
    (tmp_path / "a").mkdir()
    Image.effect_noise((400, 300), 50).convert("RGB").save(tmp_path / "a" / "1.jpg")
    whole = (tmp_path / "a" / "1.jpg").read_bytes()
    (tmp_path / "a" / "2.jpg").write_bytes(whole[:len(whole) // 2])
    with pytest.raises(ValueError, match="2.jpg: cannot be read as an image .OSError: .*truncated"):
        p.list_images(tmp_path, 8)


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="needs files that may not be read")
def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    tree(tmp_path, "a/1.png", "a/deep/2.png")
    (tmp_path / "a" / "deep").chmod(0)
    with pytest.raises(OSError, match=re.escape("deep")):
        p.list_images(tmp_path, 8)
    (tmp_path / "a" / "deep").chmod(0o700)
