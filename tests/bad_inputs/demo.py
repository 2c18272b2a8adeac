"Bad inputs of `demo`, and the message each must give."
import tempfile
from pathlib import Path

from tokenbridge import demo

FILE = Path(tempfile.mkdtemp()) / "file"
FILE.write_text("a file, not a folder")

ROWS = {
    "write_pictures": "internal: called by run_demo",
    "compare": "internal: formats what `measure` gives",
    "shipped_metrics": "internal: has no arguments",
    "run_demo": [
        (lambda: demo.run_demo(FILE / "demo", fast=True), OSError, "file"),
        (lambda: demo.run_demo(FILE.parent / "demo", root=FILE.parent, fast=True), FileNotFoundError,
         "no data_batch_1.bin"),
    ],
}
