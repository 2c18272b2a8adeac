"Files are replaced whole or not at all; loading is strict; records say where figures come from."
import argparse
import errno
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tokenbridge import files
from tokenbridge.model import ARModel, preset
from tokenbridge.vae import VAE


def no_temporaries(folder: Path) -> bool:
    return not [path for path in folder.iterdir() if path.name.endswith(".tmp")]


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))   # Windows
    assert files.write_json("~/deep/x.json", [1]) == tmp_path / "deep" / "x.json"
    assert files.read_json("~/deep/x.json") == [1]
    files.save_tensors("~/x.safetensors", {"a": torch.ones(2)})
    assert files.load_tensors("~/x.safetensors")[0]["a"].tolist() == [1, 1]
    torch.save({"a": 1}, tmp_path / "x.pth")
    assert files.load_foreign("~/x.pth") == {"a": 1}
    assert files.find_folder("~/deep") == files.find_folder(Path("~/deep")) == tmp_path / "deep"
    assert files.as_path(Path("~")) == tmp_path and files.as_path("a/~") == Path("a/~")


# ---------------------------------------------------------------- atomic writes
def test_write_and_replace(tmp_path):
    path = files.atomic_write(tmp_path / "deep" / "er" / "note.txt", "first: ü")
    assert path.read_text(encoding="utf-8") == "first: ü"
    assert files.atomic_write(str(path), b"\x00second").read_bytes() == b"\x00second"
    assert no_temporaries(path.parent)


def test_mode_follows_umask(tmp_path):
    old = os.umask(0o027)
    try:
        path = files.atomic_write(tmp_path / "note.txt", "x")
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o640


def raising(code, after=0):
    "A stand-in for os.write or os.fsync that fails from the call number `after` on."
    calls = []

    def fail(*args):
        calls.append(args)
        if len(calls) > after:
            raise OSError(code, os.strerror(code))
        return real(*args)

    def install(monkeypatch, name):
        nonlocal real
        real = getattr(os, name)
        monkeypatch.setattr(os, name, fail)

    real = None
    return install


@pytest.mark.parametrize("name", ["write", "fsync", "replace", "open"])
@pytest.mark.parametrize("write", [
    lambda path: files.atomic_write(path, "new"),
    lambda path: files.write_json(path, {"new": 1}),
    lambda path: files.save_tensors(path, {"new": torch.ones(3)}),
], ids=["atomic_write", "write_json", "save_tensors"])
def test_full_disk_keeps_the_old_file(tmp_path, monkeypatch, name, write):
    path = tmp_path / "kept"
    path.write_text("old")
    with monkeypatch.context() as patch:
        raising(errno.ENOSPC)(patch, name)
        with pytest.raises(OSError, match="No space left on device") as caught:
            write(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_text() == "old" and no_temporaries(tmp_path)


def test_disk_fills_in_the_middle(tmp_path, monkeypatch):
    "A short write (the disk takes a part) goes on; when nothing more fits, the old file stays."
    path, real, room = tmp_path / "kept", os.write, [100]
    path.write_text("old")

    def little_room(handle, data):
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = bytes(data)[:min(30, room[0])]
        room[0] -= len(part)
        return real(handle, part)

    monkeypatch.setattr(os, "write", little_room)
    with pytest.raises(OSError, match="No space left"):
        files.atomic_write(path, b"x" * 101)
    assert path.read_text() == "old" and no_temporaries(tmp_path)
    room[0] = 101
    assert files.atomic_write(path, b"x" * 101).read_bytes() == b"x" * 101


def test_interrupt_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    path = tmp_path / "kept"
    path.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            files.atomic_write(path, "new")
    assert path.read_text() == "old" and no_temporaries(tmp_path)


def test_file_and_folder_are_synced_in_order(tmp_path, monkeypatch):
    order, real_sync, real_replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("sync"), real_sync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("rename"), real_replace(a, b))[1])
    files.atomic_write(tmp_path / "note", "x")
    assert order == ["sync", "rename", "sync"]


