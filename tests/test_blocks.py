"Samples in blocks: the same images however they were computed, whole files or none, and readers that fit."
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from tests.tools.notebooks import ROOT
from tokenbridge.blocks import pack_npz, read_blocks, sample_blocks
from tokenbridge.classifier import load_classifier
from tokenbridge.data import to_uint8
from tokenbridge.fid import find_pictures, judge_network, measure_images
from tokenbridge.generation import SamplingDefaults
from tokenbridge.pipeline import TokenBridge

NUM, SEED, EACH = 40, 3, 16
DIALS = dict(steps=3, cfg_scale=1.5, temperature=0.9)
SAMPLING = SamplingDefaults(**DIALS)


@pytest.fixture(scope="module")
def model(tiny_folder) -> TokenBridge:
    return TokenBridge.from_pretrained(tiny_folder)


def sample(model, folder: Path, **changes) -> int:
    "Forty images in blocks of 16, in fp32, with changes."
    given = dict(seed=SEED, block_size=EACH, sampling=SAMPLING, precision="fp32") | changes
    return sample_blocks(model, given.pop("num", NUM), folder, **given)


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory) -> Path:
    "One process, never stopped. Tests only read it."
    folder = tmp_path_factory.mktemp("whole")
    assert sample(model, folder) == NUM
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pixels(folder: Path) -> torch.Tensor:
    return torch.cat(list(read_blocks(folder).batches(7)))


def same_but_for_rounding(one: torch.Tensor, other: torch.Tensor) -> None:
    "One index in 10,000 may move between batch sizes: at most one image of forty differs by more than 1."
    apart = (one.int() - other.int()).abs().amax((1, 2, 3))
    assert (apart > 1).sum() <= 1, apart


# ---------------------------------------------------------------------- the same images
def test_an_image_is_that_of_one_call_of_generate(model, whole):
    images = to_uint8(model.generate(num=NUM, seed=SEED, **DIALS))
    same_but_for_rounding(pixels(whole), images)
    labels = [np.load(whole / f"block-{block:05}.npz")["labels"] for block in range(3)]
    assert np.concatenate(labels).tolist() == [number % 3 for number in range(NUM)]
    assert [len(part) for part in labels] == [16, 16, 8]
    assert len(images.unique(dim=0)) == NUM


@pytest.mark.parametrize("ranks", [(0, 1), (1, 0)])
def test_two_processes_make_the_files_of_one(model, whole, tmp_path, ranks):
    drawn = [sample(model, tmp_path, rank=rank, world=2) for rank in ranks]
    assert sum(drawn) == NUM and min(drawn) == EACH
    assert files(tmp_path) == files(whole)


def test_a_block_that_is_there_is_not_drawn_again(model, whole, tmp_path):
    sample(model, tmp_path, rank=1, world=2)
    assert sample(model, tmp_path, block_size=None) == 24 and files(tmp_path) == files(whole)
    with mock.patch("tokenbridge.blocks.generate_indices", side_effect=AssertionError("drawn again")):
        assert sample(model, tmp_path) == 0


