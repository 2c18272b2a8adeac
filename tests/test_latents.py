"Latents on disk: what is stored, what is drawn from it, and runs that are stopped and continued."
import errno
import os
import sys
import warnings
from pathlib import Path

import pytest
import torch
from einops import rearrange
from PIL import Image

from tests.tools.tiny import save_tiny, three_classes
from tokenbridge import files
from tokenbridge.data import ImageSet, TokenSet, image_folder, to_float
from tokenbridge.latents import LatentSet, cache_latents
from tokenbridge.pipeline import TokenBridge
from tokenbridge.quantizer import Quantizer

DATA = three_classes(23)
SHARDS = [f"shard-{number:05}.safetensors" for number in range(5)]


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer):
    return TokenBridge.from_pretrained(tiny_tokenizer)


@pytest.fixture(scope="module")
def cache(tokenizer, tmp_path_factory) -> Path:
    "23 images in five shards, written in one go."
    folder = tmp_path_factory.mktemp("latents") / "cache"
    cache_latents(DATA, tokenizer, folder, shard_size=5)
    return folder


@pytest.fixture
def copied(cache, tmp_path) -> Path:
    "A copy to spoil."
    import shutil
    return Path(shutil.copytree(cache, tmp_path / "copy"))


@pytest.fixture
def photos(tmp_path) -> Path:
    "Two classes of files."
    for number, (picture, label) in enumerate(three_classes(12)):
        (place := tmp_path / "photos" / f"class {label % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(place / f"{number}.png")
    return tmp_path / "photos"


def contents(folder: Path) -> dict[str, bytes]:
    "Every file of a cache, hidden ones too."
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*") if path.is_file()}


class Dying(ImageSet):
    "Images that end the process at the 14th."
    def __getitem__(self, i):
        if i == 13:
            raise KeyboardInterrupt
        return super().__getitem__(i)


def dying() -> ImageSet:
    return Dying(DATA.images, DATA.labels, DATA.classes, DATA.source)


# ---- what is stored

@pytest.mark.parametrize("mirror", [True, False])
def test_means_and_deviations_are_the_encoders(tokenizer, tmp_path, mirror):
    found = cache_latents(DATA, tokenizer, tmp_path / "cache", shard_size=5, mirror=mirror)
    assert [len(mean) for mean, _ in found.shards] == [5, 5, 5, 5, 3] and len(found) == 23
    views = [DATA.images, DATA.images.flip(-1)][:1 + mirror]
    for view, images in enumerate(views):
        with torch.no_grad():
            posterior = tokenizer.vae.encode(to_float(images))
        for place, name in enumerate(("mean", "std")):
            expected = rearrange(getattr(posterior, name), "b d h w -> b (h w) d")
            stored = torch.cat([shard[place][:, view] for shard in found.shards])
            assert stored.dtype == torch.float16
            assert torch.allclose(stored.float(), expected, rtol=2e-3, atol=2e-3), (name, view)
    assert torch.equal(found.labels, DATA.labels) and found.classes == DATA.classes
    assert found.source == DATA.source and found.mirror is mirror
    assert found.made_by == {"vae": tokenizer.fingerprints()["vae"]}
    assert torch.allclose(found[7][0], tokenizer.latents(DATA.images[7:8])[0], atol=2e-3)
    assert found[7][1] == int(DATA.labels[7])


def test_the_tokenizer_is_kept(cache, tokenizer):
    kept = TokenBridge.from_pretrained(cache / "tokenizer")
    assert kept.fingerprints() == tokenizer.fingerprints()
    assert len(LatentSet.load(cache, kept, verify=True)) == 23


def test_16_bits_of_computing_are_said_and_differ_a_little(tokenizer, cache, tmp_path):
    exact, coarse = LatentSet.load(cache), cache_latents(DATA, tokenizer, tmp_path, 5, precision="bf16")
    gap = (exact.shards[0][0].float() - coarse.shards[0][0].float()).abs().max()
    assert 0 < gap < 0.1
    with pytest.raises(ValueError, match=r"another precision \('bf16'\), got 'fp32'"):
        cache_latents(DATA, tokenizer, tmp_path, 5)


def test_nothing_of_the_callers_changes(tokenizer, tmp_path):
    tokenizer.vae.train()
    before = torch.random.get_rng_state()
    cache_latents(DATA, tokenizer, tmp_path, 5)
    assert torch.equal(before, torch.random.get_rng_state()) and tokenizer.vae.training
    tokenizer.eval()


# ---- reading

def test_batches_are_a_function_of_ids_and_generator(cache):
    data, ids = LatentSet.load(cache), torch.tensor([3, 22, 3, 0, 14, 5])
    draw = lambda: data.batch(ids, torch.Generator().manual_seed(5))
    latents, labels = draw()
    assert latents.shape == (6, 16, 5) and latents.dtype == torch.float32
    assert torch.equal(latents, draw()[0]) and torch.equal(labels, DATA.labels[ids])
    assert not torch.equal(latents[0], latents[2])


def test_a_view_is_drawn_as_in_a_set_of_tokens(cache):
    data, ids = LatentSet.load(cache), torch.arange(23)
    views = torch.arange(2, dtype=torch.uint8)[None, :, None, None].expand(23, 2, 16, 5).contiguous()
    tokens = TokenSet(views, DATA.labels, 2, DATA.classes, "none", {}, True)
    side = tokens.batch(ids, torch.Generator().manual_seed(9))[0][:, 0, 0]
    mean, std, _ = data.moments(ids, torch.Generator().manual_seed(9))
    for place, found in ((0, mean), (1, std)):
        stored = torch.cat([shard[place] for shard in data.shards])
        assert torch.equal(found, stored[ids, side])
    assert 0 < side.sum() < 23


def test_samples_have_the_posteriors_mean_and_deviation():
    mean, std = torch.full((1, 1, 50, 40), 3.0).half(), torch.full((1, 1, 50, 40), 0.5).half()
    data = LatentSet(((mean, std),), torch.zeros(1, dtype=torch.int64), ("a",), "none", {}, False)
    latents, _ = data.batch(torch.zeros(20, dtype=torch.int64), torch.Generator().manual_seed(0))
    assert abs(latents.mean() - 3) < 0.01 and abs(latents.std() - 0.5) < 0.01


def test_parts_of_a_set(cache):
    data = LatentSet.load(cache)
    first, rest = data.split(8)
    assert len(first) == 8 and len(rest) == 15 and len(data.take(3)) == 3
    for i in (0, 7, 14):
        assert torch.equal(rest[i][0], data[8 + i][0]) and rest[i][1] == data[8 + i][1]
    moments = [part.moments(ids, torch.Generator().manual_seed(1))
               for part, ids in ((rest, torch.tensor([0, 14])), (data, torch.tensor([8, 22])))]
    assert all(torch.equal(a, b) for a, b in zip(*moments))
    with pytest.raises(IndexError):
        rest[15]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at Linux's list of maps")
def test_shards_are_mapped(cache):
    data = LatentSet.load(cache)
    assert str(cache / "shard-00004.safetensors") in Path("/proc/self/maps").read_text() and len(data) == 23


# ---- stopped and continued

@pytest.mark.parametrize("workers", [0, 1])
def test_killed_and_resumed_by_two_processes_to_the_same_bytes(tokenizer, cache, tmp_path, workers):
    folder = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        cache_latents(dying(), tokenizer, folder, shard_size=5)
    assert sorted(path.name for path in folder.glob("shard-*")) == SHARDS[:2]
    assert cache_latents(DATA, tokenizer, folder, 5, rank=1, world=2, workers=workers) is None
    assert not (folder / "done.json").exists()
    assert len(cache_latents(DATA, tokenizer, folder, 5, rank=0, world=2, workers=workers)) == 23
    assert contents(folder) == contents(cache)


@pytest.mark.parametrize("name", ["index.json", "config.json", "shard-00002.safetensors", "done.json"])
def test_killed_while_a_file_is_written(tokenizer, cache, tmp_path, monkeypatch, name):
    "A real kill leaves a half-written file beside the shards; the end removes it."
    folder, replace = tmp_path / "cache", os.replace

    def killed(source, target):
        if Path(target).name == name:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        cache_latents(DATA, tokenizer, folder, 5)
    monkeypatch.undo()
    (folder / ".shard-00002.safetensors.1-ab.tmp").write_bytes(b"half")
    cache_latents(DATA, tokenizer, folder, 5)
    assert contents(folder) == contents(cache)


def test_full_disk_leaves_nothing_torn(tokenizer, cache, tmp_path, monkeypatch):
    sizes = [len(data) for name, data in contents(cache).items() if name not in (*SHARDS[2:], "done.json")]
    folder, write, room = tmp_path / "cache", os.write, [sum(sizes) + 100]   # for two shards

    def full(handle, data):
        if len(data) > room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= len(data)
        return write(handle, data)

    monkeypatch.setattr(files.os, "write", full)
    with pytest.raises(OSError, match="cannot write .*: No space left on device"):
        cache_latents(DATA, tokenizer, folder, 5)
    monkeypatch.undo()
    assert contents(folder) == {name: data for name, data in contents(cache).items()
                                if name not in (*SHARDS[2:], "done.json")}
    cache_latents(DATA, tokenizer, folder, 5)
    assert contents(folder) == contents(cache)


def test_finished_is_finished(tokenizer, copied):
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*")}
    assert len(cache_latents(DATA, tokenizer, copied, 5)) == 23
    assert before == {path: path.stat().st_mtime_ns for path in copied.rglob("*")}


def test_a_lost_shard_is_written_again(tokenizer, cache, copied):
    (copied / "shard-00003.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="shard-00003.safetensors: this shard is missing"):
        LatentSet.load(copied)
    cache_latents(DATA, tokenizer, copied, 5)
    assert contents(copied) == contents(cache)


# ---- folders

@pytest.mark.parametrize("workers", [0, 2])
def test_files_are_decoded_here_or_elsewhere(tokenizer, photos, tmp_path, workers):
    data = image_folder(photos, 32)
    found = cache_latents(data, tokenizer, tmp_path / "cache", shard_size=4, chunk_size=3, workers=workers)
    whole = ImageSet(data.images, data.labels, data.classes, data.source)
    other = cache_latents(whole, tokenizer, tmp_path / "other", shard_size=4, chunk_size=3)
    for one, two in zip(found.shards, other.shards, strict=True):
        assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])
    assert torch.equal(found.labels, data.labels) and found.classes == ("class 0", "class 1")