def test_killed_writer_leaves_the_old_file(tmp_path):
    "SIGKILL inside the write: no clean-up code runs, and the file is still whole."
    path = tmp_path / "kept"
    path.write_text("old")
    code = (f"import os, signal\nfrom tokenbridge import files\nreal = os.write\n"
            f"def die(handle, data):\n    real(handle, bytes(data)[:3])\n"
            f"    os.kill(os.getpid(), signal.SIGKILL)\n"
            f"os.write = die\nfiles.atomic_write({str(path)!r}, 'newer text')\n")
    assert subprocess.run(["python", "-c", code]).returncode == -9
    assert path.read_text() == "old"
    assert files.atomic_write(path, "newer text").read_text() == "newer text"


@pytest.mark.parametrize("write", [
    lambda path: files.atomic_write(path, "new"),
    lambda path: files.write_json(path, {}),
    lambda path: files.save_tensors(path, {"a": torch.ones(1)}),
], ids=["atomic_write", "write_json", "save_tensors"])
def test_unwritable_place(tmp_path, write):
    (tmp_path / "file").write_text("not a folder")
    target = tmp_path / "file" / "below" / "x"
    with pytest.raises(OSError, match="cannot write") as caught:
        write(target)
    assert str(target) in str(caught.value) and len(str(caught.value)) < len(str(target)) + 80
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="cannot write"):
        write(tmp_path / "folder")
    assert no_temporaries(tmp_path)


# ---------------------------------------------------------------- JSON
leaves = st.none() | st.booleans() | st.integers(-10**9, 10**9) | st.floats(allow_nan=False,
    allow_infinity=False) | st.text(max_size=20)
trees = st.recursive(leaves,
                     lambda inner: st.lists(inner, max_size=4)
                     | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12)


@given(tree=trees)
@settings(max_examples=60, deadline=None)
def test_json_round_trip(tmp_path_factory, tree):
    folder = tmp_path_factory.mktemp("json")
    assert files.read_json(files.write_json(folder / "x.json", tree)) == tree


def test_json_keeps_texts_that_look_like_lists(tmp_path):
    tree = {"text": "[\n 1,\n 2 ]", "curve": [1, 2.5], "nested": [[1, 2], [3, 4]], "empty": []}
    path = files.write_json(tmp_path / "x.json", tree)
    assert files.read_json(path) == tree
    assert '"curve": [1, 2.5]' in path.read_text()


def test_json_takes_tensors_arrays_and_paths(tmp_path):
    tree = {"t": torch.tensor([1.5, 2]), "s": torch.tensor(3), "a": np.arange(3), "f": np.float32(0.5),
            "p": Path("a/b")}
    assert files.read_json(files.write_json(tmp_path / "x.json", tree)) == {
        "t": [1.5, 2.0], "s": 3, "a": [0, 1, 2], "f": 0.5, "p": "a/b"}


# ---------------------------------------------------------------- tensors
def test_tensors_round_trip(tmp_path):
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {"view": base.t(), "shared": base, "again": base, "scalar": torch.tensor(2.5),
               "empty": torch.zeros(0, 3),
               "half": base.to(torch.bfloat16), "ids": torch.arange(3), "mask": base > 3,
               "grad": nn.Parameter(base)}
    got, notes = files.load_tensors(files.save_tensors(tmp_path / "x.safetensors", tensors, {"by": "test"}))
    assert notes == {"by": "test"} and set(got) == set(tensors)
    for name, tensor in tensors.items():
        assert got[name].dtype == tensor.dtype and torch.equal(got[name], tensor.detach()), name


def test_loaded_tensors_survive_replacement(tmp_path):
    path = files.save_tensors(tmp_path / "x.safetensors", {"a": torch.zeros(1000)})
    first, _ = files.load_tensors(path)
    files.save_tensors(path, {"a": torch.ones(1000)})
    path.unlink()
    assert torch.equal(first["a"], torch.zeros(1000))


