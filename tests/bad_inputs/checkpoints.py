"Bad inputs of `checkpoints`, and the message each must give."
import errno
import tempfile
from pathlib import Path
from unittest import mock

import torch
from torch import nn

from tokenbridge import checkpoints as t
from tokenbridge.checkpoints import Checkpoint

FOLDER = Path(tempfile.mkdtemp(prefix="bad-inputs-"))
A_FILE, TORN = FOLDER / "file", FOLDER / "torn" / "checkpoints" / "step-000007"
A_FILE.write_text("x")
TORN.mkdir(parents=True)
(TORN / "state.json").write_text('{"sha256": {"model.safetensors": "0"}}')
AVERAGES = Checkpoint(3, {}, {}, {"a": torch.ones(1)}, {}, [], {})
EMPTY = Checkpoint(3, {}, {"a": torch.ones(1)}, {}, {}, [], {})


def full_disk(write):
    with mock.patch.object(t, "save_tensors", side_effect=OSError(errno.ENOSPC, "No space left on device")):
        return write()


def locked_twice(folder):
    with t.folder_lock(folder), t.folder_lock(folder):
        pass


ROWS = {
    "Checkpoint": "internal: holds what train wrote; load_checkpoint checks the files",
    "save_checkpoint": [
        (lambda: t.save_checkpoint(A_FILE, EMPTY), OSError, "cannot write checkpoint"),
        (lambda: t.save_checkpoint(FOLDER / "x", EMPTY, keep=0), ValueError,
         "keep: expected an integer of at least 1, got 0"),
        (lambda: full_disk(lambda: t.save_checkpoint(FOLDER / "full", EMPTY)), OSError,
         "No space left on device; last complete checkpoint: none"),
    ],
    "save_milestone": [
        (lambda: t.save_milestone(A_FILE, EMPTY), OSError, "cannot write milestone"),
        (lambda: full_disk(lambda: t.save_milestone(FOLDER / "full", AVERAGES)), OSError,
         "No space left on device; last complete checkpoint: none"),
    ],
    "shares": [
        (lambda: t.shares({"a": 1}, 0), ValueError, "num: expected an integer of at least 1, got 0"),
    ],
    "newest_checkpoint": "internal: answers None where there is no complete checkpoint",
    "load_checkpoint": [
        (lambda: t.load_checkpoint(FOLDER / "nowhere"), ValueError,
         "nowhere is missing, incomplete or damaged"),
        (lambda: t.load_checkpoint(A_FILE), ValueError, "file is missing, incomplete or damaged"),
        (lambda: t.load_checkpoint(TORN), ValueError, "step-000007 is missing, incomplete or damaged"),
    ],
    "pack_optimizers": "internal: reads the optimizers of make_optimizers",
    "unpack_optimizers_": [
        (lambda: t.unpack_optimizers_(nn.Linear(1, 1), [], {"weight|step": torch.ones(())}), ValueError,
         "packed: expected entries of trained parameters, got 'weight|step'"),
        (lambda: t.unpack_optimizers_(nn.Linear(1, 1), [], {"x": torch.ones(())}), ValueError,
         "packed: expected entries of trained parameters, got 'x'"),
    ],
    "with_product": "internal: reads what train wrote",
    "difference": "internal: words two values that differ",
    "folder_lock": [
        (lambda: t.folder_lock(A_FILE), OSError, "cannot write"),
        (lambda: locked_twice(FOLDER / "locked"), ValueError, "folder: another training is writing into"),
    ],
    "all_checkpoints": "internal: an empty list where there is none",
    "json_lines": "internal: writes the rows that train made",
    "disk_error": "internal: words an error that has happened",
}