def test_a_moved_folder_is_the_same(tokenizer, photos, tmp_path):
    cache_latents(image_folder(photos, 32), tokenizer, tmp_path / "cache", 4)
    moved = photos.rename(tmp_path / "moved")
    assert len(cache_latents(image_folder(moved, 32), tokenizer, tmp_path / "cache", 4)) == 12


@pytest.mark.parametrize("workers", [0, 1])
def test_files_that_cannot_be_read(tokenizer, photos, tmp_path, workers):
    data, folder = image_folder(photos, 32), tmp_path / "cache"
    for place in (2, 9):
        data.paths[place].write_bytes(data.paths[place].read_bytes()[:200])
    name = data.paths[2].relative_to(photos).as_posix()
    with pytest.raises(ValueError, match="skip_broken=True") as caught:
        cache_latents(data, tokenizer, folder, 4, workers=workers)
    assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.warns(UserWarning, match="2 images cannot be read and were left out"):
        found = cache_latents(data, tokenizer, folder, 4, workers=workers, skip_broken=True)
    kept = torch.tensor([i for i in range(12) if i not in (2, 9)])
    assert [len(mean) for mean, _ in found.shards] == [3, 4, 3]
    assert torch.equal(found.labels, data.labels[kept])
    left_out = files.read_json(folder / "done.json")["left_out"]
    assert set(left_out) == {data.paths[i].relative_to(photos).as_posix() for i in (2, 9)}
    mean, _, _ = found.moments(torch.tensor([2]), torch.Generator().manual_seed(0))
    good = data.batch(torch.tensor([3]))[0]
    expected = [tokenizer.latents(view)[0] for view in (good, good.flip(-1))]
    assert min((mean[0].float() - view).abs().max() for view in expected) < 2e-3


