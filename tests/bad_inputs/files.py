"Bad inputs of `files`, and the message each must give."
import contextlib
import errno
import os
import sys
import tempfile
import time
import types
from pathlib import Path
from unittest import mock

import torch
from torch import nn

from tokenbridge import files

A_FILE = Path(tempfile.mkdtemp(prefix="bad-inputs-")) / "file"
A_FILE.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{not a header}")
EMPTY = A_FILE.with_name("empty")
EMPTY.write_bytes(b"")
PICKLE = A_FILE.with_name("pickle")
torch.save({"a": torch.ones(1), "code": print}, PICKLE)
NOWHERE = A_FILE.with_name("nowhere")
RECORD = {"command": "x", "commit": None, "seed": 0, "hardware": "x", "date": "x"}


def full_disk(write):
    with mock.patch.object(os, "write", side_effect=OSError(errno.ENOSPC, "No space left on device")):
        return write()


ROWS = {
    "as_path": [
        (lambda: files.as_path(3), ValueError, "path: expected a path, got 3"),
        (lambda: files.as_path(""), ValueError, "path: expected a path, got ''"),
        (lambda: files.as_path("~nobody-of-this-name/x"), ValueError, "there is no such home folder"),
    ],
    "atomic_write": [
        (lambda: files.atomic_write(A_FILE / "below", "x"), OSError, "cannot write"),
        (lambda: files.atomic_write(A_FILE.parent, "x"), OSError, "cannot write"),
        (lambda: files.atomic_write(NOWHERE, 3), ValueError, "data: expected bytes or text, got int"),
        (lambda: full_disk(lambda: files.atomic_write(NOWHERE, "x")), OSError,
         "nowhere: No space left on device"),
    ],
    "write_json": [
        (lambda: files.write_json(A_FILE / "below", {}), OSError, "cannot write"),
        (lambda: files.write_json(NOWHERE, {"a": float("nan")}), ValueError, "obj: cannot become JSON"),
        (lambda: files.write_json(NOWHERE, {"a": object()}), ValueError, "obj: cannot become JSON"),
    ],
    "read_json": [
        (lambda: files.read_json(NOWHERE), FileNotFoundError, "nowhere: no such file"),
        (lambda: files.read_json(EMPTY), OSError, "empty: not a JSON file"),
        (lambda: files.read_json(PICKLE), OSError, "pickle: not a JSON file"),
        (lambda: files.read_json(A_FILE.parent), OSError, "cannot read"),
    ],
    "save_tensors": [
        (lambda: files.save_tensors(A_FILE / "below", {"a": torch.ones(1)}), OSError, "cannot write"),
        (lambda: files.save_tensors(NOWHERE, {"a": 1}), ValueError,
         "tensors: expected tensors only, got int for 'a'"),
        (lambda: files.save_tensors(NOWHERE, {"a": torch.ones(1, dtype=torch.complex64)}), ValueError,
         "tensors: expected real numbers, got torch.complex64 for 'a'"),
        (lambda: files.save_tensors(NOWHERE, {}), ValueError, "tensors: expected at least one, got none"),
        (lambda: files.save_tensors(NOWHERE, {"a": torch.ones(1)}, {"a": 1}), ValueError,
         "metadata: expected text for 'a', got int"),
        (lambda: full_disk(lambda: files.save_tensors(NOWHERE, {"a": torch.ones(1)})), OSError,
         "No space left on device"),
    ],
    "load_tensors": [
        (lambda: files.load_tensors(NOWHERE), FileNotFoundError, "nowhere: no such file"),
        (lambda: files.load_tensors(EMPTY), OSError, "empty: the file is empty"),
        (lambda: files.load_tensors(A_FILE), OSError, "not a whole safetensors file"),
        (lambda: files.load_tensors(PICKLE), OSError, "expected a safetensors file, got a pickle"),
    ],
    "load_into": [
        (lambda: files.load_into(nn.Linear(1, 1), {"weight": torch.ones(1, 1)}, "x"), ValueError,
         "x: lacks bias"),
        (lambda: files.load_into(nn.Identity(), {"a": torch.ones(1)}, "x"), ValueError,
         "x: has unexpected a"),
        (lambda: files.load_into(nn.Linear(1, 1, False), {"weight": torch.ones(2, 1)}, "x"), ValueError,
         "expected shape (1, 1), got (2, 1)"),
        (lambda: files.load_into(nn.Linear(1, 1, False), {"weight": torch.full((1, 1), float("nan"))}, "x"),
         ValueError, "NaN"),
        (lambda: files.load_into(nn.Linear(1, 1, False), {"weight": torch.ones(1, 1, dtype=torch.int)}, "x"),
         ValueError, "got torch.int32"),
    ],
    "blank": "internal: builds what it is given to build",
    "loaded": [
        (lambda: files.loaded(lambda: nn.Linear(1, 1), {"weight": torch.ones(1, 1)}, "x"), ValueError,
         "x: lacks bias"),
        (lambda: files.loaded(lambda: nn.Linear(1, 1, False), {"weight": torch.full((1, 1), float("nan"))},
                              "x"), ValueError, "NaN"),
    ],
    "load_foreign": [
        (lambda: files.load_foreign(NOWHERE), FileNotFoundError, "nowhere: no such file"),
        (lambda: files.load_foreign(EMPTY), OSError, "empty: the file is empty"),
        (lambda: files.load_foreign(A_FILE), OSError, "refused as a checkpoint"),
        (lambda: files.load_foreign(PICKLE), OSError, "refused as a checkpoint"),
    ],
    "file_hash": [
        (lambda: files.file_hash(NOWHERE), FileNotFoundError, "nowhere: no such file"),
        (lambda: files.file_hash(Path(A_FILE).parent), OSError, "cannot read"),
    ],
    "value_fingerprint": [(lambda: files.value_fingerprint({"x": [1.0]}), ValueError,
                           "tensors: expected tensors only, got list for 'x'")],
    "fingerprint": [(lambda: files.fingerprint({"a": 1.0}), ValueError,
                     "tensors: expected tensors only, got float for 'a'")],
    "project_folder": [(lambda: files.project_folder("secrets"), ValueError,
                        "kind: expected 'pretrained', 'results' or 'golden'")],
    "pretrained_folder": [(lambda: files.pretrained_folder("no-such"), FileNotFoundError,
                           "no shipped weights 'no-such'")],
    "find_folder": [
        (lambda: files.find_folder(3), ValueError,
         "name_or_path: expected a shipped name, a folder or a hub id, got 3"),
        (lambda: files.find_folder(""), ValueError, "name_or_path: expected a shipped name"),
        (lambda: files.find_folder("./cifar-tiny"), FileNotFoundError, "./cifar-tiny is not a folder"),
        (lambda: files.find_folder(Path("cifar-tiny")), FileNotFoundError, "cifar-tiny is not a folder"),
        (lambda: files.find_folder("no-such"), FileNotFoundError, "no shipped weights 'no-such'"),
        (lambda: files.find_folder(NOWHERE), FileNotFoundError, "nowhere is not a folder"),
        (lambda: files.find_folder(A_FILE), FileNotFoundError, "file is not a folder"),
        (lambda: in_folder_with("runs", lambda: files.find_folder("runs/missing")), FileNotFoundError,
         "runs/missing is not a folder"),
        (lambda: without_hub("owner/name"), FileNotFoundError, "pip install 'tokenbridge[hub]'"),
        (lambda: with_broken_hub("owner/name"), FileNotFoundError,
         "nothing from the hub (no route to the hub)"),
    ],
    "results_folder": [(lambda: outside_checkout(files.results_folder), FileNotFoundError,
                        "comes with a checkout")],
    "run_record": [
        (lambda: files.run_record("x", -1, time.time()), ValueError,
         "seed: expected an integer in [0, 9223372036854775807], got -1"),
        (lambda: files.run_record("x", 2**63, time.time()), ValueError,
         "seed: expected an integer in [0, 9223372036854775807]"),
        (lambda: files.run_record("x", 0, float("nan")), ValueError, "started: expected a number"),
        (lambda: files.run_record("x", 0, time.time() + 9999), ValueError, "started: expected a number"),
    ],
    "record_path": [
        (lambda: files.record_path("my run"), ValueError, "name: expected letters"),
        (lambda: outside_checkout(lambda: files.record_path("x")), FileNotFoundError,
         "comes with a checkout"),
    ],
    "save_record": [
        (lambda: files.save_record("../x", RECORD), ValueError, "name: expected letters"),
        (lambda: files.save_record("x", {"psnr": 1.0}), ValueError,
         "record: expected the keys of run_record"),
        (lambda: outside_checkout(lambda: files.save_record("x", RECORD)), FileNotFoundError,
         "comes with a checkout"),
    ],
}


def outside_checkout(call):
    with mock.patch.multiple(files, _checkout=lambda: None, _around_the_notebook=lambda kind: None):
        return call()


def without_hub(name):
    with mock.patch.dict(sys.modules, {"huggingface_hub": None}):
        return files.find_folder(name)


def in_folder_with(name, call):
    "Call where a folder of this name exists."
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path(name).mkdir()
        return call()


def with_broken_hub(name):
    offline = ConnectionError("no route to the hub\nand more")
    hub = types.SimpleNamespace(snapshot_download=mock.Mock(side_effect=offline))
    with mock.patch.dict(sys.modules, {"huggingface_hub": hub}):
        return files.find_folder(name)