@pytest.mark.parametrize("keep", [1, 7, 8, 40, -1])
def test_truncated_file(tmp_path, keep):
    whole = files.save_tensors(tmp_path / "x.safetensors", {"a": torch.ones(30)}).read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:keep])
    with pytest.raises(OSError, match="cut.safetensors.*not a whole safetensors file"):
        files.load_tensors(tmp_path / "cut.safetensors")


def test_trailing_bytes_are_refused(tmp_path):
    path = files.save_tensors(tmp_path / "x.safetensors", {"a": torch.ones(30)})
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(OSError, match="not a whole"):
        files.load_tensors(path)


def test_foreign_files(tmp_path):
    torch.save({"a": torch.ones(3)}, tmp_path / "zip.safetensors")
    torch.save({"a": torch.ones(3)}, tmp_path / "old.safetensors", _use_new_zipfile_serialization=False)
    (tmp_path / "text.safetensors").write_text("Not Found" * 50)
    (tmp_path / "folder.safetensors").mkdir()
    for name, words in dict(zip="pickle", old="pickle", text="not a whole", folder="cannot read").items():
        with pytest.raises(OSError, match=words) as caught:
            files.load_tensors(tmp_path / f"{name}.safetensors")
        assert name in str(caught.value) and "\n" not in str(caught.value)


# ---------------------------------------------------------------- strict loading
class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("order", torch.arange(3))
        self.register_buffer("scratch", torch.zeros(1), persistent=False)


def state(**changes):
    tensors = {"layer.weight": torch.ones(2, 3), "layer.bias": torch.zeros(2),
               "order": torch.tensor([2, 0, 1])}
    tensors.update({name.replace("__", "."): value for name, value in changes.items()})
    return {name: value for name, value in tensors.items() if value is not None}


def test_load_into():
    module = files.load_into(Small(), state(layer__weight=torch.ones(2, 3, dtype=torch.bfloat16)), "here")
    assert module.order.tolist() == [2, 0, 1] and module.layer.weight.dtype == torch.float32


@pytest.mark.parametrize("changes, words", [
    (dict(layer__bias=None), "here: lacks layer.bias"),
    (dict(extra=torch.ones(1)), "here: has unexpected extra"),
    (dict(scratch=torch.ones(1)), "here: has unexpected scratch"),
    (dict(layer__bias=torch.zeros(3)), r"here: layer.bias: expected shape \(2,\), got \(3,\)"),
    (dict(order=torch.zeros(3)), "here: order: expected torch.int64, got torch.float32"),
    (dict(layer__weight=torch.full((2, 3), float("inf"))), "here: layer.weight: holds NaN or infinite"),
])
def test_load_into_refuses_and_changes_nothing(changes, words):
    module = Small()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(ValueError, match=words):
        files.load_into(module, state(**changes), "here")
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_load_into_allows_named_absences_only():
    module = Small()
    bias = module.layer.bias.detach().clone()
    files.load_into(module, state(layer__bias=None), "here", allow_missing=("layer.bias",))
    assert torch.equal(module.layer.bias, bias) and torch.equal(module.layer.weight, torch.ones(2, 3))
    with pytest.raises(ValueError, match="lacks order"):
        files.load_into(module, state(layer__bias=None, order=None), "here", allow_missing=("layer.bias",))


def test_long_lists_of_names_are_cut():
    with pytest.raises(ValueError, match="lacks 0.weight, 0.bias, 1.weight and 5 more"):
        files.load_into(nn.Sequential(*(nn.Linear(1, 1) for _ in range(4))), {}, "here")


# ---------------------------------------------------------------- foreign checkpoints
class Bomb:
    def __reduce__(self):
        return os.mkdir, ("boom",)