def test_a_shard_of_broken_files_only(tokenizer, photos, tmp_path):
    data = image_folder(photos, 32)
    for path in data.paths[4:8]:
        path.unlink()
    with pytest.warns(UserWarning, match="4 images"):
        found = cache_latents(data, tokenizer, tmp_path / "cache", 4, skip_broken=True)
    assert [len(mean) for mean, _ in found.shards] == [4, 0, 4]
    assert torch.equal(found.moments(torch.arange(8))[2], data.labels[[0, 1, 2, 3, 8, 9, 10, 11]])
    for path in data.paths[:4] + data.paths[8:]:
        path.unlink()
    with pytest.raises(ValueError, match="all 12 were left out"):
        cache_latents(data, tokenizer, tmp_path / "none", 4, skip_broken=True)


# ---- what does not fit

def test_another_run_in_the_same_folder(tokenizer, copied, tmp_path):
    with pytest.raises(ValueError, match=r"begun with another shard_size \(5\), got 6"):
        cache_latents(DATA, tokenizer, copied, 6)
    with pytest.raises(ValueError, match=r"begun with another num \(23\), got 22"):
        cache_latents(DATA.take(22), tokenizer, copied, 5)
    turned = ImageSet(DATA.images.flip(-1), DATA.labels, DATA.classes, DATA.source)
    with pytest.raises(ValueError, match="begun with another files"):
        cache_latents(turned, tokenizer, copied, 5)
    other = TokenBridge.from_pretrained(save_tiny(tmp_path / "other", generator=False))
    with torch.no_grad():
        next(other.vae.parameters()).mul_(1.5)
    other = TokenBridge(other.vae, other.quantizer)
    with pytest.raises(ValueError, match="begun with another vae"):
        cache_latents(DATA, other, copied, 5)
    with pytest.raises(ValueError, match=r"made by another VAE \(fingerprint"):
        LatentSet.load(copied, other)


