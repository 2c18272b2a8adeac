"Bad inputs of `demo`, and the message each must give."
import tempfile
from pathlib import Path

from tokenbridge import demo

FILE = Path(tempfile.mkdtemp()) / "file"
FILE.write_text("a file, not a folder")

ROWS = {
    "write_pictures": "internal: called by run_demo",
    "compare": "internal: formats what `measure` gives",
    "known_metrics": "internal: an unknown set has no known figures",
    "run_demo": [
        (lambda: demo.run_demo(FILE / "demo", fast=True), OSError, "file"),
        (lambda: demo.run_demo(FILE.parent / "demo", data=FILE.parent, fast=True), ValueError,
         "expected images, found none"),
        (lambda: demo.run_demo(FILE.parent / "demo", data="no-such", fast=True), FileNotFoundError,
         "data: expected one of cifar10, drawn"),
    ],
}
