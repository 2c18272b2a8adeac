"Data: records read exactly, downloads that break off, batches as a function of the step, sets of tokens."
import dataclasses
import hashlib
import http.server
import io
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tokenbridge import data as d


def record(label: int, seed: int) -> bytes:
    return bytes([label]) + np.random.default_rng(seed).integers(0, 256, 3072, dtype=np.uint8).tobytes()


def test_records_are_planes_of_rows(tmp_path):
    (tmp_path / "x.bin").write_bytes(record(3, 0) + record(9, 1))
    images, labels = d.read_records(tmp_path / "x.bin")
    assert labels.tolist() == [3, 9] and images.shape == (2, 3, 32, 32)
    raw = (tmp_path / "x.bin").read_bytes()
    assert images[1, 2, 5, 7] == raw[3073 + 1 + 2 * 1024 + 5 * 32 + 7]


@given(step=st.integers(0, 200), batch=st.integers(1, 37), num=st.integers(1, 50), seed=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_batches_go_through_epochs(step, batch, num, seed):
    ids = d.batch_ids(step, batch, num, seed)
    assert ids.shape == (batch,) and 0 <= ids.min() and ids.max() < num
    assert torch.equal(ids, d.batch_ids(step, batch, num, seed))
    everything = torch.cat([d.batch_ids(s, batch, num, seed) for s in range(-(-2 * num // batch))])[:2 * num]
    assert sorted(everything[:num].tolist()) == sorted(everything[num:].tolist()) == list(range(num))


def test_synthetic_images_are_varied_and_repeatable():
    a, b = d.synthetic_images(50, seed=3), d.synthetic_images(50, seed=3)
    assert torch.equal(a.images, b.images) and len(set(a.labels.tolist())) == 10
    assert len({image.numpy().tobytes() for image in a.images}) == 50
    assert a.images.float().std((2, 3)).mean() > 10
    assert d.synthetic_images(3, size=16).images.shape == (3, 3, 16, 16)
    # a short set begins a longer one
    assert torch.equal(d.synthetic_images(1003, seed=3).images[:50], a.images)


def test_a_flip_mirrors_about_half():
    images = d.synthetic_images(200).images
    flipped = d.random_flip(images, torch.Generator().manual_seed(0))
    same = sum(torch.equal(a, b) for a, b in zip(flipped, images))
    assert 60 < same < 140


def test_a_shift_moves_pixels():
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 4, 4] = 1
    moved = {tuple(d.random_shift(image, 2, torch.Generator().manual_seed(s))[0, 0].nonzero()[0].tolist())
             for s in range(60)}
    assert len(moved) > 10 and all(2 <= y <= 6 and 2 <= x <= 6 for y, x in moved)


def test_image_folder_crops_the_middle(tmp_path):
    for name, colour in (("a", (255, 0, 0)), ("b", (0, 255, 0))):
        (tmp_path / name).mkdir()
        picture = Image.new("RGB", (64, 32), (0, 0, 0))
        picture.paste(colour, (16, 0, 48, 32))
        picture.save(tmp_path / name / "x.png")
    images = d.image_folder(tmp_path, 16)
    assert images.classes == ("a", "b") and sorted(images.labels.tolist()) == [0, 1]
    red = images.images[int(images.labels.argmin())]
    assert red[0].min() > 200 and red[1].max() < 50
    (tmp_path / ".ipynb_checkpoints").mkdir()   # no class
    assert d.image_folder(tmp_path, 16).classes == ("a", "b")
    (tmp_path / "c").mkdir()
    with pytest.raises(ValueError, match="/c: expected images, found none"):
        d.image_folder(tmp_path, 16)


def test_missing_data_is_said_aloud(tmp_path, monkeypatch):
    monkeypatch.delenv("TOKENBRIDGE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="SYNTHETIC"):
        assert d.load_images("test", limit=20).source == "synthetic"


class Server(http.server.BaseHTTPRequestHandler):
    body, seen, cut = b"", [], 0

    def do_GET(self):
        first = int(self.headers.get("Range", "bytes=0-").split("=")[1].rstrip("-"))
        self.seen.append(first)
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(self.body) - first))
        self.end_headers()
        self.wfile.write(self.body[first:first + self.cut] if self.cut and not first else self.body[first:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    Server.seen, Server.cut, Server.body = [], 0, np.random.default_rng(0).bytes(3_000_000)
    yield f"http://127.0.0.1:{made.server_port}/file"
    made.shutdown()


def test_a_broken_download_goes_on_where_it_stopped(server, tmp_path):
    Server.cut = 1_500_000
    md5 = hashlib.md5(Server.body).hexdigest()
    with pytest.raises(OSError, match="file"):
        d.fetch(server, tmp_path / "file", md5, progress=False)
    assert not (tmp_path / "file").exists() and 0 < (tmp_path / "file.part").stat().st_size < 3_000_000
    assert d.fetch(server, tmp_path / "file", md5, progress=False).read_bytes() == Server.body
    assert Server.seen[-1] > 0


def test_an_altered_download_is_refused(server, tmp_path):
    with pytest.raises(OSError, match="expected checksum"):
        d.fetch(server, tmp_path / "file", "0" * 32, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_unpacking_appears_whole_or_not_at_all(tmp_path):
    def archive(path: Path, names):
        with tarfile.open(path, "w:gz") as tar:
            for name in names:
                content = bytes([1]) * 3073
                info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    archive(tmp_path / "few.tar.gz", ["test_batch.bin"])
    with pytest.raises((ValueError, OSError)):
        d.unpack(tmp_path / "few.tar.gz", tmp_path)
    assert not (tmp_path / "cifar-10-batches-bin").exists()
    archive(tmp_path / "whole.tar.gz",
            [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin", "../../outside.bin"])
    with pytest.raises((ValueError, OSError)):   # six short files: looked at before the folder appears
        d.unpack(tmp_path / "whole.tar.gz", tmp_path)
    assert not (tmp_path / "cifar-10-batches-bin").exists()
    assert not list(tmp_path.parent.glob("**/outside.bin"))


def test_cached_latents_come_back(tmp_path):
    mean, std = torch.randn(3, 2, 4, 5), torch.rand(3, 2, 4, 5)
    d.save_latents(tmp_path / "x.safetensors", mean, std, torch.arange(3), "abc")
    back = d.load_latents(tmp_path / "x.safetensors", "abc")
    assert torch.equal(back[0], mean) and torch.equal(back[1], std) and back[2].tolist() == [0, 1, 2]


def test_pictures_of_other_kinds(tmp_path):
    ramp = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    grey = d.read_image(tmp_path / "deep.png", 32)
    assert grey[0, 0, 0] < 5 and grey[0, -1, -1] > 250 and 120 < grey.float().mean() < 135
    upright = Image.new("RGB", (32, 32))
    upright.paste((255, 0, 0), (0, 0, 32, 16))   # red above
    note = Image.Exif()
    note[0x0112] = 6                             # "turn me a quarter to the right"
    upright.save(tmp_path / "turned.png", exif=note)
    turned = d.read_image(tmp_path / "turned.png", 32)
    assert turned[0, :, 20:].min() > 250 and turned[0, :, :12].max() < 5
    expected = pytest.raises(ValueError, match="deep.png: expected an image file")
    with pytest.MonkeyPatch.context() as patch, expected:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        d.read_image(tmp_path / "deep.png", 32)


def test_no_network_leaves_nothing_behind(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("TOKENBRIDGE_DATA", raising=False)
    monkeypatch.setattr(d, "CIFAR10_URL", "http://127.0.0.1:9/x")
    with pytest.warns(UserWarning, match="SYNTHETIC"):
        d.load_images("test", limit=3, download=True)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["work"]


def test_image_folder_passes_over_hidden_files(tmp_path):
    write = lambda path: (path.parent.mkdir(parents=True, exist_ok=True),
                          Image.new("RGB", (16, 16)).save(path))
    write(tmp_path / "cat" / "1.jpg")
    write(tmp_path / "cat" / ".ipynb_checkpoints" / "1-checkpoint.jpg")
    (tmp_path / "cat" / "._1.jpg").write_bytes(b"what a Mac leaves behind")
    (tmp_path / "cat" / "x.png").mkdir()
    assert len(d.image_folder(tmp_path, 16)) == 1


def test_the_first_images_of_a_folder_are_of_all_classes(tmp_path):
    for name, colour in (("a", 0), ("b", 120), ("c", 240)):
        (tmp_path / name).mkdir()
        for i in range(20):
            Image.new("RGB", (16, 16), (colour, i, 0)).save(tmp_path / name / f"{i}.png")
    images, again = (d.image_folder(tmp_path, 16) for _ in range(2))
    assert torch.equal(images.images, again.images)   # always in the same way
    assert set(images.take(20).labels.tolist()) == {0, 1, 2}
    assert (images.images[:, 0, 0, 0].long() == 120 * images.labels).all()


def token_set(views: int = 2, num: int = 6, num_levels: int = 16) -> d.TokenSet:
    tokens = torch.randint(0, num_levels, (num, views, 5, 4), generator=torch.Generator().manual_seed(0))
    return d.TokenSet(tokens.to(d.token_dtype(num_levels)), torch.arange(num) % 3, num_levels,
                      ("a", "b", "c"), "drawn", {"vae": "12", "levels": "34"}, views == 2)


def test_images_come_one_by_one_in_batches_and_in_parts():
    images = d.synthetic_images(12)
    image, label = images[3]
    assert torch.equal(image, images.images[3]) and label == 3 and type(label) is int
    batch, labels = images.batch(torch.tensor([5, 5, 11]))
    assert torch.equal(batch, images.images[[5, 5, 11]]) and labels.tolist() == [5, 5, 1]
    first, rest = images.split(4)
    assert (len(first), len(rest)) == (4, 8) and rest.classes == images.classes
    assert torch.equal(torch.cat([first.images, rest.images]), images.images)
    assert torch.equal(torch.cat([first.labels, rest.labels]), images.labels)
    loader = torch.utils.data.DataLoader(images, batch_size=5)   # PyTorch's own loader takes it
    assert torch.equal(torch.cat([x for x, _ in loader]), images.images)


@pytest.mark.parametrize("num_levels, dtype", [(2, torch.uint8), (256, torch.uint8), (257, torch.int32)])
def test_a_batch_of_tokens_draws_its_views(num_levels, dtype):
    made, ids = token_set(num=40, num_levels=num_levels), torch.tensor([7, 0, 7, 39, 20, 21])
    assert made.tokens.dtype == dtype
    generator, same = (torch.Generator().manual_seed(5) for _ in range(2))
    indices, labels = made.batch(ids, generator)
    side = torch.randint(0, 2, (len(ids),), generator=same)
    assert torch.equal(indices, made.tokens[ids, side].long()) and torch.equal(labels, made.labels[ids])
    assert indices.dtype == labels.dtype == torch.int64
    assert torch.equal(generator.get_state(), same.get_state()), "one draw and no more"
    torch.manual_seed(3)
    from_torch = made.batch(ids)[0]
    torch.manual_seed(3)
    assert torch.equal(from_torch, made.tokens[ids, torch.randint(0, 2, (len(ids),))].long())


def test_one_view_draws_nothing():
    made, generator = token_set(views=1), torch.Generator().manual_seed(5)
    before = generator.get_state()
    indices, _ = made.batch(torch.arange(6), generator)
    assert torch.equal(indices, made.tokens[:, 0].long()) and torch.equal(before, generator.get_state())
    element, label = made[4]
    assert torch.equal(element, indices[4]) and element.dtype == torch.int64
    assert label == 1 and type(label) is int


def test_parts_of_tokens_share_their_memory():
    made = token_set()
    first, rest = made.split(2)
    assert (len(first), len(rest)) == (2, 4) and [len(made.take(num)) for num in (3, None, 99)] == [3, 6, 6]
    assert torch.equal(torch.cat([first.tokens, rest.tokens]), made.tokens)
    assert torch.equal(torch.cat([first.labels, rest.labels]), made.labels)
    assert {part.tokens.untyped_storage().data_ptr() for part in (first, rest)} == {made.tokens.data_ptr()}
    assert (rest.num_levels, rest.made_by, rest.mirror) == (made.num_levels, made.made_by, made.mirror)


@pytest.mark.parametrize("views, num_levels", [(1, 16), (2, 300)])
def test_saved_tokens_come_back_mapped_and_are_looked_at_once(tmp_path, monkeypatch, views, num_levels):
    made = token_set(views, num_levels=num_levels)
    made = dataclasses.replace(made, num_levels=np.int64(num_levels))   # NumPy's numbers are numbers
    assert made.save(tmp_path / "x.safetensors") == tmp_path / "x.safetensors"
    looks = []
    monkeypatch.setattr(d, "check_indices", lambda name, *_: looks.append(name))
    back = d.TokenSet.load(tmp_path / "x.safetensors")
    for field in dataclasses.fields(made):
        ours, theirs = getattr(made, field.name), getattr(back, field.name)
        assert torch.equal(ours, theirs) if isinstance(ours, torch.Tensor) else ours == theirs, field.name
    assert back.tokens.dtype == made.tokens.dtype and type(back.classes) is tuple
    maps = Path("/proc/self/maps")   # Linux says what is mapped
    assert not maps.exists() or str(tmp_path / "x.safetensors") in maps.read_text()
    first, _ = back.take(4).split(2)
    first.batch(torch.arange(2), torch.Generator())
    assert looks == ["tokens", "labels"]