def test_other_levels_are_no_other_latents(tokenizer, cache):
    levels = Quantizer.gaussian(5, 9)
    assert len(LatentSet.load(cache, TokenBridge(tokenizer.vae, levels))) == 23


def test_torn_and_changed_shards(copied, cache):
    path = copied / "shard-00001.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(OSError, match="shard-00001.safetensors: not a whole safetensors file.*remove it"):
        LatentSet.load(copied)
    changed = bytearray(whole)
    changed[-1] ^= 1
    path.write_bytes(changed)
    LatentSet.load(copied)   # only the checksum knows
    with pytest.raises(ValueError, match="shard-00001.safetensors: has changed"):
        LatentSet.load(copied, verify=True)


def test_a_shard_of_another_cache(tokenizer, copied, tmp_path):
    cache_latents(DATA, tokenizer, tmp_path / "other", 5, mirror=False)
    (tmp_path / "other" / "shard-00001.safetensors").replace(copied / "shard-00001.safetensors")
    with pytest.raises(ValueError, match="shard-00001.safetensors: not a shard of this cache"):
        LatentSet.load(copied)


def test_a_cast_tokenizer_is_refused_before_anything_is_written(tmp_path):
    cast = TokenBridge.from_pretrained(save_tiny(tmp_path / "tiny", generator=False)).bfloat16()
    with pytest.raises(ValueError, match="weights in float32, got bfloat16"):
        cache_latents(DATA, cast, tmp_path / "cache", 5)
    assert not (tmp_path / "cache").exists()


def test_no_warning_without_a_reason(tokenizer, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache_latents(DATA, tokenizer, tmp_path, 5, workers=1)
