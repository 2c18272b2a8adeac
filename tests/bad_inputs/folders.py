"Bad inputs of `folders`, and the message each must give."
import tempfile
from pathlib import Path

from tokenbridge import folders
from tokenbridge.files import write_json

HOME = Path(tempfile.mkdtemp(prefix="bad-inputs-"))
write_json(HOME / "config.json", {"format": 3})

ROWS = {
    "read_config": [
        (lambda: folders.read_config(HOME / "none.json"), FileNotFoundError, "none.json: no such file"),
        (lambda: folders.read_config(HOME / "config.json"), ValueError, "expected format 1 or 2, got 3"),
    ],
    "read_folder": [   # the rest by TokenBridge.from_pretrained, in the rows of pipeline
        (lambda: folders.read_folder(HOME / "nowhere"), FileNotFoundError, "config.json: no such file"),
        (lambda: folders.read_folder(HOME), ValueError, "expected format 1 or 2, got 3"),
    ],
    "model_config": "internal: what save_pretrained writes of a model that has checked itself",
    "folder_content": "internal: the content for save_pretrained, whose rows are in pipeline",
    "remove_stale": "internal: clears a folder for save_pretrained",
}
