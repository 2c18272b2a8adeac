"Bad inputs of `pictures`, and the message each must give."
import tempfile
from pathlib import Path

from PIL import Image

from tokenbridge import pictures as p

FOLDER = Path(tempfile.mkdtemp())
(FOLDER / "text.png").write_text("no image")
Image.effect_noise((64, 64), 50).save(FOLDER / "half.jpg")
(FOLDER / "half.jpg").write_bytes((FOLDER / "half.jpg").read_bytes()[:700])
Image.new("F", (8, 8)).save(FOLDER / "depth.tif")
(FOLDER / "empty").mkdir()
SQUARE = Image.new("RGB", (8, 8))

ROWS = {
    "IMAGE_ENDINGS": "internal: a constant, the endings read as images",
    "colour_bytes": [
        (lambda: p.colour_bytes("mud"), ValueError,
         "background: expected a colour's name or three bytes, got 'mud'"),
        (lambda: p.colour_bytes((0, 0)), ValueError, "background: expected a colour's name or three bytes"),
        (lambda: p.colour_bytes((0, 0, 256)), ValueError, "got (0, 0, 256)"),
        (lambda: p.colour_bytes(None), ValueError, "got None"),
    ],
    "to_rgb": [
        (lambda: p.to_rgb(Image.new("F", (8, 8))), ValueError, "mode 'F': its numbers have no known range"),
        (lambda: p.to_rgb(Image.new("I", (8, 8))), ValueError, "mode 'I': its numbers have no known range"),
        (lambda: p.to_rgb(SQUARE, "mud"), ValueError, "background: expected a colour's name"),
    ],
    "centre_square": "internal: works on images that PIL has read",
    "read_image": [
        (lambda: p.read_image(FOLDER / "none.png", 8), FileNotFoundError, "none.png: no such image file"),
        (lambda: p.read_image(FOLDER / "text.png", 8), ValueError, "text.png: expected an image file (JPEG"),
        (lambda: p.read_image(FOLDER / "half.jpg", 8), ValueError, "half.jpg: cannot be read as an image"),
        (lambda: p.read_image(FOLDER / "depth.tif", 8), ValueError,
         "depth.tif: cannot be read as an image (ValueError: mode 'F'"),
        (lambda: p.read_image(FOLDER / "text.png", 0), ValueError, "size: expected an integer of at least 1"),
    ],
    "in_threads": "internal: takes what our own functions give",
    "image_files": [(lambda: p.image_files(FOLDER / "none"), OSError, "none")],
    "Listing": "internal: what `list_images` returns",
    "list_images": [
        (lambda: p.list_images(FOLDER / "none", 8), FileNotFoundError, "none: no such folder"),
        (lambda: p.list_images(FOLDER / "empty", 8), ValueError, "empty: expected images, found none"),
        (lambda: p.list_images(FOLDER, 2), ValueError, "size: expected an integer of at least 8, got 2"),
    ],
}