@pytest.mark.parametrize("block_size", [7, 40, 100])
def test_another_block_size_gives_the_same_images(model, whole, tmp_path, block_size):
    sample(model, tmp_path, block_size=block_size)
    assert len(list(tmp_path.glob("block-*.npz"))) == -(-NUM // block_size)
    same_but_for_rounding(pixels(whole), pixels(tmp_path))


def test_a_begun_folder_keeps_its_block_size_and_says_so(model, whole, tmp_path):
    sample(model, tmp_path, rank=0, world=2)
    with pytest.warns(UserWarning, match="keeps its blocks of 16 images, not 7"):
        sample(model, tmp_path, block_size=7)
    assert files(tmp_path) == files(whole)


def test_another_seed_or_dial_gives_other_images(model, whole, tmp_path):
    sample(model, tmp_path / "seed", seed=SEED + 1)
    sample(model, tmp_path / "dial", sampling=SamplingDefaults(steps=4))
    assert not torch.equal(pixels(whole), pixels(tmp_path / "seed"))
    assert not torch.equal(pixels(whole), pixels(tmp_path / "dial"))


KILLED = """
import os, signal, sys
from tokenbridge import files
from tokenbridge.blocks import sample_blocks
from tokenbridge.generation import SamplingDefaults
from tokenbridge.pipeline import TokenBridge
folder, out, rank, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
replace = os.replace
def killed(fresh, path):
    if os.path.basename(path) == last:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(fresh, path)
os.replace = killed
sample_blocks(TokenBridge.from_pretrained(folder), 40, out, seed=3, block_size=16, rank=rank, world=2,
              sampling=SamplingDefaults(steps=3, cfg_scale=1.5, temperature=0.9), precision="fp32")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_two_processes_killed_and_one_goes_on(model, tiny_folder, whole, tmp_path):
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    start = lambda rank, last: subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tiny_folder), str(tmp_path), str(rank), last], cwd=ROOT,
        env=os.environ | threads)
    both = [start(0, "block-00002.npz"), start(1, "block-00001.npz")]
    assert [process.wait(120) for process in both] == [-signal.SIGKILL] * 2
    assert sorted(path.name for path in tmp_path.glob("block*")) == ["block-00000.npz"]
    assert sample(model, tmp_path) == NUM - EACH
    finished = {name: data for name, data in files(tmp_path).items() if not name.startswith(".")}
    assert finished == files(whole)


# ---------------------------------------------------------------------- precision
def test_auto_is_bf16_where_the_hardware_has_it_and_then_the_folders(model, tmp_path):
    with mock.patch("tokenbridge.blocks.choose_precision", return_value="bf16"):
        sample(model, tmp_path, precision="auto", rank=0, world=2)
    assert json.loads((tmp_path / "index.json").read_text())["precision"] == "bf16"
    seen = []
    detokenize = model.detokenize
    look = lambda indices: seen.append(torch.is_autocast_enabled("cpu")) or detokenize(indices)
    with mock.patch.object(model, "detokenize", side_effect=look):
        assert sample(model, tmp_path, precision="auto") == EACH
    assert seen == [True]
    with pytest.raises(ValueError, match="begun with precision = 'bf16', now 'fp32'"):
        sample(model, tmp_path, precision="fp32")


# ---------------------------------------------------------------------- readers
def test_an_unfinished_folder_is_no_reference(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "part")
    last = max((tmp_path / "part").glob("block-*.npz"))
    last.unlink()
    with pytest.raises(ValueError, match=f"block {int(last.stem[6:])} is missing"):
        find_pictures(tmp_path / "part")


def test_the_readers_of_fid_accept_the_folder(model, whole, tmp_path):
    found, ours = find_pictures(whole), read_blocks(whole)
    assert (found.num, found.size) == (ours.num, ours.size) == (NUM, 32)
    packed = pack_npz(whole, tmp_path / "packed.npz")
    real = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "real.npz", arr_0=real)
    network = judge_network(load_classifier("judge"))
    one, other = (measure_images(path, tmp_path / "real.npz", network) for path in (whole, packed))
    assert one.name == "FD-judge-40" and one.reference_num == 50
    assert one.distance == pytest.approx(other.distance)
    assert one.score == pytest.approx(other.score)
    assert measure_images(whole, whole, network).distance == pytest.approx(0, abs=1e-3)


def test_the_evaluators_way_of_reading(whole, tmp_path):
    import zipfile
    path = pack_npz(whole, tmp_path / "new" / "packed.npz")
    with zipfile.ZipFile(path) as archive, archive.open("arr_0.npy") as file:
        assert np.lib.format.read_magic(file) == (1, 0)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        assert (shape, fortran, dtype) == ((NUM, 32, 32, 3), False, np.uint8)
        values = np.frombuffer(file.read(), np.uint8).reshape(shape)
    assert np.array_equal(values, pixels(whole).permute(0, 2, 3, 1).numpy())
    with np.load(path, allow_pickle=False) as file:
        assert set(file) == {"arr_0", "arr_1"} and file["arr_1"].tolist() == [i % 3 for i in range(NUM)]
    before = path.read_bytes()
    assert pack_npz(whole, path).read_bytes() == before


# ---------------------------------------------------------------------- faults
@contextmanager
def largest_file(size: int):
    "Writing beyond this many bytes fails, as on a full disk."
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_loses_nothing(model, whole, tmp_path):
    sample(model, tmp_path, rank=1, world=2)
    with largest_file(20_000), pytest.raises(OSError, match="cannot write .*block-00000.npz: ") as caught:
        sample(model, tmp_path)
    assert caught.value.errno == errno.EFBIG
    assert sorted(files(tmp_path)) == ["block-00001.npz", "index.json"]
    sample(model, tmp_path)
    assert files(tmp_path) == files(whole)


def test_a_full_disk_while_packing_keeps_the_old_file(whole, tmp_path):
    path = tmp_path / "packed.npz"
    path.write_text("old")
    with largest_file(20_000), pytest.raises(OSError, match="cannot write .*packed.npz: "):
        pack_npz(whole, path)
    assert files(tmp_path) == {"packed.npz": b"old"}


def test_wrong_files_are_left_as_they_are(model, whole, tmp_path):
    sample(model, tmp_path)
    path = tmp_path / "block-00001.npz"
    path.write_bytes(b"somebody's")
    with pytest.raises(ValueError, match="block-00001.npz: not a whole .npz file .*remove the file"):
        sample(model, tmp_path)
    assert path.read_bytes() == b"somebody's"
    path.unlink()
    assert sample(model, tmp_path) == EACH and files(tmp_path) == files(whole)


def test_a_model_that_computes_nan_writes_no_block(tiny_folder, tmp_path):
    broken = TokenBridge.from_pretrained(tiny_folder)
    with mock.patch.object(broken, "detokenize", return_value=torch.full((16, 3, 32, 32), float("nan"))), \
            pytest.raises(ValueError, match="images: expected finite values"):
        sample(broken, tmp_path)
    assert list(files(tmp_path)) == ["index.json"]