def test_load_foreign(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tensors = {"w": torch.ones(2)}
    torch.save({"model": tensors, "args": argparse.Namespace(lr=0.1), "epoch": 3}, "good.pth")
    assert torch.equal(files.load_foreign("good.pth")["model"]["w"], tensors["w"])
    torch.save({"model": tensors, "bomb": Bomb()}, "bomb.pth")
    Path("empty.pth").write_bytes(b"")
    Path("text.pth").write_text("<html>Not Found</html>")
    Path("cut.pth").write_bytes(Path("good.pth").read_bytes()[:-50])
    files.save_tensors("st.pth", tensors)
    for name in ("bomb", "empty", "text", "cut", "st"):
        with pytest.raises(OSError, match=f"{name}.pth") as caught:
            files.load_foreign(f"{name}.pth")
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 250
    with pytest.raises(FileNotFoundError, match="nowhere.pth: no such file"):
        files.load_foreign("nowhere.pth")
    assert not Path("boom").exists()


# ---------------------------------------------------------------- fingerprints
@given(st.dictionaries(st.text(max_size=5), st.lists(st.floats(width=32, allow_nan=False), max_size=4),
                       min_size=1, max_size=4), st.randoms())
@settings(max_examples=40, deadline=None)
def test_fingerprint_forgets_the_order_of_names(values, random):
    names = list(values)
    random.shuffle(names)
    tensors = {name: torch.tensor(value) for name, value in values.items()}
    assert files.fingerprint(tensors) == files.fingerprint({name: tensors[name] for name in names})


def test_fingerprint_sees_every_difference():
    base = torch.arange(6.0)
    variants = [{"a": base}, {"b": base}, {"a": base.reshape(2, 3)}, {"a": base.reshape(3, 2)},
                {"a": base.double()},
                {"a": base.int()}, {"a": base.bfloat16()}, {"a": base + torch.tensor([0, 0, 0, 0, 0, 1e-6])},
                {},
                {"a": base, "b": base}, {"a": base[:3], "b": base[3:]}, {"a": torch.tensor(0.0)},
                {"a": torch.zeros(1)}]
    prints = [files.fingerprint(tensors) for tensors in variants]
    assert len(set(prints)) == len(prints) and all(len(word) == 16 and int(word, 16) >= 0 for word in prints)


def test_fingerprint_sees_values_not_strides_or_places(tmp_path):
    tensors = {"a": torch.randn(4, 6).t(), "b": torch.arange(3).bool()}
    again, _ = files.load_tensors(files.save_tensors(tmp_path / "x.safetensors", tensors))
    assert files.fingerprint(again) == files.fingerprint(tensors)


# ---------------------------------------------------------------- places and records
def test_folders_of_a_checkout(tmp_path, monkeypatch):
    package = tmp_path / "checkout" / "tokenbridge"
    for folder in (package, package.parent / "nbs", package.parent / "data" / "pretrained" / "some"):
        folder.mkdir(parents=True)
    (package.parent / "data" / "pretrained" / "some" / "config.json").write_text("{}")
    (package.parent / "data" / "pretrained" / "classifiers").mkdir()   # can be had by name, but is no model
    (package.parent / "settings.ini").write_text("")
    monkeypatch.setattr(files, "_package", lambda: package)
    monkeypatch.chdir(tmp_path)
    assert files.pretrained_folder("classifiers").is_dir()
    assert files.pretrained_folder("some") == package.parent / "data" / "pretrained" / "some"
    assert files.results_folder() == package.parent / "data" / "results"
    with pytest.raises(FileNotFoundError, match="no shipped weights 'other', there are: some$"):
        files.pretrained_folder("other")
    with pytest.raises(FileNotFoundError, match="no shipped weights"):
        files.pretrained_folder("../pretrained")
    record = files.run_record("test", 3, time.time(), psnr=1.5)
    assert record["commit"] is None
    (package.parent / "data" / "results").mkdir()
    path = files.save_record("trial.b8", record)
    assert path == package.parent / "data" / "results" / "trial.b8.json" and files.read_json(path) == record


def test_folders_when_installed(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "tokenbridge"
    (package / "pretrained" / "cifar-tiny").mkdir(parents=True)
    monkeypatch.setattr(files, "_package", lambda: package)
    monkeypatch.chdir(tmp_path)
    assert files.pretrained_folder("cifar-tiny") == package / "pretrained" / "cifar-tiny"
    with pytest.raises(FileNotFoundError, match="data/results"):
        files.results_folder()
    assert files.run_record("test", 0, time.time())["commit"] is None


def test_records_lie_beside_the_notebook_that_asks(tmp_path, monkeypatch):
    for checkout in ("here", "there"):
        for folder in ("nbs", "tokenbridge", "data/results", "data/pretrained"):
            (tmp_path / checkout / folder).mkdir(parents=True)
        (tmp_path / checkout / "settings.ini").write_text("")
    monkeypatch.setattr(files, "_package", lambda: tmp_path / "there" / "tokenbridge")
    monkeypatch.chdir(tmp_path / "here" / "nbs")
    assert files.results_folder() == tmp_path / "here" / "data" / "results"
    assert files.project_folder("pretrained") == tmp_path / "there" / "data" / "pretrained"
    assert files.project_folder("golden") == tmp_path / "there" / "data" / "golden"   # none in this folder
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert files.results_folder() == tmp_path / "there" / "data" / "results"


def test_commit_and_changes(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *words],
                       check=True, capture_output=True)

    for folder in ("tokenbridge", "nbs", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "settings.ini").write_text("x")
    monkeypatch.setattr(files, "_package", lambda: tmp_path / "tokenbridge")
    git("init", "-q")
    assert files.run_record("test", 0, time.time())["commit"] is None
    git("add", ".")
    git("commit", "-q", "-m", "first")
    clean = files.run_record("test", 0, time.time())["commit"]
    assert len(clean) == 40
    (tmp_path / "data" / "result.json").write_text("{}")
    assert files.run_record("test", 0, time.time())["commit"] == clean
    (tmp_path / "nbs" / "new.ipynb").write_text("{}")
    assert files.run_record("test", 0, time.time())["commit"] == f"{clean}+changes"


def test_run_record():
    record = files.run_record("tokenbridge demo", 7, time.time() - 12, nll=torch.tensor(2.5))
    assert record["command"] == "tokenbridge demo" and record["seed"] == 7 and 11.9 < record["seconds"] < 60
    assert record["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert "core" in record["hardware"] and record["date"].endswith("+00:00")
    assert platform.node() not in json.dumps({**record, "results": None}).split('"')
    with pytest.raises(ValueError, match="cannot become JSON"):
        files.write_json("unused.json", {**record, "results": {"nll": math.nan}})


@pytest.mark.parametrize("length", [640, 896, 1152, 1408, 19280])
def test_a_header_as_long_as_a_pickle_begins_is_none(tmp_path, length):
    for room in range(length):   # the metadata make the header as long as wanted (lengths are multiples of 8)
        path = files.save_tensors(tmp_path / "x.safetensors", {"a": torch.ones(2)},
                                  {"note": "x" * (length - 120 + room)})
        if (found := int.from_bytes(path.read_bytes()[:8], "little")) >= length:
            break
    assert found == length and path.read_bytes()[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05",
        b"PK")
    assert torch.equal(files.load_tensors(path)[0]["a"], torch.ones(2))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_binary_pickle_is_called_one(tmp_path, protocol):
    import pickle
    (tmp_path / "x.safetensors").write_bytes(pickle.dumps({"a": list(range(100))}, protocol))
    with pytest.raises(OSError, match="got a pickle"):
        files.load_tensors(tmp_path / "x.safetensors")


def test_a_module_with_infinities_may_keep_them_and_takes_no_nan():
    module = torch.nn.Module()
    module.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    assert files.load_into(module, {"mask": torch.tensor([-math.inf, 0.0])},
                           "here").mask.tolist() == [-math.inf, 0.0]
    with pytest.raises(ValueError, match="here: mask: holds NaN or infinite"):
        files.load_into(module, {"mask": torch.tensor([math.nan, 0.0])}, "here")


def test_tensors_are_copied_only_where_they_must_be(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    tied = {"whole": whole, "again": whole, "rows": whole[1:], "turned": whole.T, "alone": torch.ones(2)}
    pieces = [np.frombuffer(piece, np.uint8).ctypes.data for piece in files._safetensors(tied, {})][1:]
    places = [tied[name].data_ptr() for name in sorted(tied)]
    assert [name for name, a, b in zip(sorted(tied), places, pieces) if a != b] == ["turned"]
    back, _ = files.load_tensors(files.save_tensors(tmp_path / "x.safetensors", tied))
    assert all(torch.equal(back[name], tied[name]) for name in tied)


@pytest.mark.parametrize("metadata", [None, {"by": 'a "t\u00e9st"\n'}])
def test_the_bytes_are_those_of_the_library(tmp_path, metadata):
    from safetensors.torch import save
    tensors = {f"{'zyxab'[i % 5]}\u00fc{i}": torch.randn(3, i).mul(50).to(dtype)
               for i, dtype in enumerate(files._DTYPES)} | {"scalar": torch.tensor(2.5)}
    path = files.save_tensors(tmp_path / "x.safetensors", tensors, metadata)
    assert path.read_bytes() == save(tensors, metadata)


def test_lightning_checkpoint_without_lightning(tmp_path, monkeypatch):
    "Classes of a training library beside the weights become empty ones of ours; its code is not looked for."
    library = types.ModuleType("pytorch_lightning.callbacks")
    library.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": library.__name__})
    monkeypatch.setitem(sys.modules, "pytorch_lightning", types.ModuleType("pytorch_lightning"))
    monkeypatch.setitem(sys.modules, library.__name__, library)
    object_of_it = library.ModelCheckpoint()
    object_of_it.best = 0.5
    content = {"state_dict": {"w": torch.ones(3)},
               "callbacks": {library.ModelCheckpoint: {"best": object_of_it}}}
    torch.save(content, tmp_path / "model.ckpt")
    monkeypatch.undo()
    assert "pytorch_lightning" not in sys.modules
    read = files.load_foreign(tmp_path / "model.ckpt")
    assert torch.equal(read["state_dict"]["w"], torch.ones(3)) and "pytorch_lightning" not in sys.modules
    stand_in, = read["callbacks"]
    assert stand_in.__module__ == "tokenbridge.files" and read["callbacks"][stand_in]["best"].best == 0.5


def test_foreign_checkpoint_is_mapped_and_an_old_format_is_read(tmp_path):
    tensors = {"w": torch.arange(6.0)}
    torch.save(tensors, tmp_path / "new.pth")
    torch.save(tensors, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    mapped, whole = (files.load_foreign(tmp_path / f"{age}.pth")["w"] for age in ("new", "old"))
    assert torch.equal(mapped, tensors["w"]) and torch.equal(whole, tensors["w"])
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert "new.pth" in maps.read_text() and "old.pth" not in maps.read_text()
    mapped.zero_()   # a private map: the file stays as it is
    assert torch.equal(files.load_foreign(tmp_path / "new.pth")["w"], tensors["w"])


def test_file_hash(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    assert files.file_hash(tmp_path / "a") == hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize("make", [
    lambda: nn.Linear(30, 20), lambda: nn.Conv2d(3, 4, 3), lambda: nn.Embedding(5, 6),
    lambda: nn.Sequential(nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.MultiheadAttention(4, 2)),
    lambda: ARModel(preset("cifar-tiny").ar, torch.arange(16.0).expand(16, 16)), lambda: VAE()])
def test_blank_modules_draw_nothing_and_are_whole_otherwise(make):
    usual, states = make().state_dict(), []

    def watched():
        states.append(torch.get_rng_state())
        module = make()
        states.append(torch.get_rng_state())
        return module
    made = files.blank(watched).state_dict()
    assert torch.equal(*states)
    shapes = [{name: (t.shape, t.dtype) for name, t in state.items()} for state in (made, usual)]
    assert shapes[0] == shapes[1]
    for name, values in usual.items():   # what is not random is as usual: ones of norms, zeros of biases
        if len(values.unique()) == 1:
            assert torch.equal(made[name], values), name
