"Data: by name or from folders, batches as a function of the step, sets of tokens."
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tokenbridge import cifar10
from tokenbridge import data as d


@given(step=st.integers(0, 200), batch=st.integers(1, 37), num=st.integers(1, 50), seed=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_batches_go_through_epochs(step, batch, num, seed):
    ids = d.batch_ids(step, batch, num, seed)
    assert ids.shape == (batch,) and 0 <= ids.min() and ids.max() < num
    assert torch.equal(ids, d.batch_ids(step, batch, num, seed))
    everything = torch.cat([d.batch_ids(s, batch, num, seed) for s in range(-(-2 * num // batch))])[:2 * num]
    assert sorted(everything[:num].tolist()) == sorted(everything[num:].tolist()) == list(range(num))


def test_each_epoch_and_each_seed_has_an_order_of_its_own():
    first, second = (d.batch_ids(step, 50, 50) for step in (0, 1))
    assert not torch.equal(first, second) and not torch.equal(first, torch.arange(50))
    assert not torch.equal(first, d.batch_ids(0, 50, 50, seed=1))
    # a batch over the border of two epochs: the end of one order, then the beginning of the next
    assert torch.equal(d.batch_ids(1, 30, 50), torch.cat([first, second])[30:60])
    assert torch.equal(d.batch_ids(0, 120, 50)[:100], torch.cat([first, second]))


def test_drawn_rich_images_are_varied_and_repeatable():
    a, b = d.drawn_rich_images(50, seed=3), d.drawn_rich_images(50, seed=3)
    assert torch.equal(a.images, b.images) and len(set(a.labels.tolist())) == 10
    assert len({image.numpy().tobytes() for image in a.images}) == 50
    assert a.images.float().std((2, 3)).mean() > 10
    assert d.drawn_rich_images(3, size=16).images.shape == (3, 3, 16, 16)
    # a short set begins a longer one
    assert torch.equal(d.drawn_rich_images(1003, seed=3).images[:50], a.images)


def test_a_flip_mirrors_about_half():
    images = d.drawn_rich_images(200).images
    flipped = d.random_flip(images, torch.Generator().manual_seed(0))
    same = sum(torch.equal(a, b) for a, b in zip(flipped, images))
    assert 60 < same < 140


def test_a_shift_moves_pixels():
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 4, 4] = 1
    moved = {tuple(d.random_shift(image, 2, torch.Generator().manual_seed(s))[0, 0].nonzero()[0].tolist())
             for s in range(60)}
    assert len(moved) > 10 and all(2 <= y <= 6 and 2 <= x <= 6 for y, x in moved)


def photographs(root: Path, num: int = 12) -> Path:
    "Three classes of grey squares whose brightness says which."
    for i in range(num):
        (root / "abc"[i % 3]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 16), (20 * i, i % 3, 0)).save(root / "abc"[i % 3] / f"{i:02d}.png")
    return root


def test_a_folder_is_an_image_set_that_reads_when_it_is_asked(tmp_path, monkeypatch):
    data, read = d.image_folder(photographs(tmp_path), 8), []
    original = d.read_image
    monkeypatch.setattr(d, "read_image", lambda path, *rest: read.append(path) or original(path, *rest))
    assert isinstance(data, d.ImageSet) and len(data) == 12 and data.image_size == 8 and not read
    assert repr(data) == f"12 images of 8x8 pixels in 3 classes ({tmp_path})" and not read
    images, labels = data.batch(torch.tensor([5, 0, 5]))
    assert len(read) == 3 and torch.equal(images[0], images[2]) and labels.tolist()[0] == data[5][1]
    assert (images[:, 1, 0, 0].long() == labels).all() and torch.equal(data[0][0], images[1])
    first, rest = data.split(5)
    assert (len(first.paths), len(rest.paths)) == (5, 7) and first.paths + rest.paths == data.paths
    assert torch.equal(rest[0][0], data[5][0]) and len(data.take(3).images) == 3
    assert data.batch(torch.zeros(0, dtype=torch.int64))[0].shape == (0, 3, 8, 8)
    loader = torch.utils.data.DataLoader(data, batch_size=5, num_workers=0)
    assert torch.equal(torch.cat([x for x, _ in loader]), data.images)


def test_decoded_once_in_memory_or_mapped(tmp_path, monkeypatch):
    data = d.image_folder(photographs(tmp_path / "photos"), 8)
    pixels = data.images
    plain = data.decoded()
    assert type(plain) is d.ImageSet and torch.equal(plain.images, pixels) and plain.decoded() is plain
    assert torch.equal(plain.labels, data.labels) and plain.source == data.source
    monkeypatch.setattr(d, "_IN_MEMORY", 100)
    assert torch.equal(data.decoded().images, pixels), "a temporary file"
    kept = data.decoded(tmp_path / "kept")
    assert torch.equal(kept.images, pixels)
    (file,) = (tmp_path / "kept").iterdir()
    assert file.stat().st_size == pixels.numel()
    kept.images[0] = 0   # a copy of the page, not the file
    monkeypatch.setattr(d, "_in_parts", lambda *_: pytest.fail("decoded again"))
    assert torch.equal(data.decoded(tmp_path / "kept").images, pixels)
    monkeypatch.undo()
    monkeypatch.setattr(d, "_IN_MEMORY", 100)
    Image.new("RGB", (99, 99), (7, 7, 7)).save(data.paths[0])
    assert data.decoded(tmp_path / "kept").images[0].unique().tolist() == [7], "a changed image is read again"


def test_two_processes_may_decode_one_folder(tmp_path, monkeypatch):
    data = d.image_folder(photographs(tmp_path / "photos"), 8)
    pixels, in_parts, kept = data.images, d._in_parts, tmp_path / "kept"
    monkeypatch.setattr(d, "_IN_MEMORY", 100)

    def while_another_does_the_same(*arguments):
        monkeypatch.setattr(d, "_in_parts", in_parts)
        yield from in_parts(*arguments)
        d.image_folder(tmp_path / "photos", 8).decoded(kept)

    monkeypatch.setattr(d, "_in_parts", while_another_does_the_same)
    assert torch.equal(data.decoded(kept).images, pixels)
    assert len(list(kept.iterdir())) == 1


def test_images_by_name_or_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("TOKENBRIDGE_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    photographs(tmp_path / "photos", 30)
    (tmp_path / "cifar" / "cifar-10-batches-bin").mkdir(parents=True)
    record = bytes([3]) + bytes(3072)
    (tmp_path / "cifar" / "cifar-10-batches-bin" / "test_batch.bin").write_bytes(record * 10000)
    for name, made in (("drawn", d.drawn_images), ("drawn-rich", d.drawn_rich_images)):
        test = d.load_images("test", name, limit=7, size=16)
        assert test.source == name and torch.equal(test.images, made(7, 1, 16).images)
    train, test = (d.load_images(split, "~/photos", size=8) for split in ("train", "test"))
    assert (len(train), len(test), train.source) == (27, 3, str(tmp_path / "photos"))
    assert len(d.load_images("train", tmp_path / "photos", 4, size=np.int64(8))) == 4
    for place in ("cifar", "cifar/cifar-10-batches-bin"):
        found = d.load_images("test", place, np.int64(9))
        assert found.source == "cifar10" and len(found) == 9 and found.labels[0] == 3
    monkeypatch.setenv("TOKENBRIDGE_DATA", "cifar")
    assert d.load_images("test").source == d.load_images("test", "cifar10").source == "cifar10"
    monkeypatch.setenv("TOKENBRIDGE_DATA", "drawn-rich")
    assert d.load_images("test", limit=3).source == "drawn-rich"
    monkeypatch.setitem(d.SOURCES, "mine", lambda split, limit, size, download: d.drawn_images(3, 9))
    assert torch.equal(d.load_images("train", "mine").images, d.drawn_images(3, 9).images)


def test_a_broken_cifar_is_an_error_and_not_a_reason_to_draw(tmp_path, monkeypatch):
    monkeypatch.delenv("TOKENBRIDGE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "cifar10" / "cifar-10-batches-bin").mkdir(parents=True)
    (tmp_path / "data" / "cifar10" / "cifar-10-batches-bin" / "test_batch.bin").write_bytes(b"short")
    with pytest.raises(ValueError, match="got 5 bytes"):
        d.load_images("test")
    with pytest.raises(ValueError, match="size: the images of cifar10 have 32 pixels, got 64"):
        d.load_images("test", "cifar10", size=64)


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
    with pytest.warns(UserWarning, match="DRAWN"):
        assert d.load_images("test", limit=20).source == "drawn"


def test_cached_latents_come_back(tmp_path):
    mean, std = torch.randn(3, 2, 4, 5), torch.rand(3, 2, 4, 5)
    d.save_latents(tmp_path / "x.safetensors", mean, std, torch.arange(3), "abc")
    back = d.load_latents(tmp_path / "x.safetensors", "abc")
    assert torch.equal(back[0], mean) and torch.equal(back[1], std) and back[2].tolist() == [0, 1, 2]


def test_no_network_leaves_nothing_behind(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("TOKENBRIDGE_DATA", raising=False)
    monkeypatch.setattr(cifar10, "CIFAR10_URL", "http://127.0.0.1:9/x")
    with pytest.warns(UserWarning, match="DRAWN"):
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
    images = d.drawn_rich_images(12)
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
