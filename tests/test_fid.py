"FID and Inception Score: closed forms, readers, and parity with two libraries."
import hashlib
import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.tools.notebooks import ROOT
from tokenbridge import fid

SEEN = torch.Generator().manual_seed(0)
PIXELS = torch.randint(0, 256, (23, 3, 8, 8), generator=SEEN, dtype=torch.uint8)


class Net(nn.Module):
    "Two features and three logits of an image, computed by hand below."
    def features(self, images):
        return torch.stack([images.mean((1, 2, 3)), images[:, 0].amax((1, 2))], 1)

    def forward(self, images):
        return images.mean((2, 3)) * 5


def rows(pictures):
    return pictures.permute(0, 2, 3, 1).numpy()


def blocks(folder, pictures, each):
    folder.mkdir()
    for number, part in enumerate(pictures.split(each)):
        np.savez(folder / f"block-{number:05}.npz", images=rows(part), labels=np.zeros(len(part), np.int64))
    return folder


@pytest.fixture(scope="module")
def network():
    return fid.judge_network(Net(), "means", image_size=8)


# ---- the numbers

@pytest.mark.parametrize("sizes", [[23], [1, 22], [7, 7, 7, 2], [1] * 23])
def test_pieces_give_what_the_whole_gives(sizes):
    points = torch.randn(23, 5, generator=SEEN, dtype=torch.float64) * 3 + 1e5
    pieces = [fid.moments(part) for part in points.split(sizes)]
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = fid.joined(whole, piece)
    assert whole.num == 23 and torch.allclose(whole.mean, points.mean(0), rtol=1e-14)
    assert torch.allclose(whole.covariance, points.T.cov(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("f", [1, 2, 17])
def test_distance_of_gaussians_with_the_same_axes(f):
    turn = torch.linalg.qr(torch.randn(f, f, generator=SEEN, dtype=torch.float64)).Q
    one, other = torch.rand(2, f, generator=SEEN, dtype=torch.float64)
    apart = torch.rand(f, generator=SEEN, dtype=torch.float64)
    one[0] = 0   # no full rank
    expected = float(apart.square().sum() + (one.sqrt() - other.sqrt()).square().sum())
    found = fid.frechet_distance(apart, turn @ one.diag() @ turn.T, 0 * apart, turn @ other.diag() @ turn.T)
    assert found == pytest.approx(expected, abs=1e-6)


def test_distance_of_few_points_is_exact():
    "Fewer images than features: the root's trace is the sum of singular values of the product of the clouds."
    one, other = torch.randn(2, 12, 40, generator=SEEN, dtype=torch.float64)
    a, b = fid.moments(one), fid.moments(other)
    product = (one - a.mean) @ (other - b.mean).T / 11
    expected = ((a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace()
                - 2 * torch.linalg.svdvals(product).sum())
    found = [fid.frechet_distance(x.mean, x.covariance, y.mean, y.covariance) for x, y in ((a, b), (b, a))]
    assert found == pytest.approx([float(expected)] * 2, rel=1e-6)


def test_score_of_what_is_known():
    sure = torch.eye(4).repeat(25, 1) * 100   # each image of one class, all classes alike
    assert fid.inception_score(sure, 1) == pytest.approx((4, 0), abs=1e-9)
    assert fid.inception_score(torch.zeros(20, 4)) == pytest.approx((1, 0), abs=1e-12)
    mean, deviation = fid.inception_score(sure)
    assert 3 < mean < 4 and 0 < deviation < 0.5   # ten random parts of ten images


# ---- the readers

def test_every_form_gives_the_same_images(tmp_path):
    np.savez(tmp_path / "adm.npz", rows(PIXELS), np.arange(23))
    np.savez_compressed(tmp_path / "ours.npz", images=rows(PIXELS))
    (tmp_path / "files" / "class").mkdir(parents=True)
    for number, pixels in enumerate(rows(PIXELS)):
        folder = tmp_path / "files" / ("class" if number < 9 else "")
        Image.fromarray(pixels).save(folder / f"{'a' if number < 9 else 'd'}{number:02}.png")
    for path in (tmp_path / "adm.npz", tmp_path / "ours.npz", tmp_path / "files",
                 blocks(tmp_path / "blocks", PIXELS, 6)):
        found = fid.find_pictures(path)
        parts = list(found.batches(5))
        assert (found.num, found.size, max(map(len, parts))) == (23, 8, 5), path
        assert torch.equal(torch.cat(parts), PIXELS), path
    assert fid.find_pictures(tmp_path / "files", 16).size == 16
    Image.new("RGB", (40, 40)).save(tmp_path / "files" / "grid.png")   # a sheet, as `generate` writes it
    Image.new("RGB", (40, 40)).save(tmp_path / "files" / "sheet.png")
    (tmp_path / "files" / "index.json").write_text("{}")   # of somebody else: no blocks here
    assert fid.find_pictures(tmp_path / "files").num == fid.find_pictures(tmp_path / "files", 16).num == 23


def test_broken_files_are_left_out_and_listed(tmp_path, network):
    for number in range(12):
        Image.fromarray(rows(PIXELS)[number]).save(tmp_path / f"{number:02}.png")
    (tmp_path / "03.png").write_bytes(b"no image")
    whole = (tmp_path / "07.png").read_bytes()
    (tmp_path / "07.png").write_bytes(whole[:-60])   # opens, but cannot be decoded
    with pytest.raises(ValueError, match="03.png: expected an image file"):
        fid.find_pictures(tmp_path)
    with pytest.warns(UserWarning, match="files could not be read"):
        found = fid.measure_images(tmp_path, tmp_path, network, splits=2, skip_broken=True)
    assert found.num == 10 and "4 files could not be read" in str(found)   # two in each of the two sets
    assert found.name == "FD-means-10" and found.distance == pytest.approx(0, abs=1e-6)


def test_only_a_few_images_are_in_memory_together(tmp_path, network):
    "The largest batch that the network sees is the one asked for, and moments need no more."
    seen = []
    watched = fid.Network("FD-w", 2, "", lambda part: seen.append(len(part)) or network.look(part))
    known, logits = fid.look_at(watched, fid.find_pictures(blocks(tmp_path / "b", PIXELS, 6)), chunk_size=4)
    assert max(seen) == 4 and sum(seen) == known.num == len(logits) == 23


# ---- the whole way

def test_figure_by_hand(tmp_path, network):
    one, other = PIXELS[:13], PIXELS[13:]
    np.savez(tmp_path / "real.npz", arr_0=rows(other))
    made = blocks(tmp_path / "made", one, 5)
    found = fid.measure_images(made, tmp_path / "real.npz", network, chunk_size=3)
    a, b = (Net().features(part / 127.5 - 1).double().numpy() for part in (one, other))
    product = np.linalg.eigvals(np.cov(a.T) @ np.cov(b.T)).astype(complex)
    expected = (np.square(a.mean(0) - b.mean(0)).sum() + np.trace(np.cov(a.T) + np.cov(b.T))
                - 2 * np.sqrt(product).real.sum())
    assert found.distance == pytest.approx(expected, rel=1e-5)
    assert (found.num, found.reference_num, found.name) == (13, 10, "FD-means-13")
    assert str(tmp_path / "real.npz") in str(found) and "N = 13" in str(found) and found.weights in str(found)


def test_kept_statistics_give_the_same_figure(tmp_path, network):
    made = blocks(tmp_path / "made", PIXELS[:13], 5)
    real = blocks(tmp_path / "real", PIXELS[13:], 5)
    first = fid.measure_images(made, real, network, keep=tmp_path / "real.npz")
    second = fid.measure_images(made, tmp_path / "real.npz", network)
    assert (first.distance, first.num, first.reference_num) == (second.distance, second.num, 10)


def test_statistics_come_before_images(tmp_path, network):
    "ADM's file has both: mu and sigma of all training images, and 10,000 images for other measures."
    np.savez(tmp_path / "adm.npz", arr_0=rows(PIXELS), mu=np.ones(2), sigma=np.eye(2))
    found = fid.measure_images(blocks(tmp_path / "made", PIXELS, 5), tmp_path / "adm.npz", network)
    assert found.reference_num is None and "N not in its file" in str(found)
    assert found.distance > 1   # the images' own features would be at distance 0


@pytest.mark.parametrize("num, name", [(50_000, "FID-50K"), (5000, "FID-5K"), (49_999, "FID-49999")])
def test_no_name_without_its_number(num, name):
    found = fid.Measured("FID", "ab", num, 2.0, 3.0, 0.1, 10, "a", "b", None)
    assert found.name == name and str(found).startswith(f"{name} 2 of a")


# ---- parity: in a process of its own, since both libraries need torchvision, which has no CPU build here

@pytest.fixture(scope="module")
def parity(tmp_path_factory):
    lacking = [name for name in ("torch_fidelity", "torchmetrics") if importlib.util.find_spec(name) is None]
    if lacking:
        pytest.skip(f"{' and '.join(lacking)} not installed: `make setup` does it, without dependencies")
    folder = tmp_path_factory.mktemp("parity")
    code = "from tests.tools.fidelity import compare; import sys; compare(sys.argv[1])"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(folder)], cwd=ROOT, text=True,
                          capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(line.split(": ") for line in done.stdout.splitlines() if ": " in line), folder


FIGURES = ["distance, torch-fidelity's formula", "distance, torchmetrics' formula",
           "score, torch-fidelity's formula", "score, torchmetrics' formula",
           "FID from files, torch-fidelity", "FID from files, torchmetrics", "IS from files, torch-fidelity"]


@pytest.mark.parametrize("name", FIGURES)
def test_parity(parity, name):
    ours, theirs = map(float, parity[0][name].split())
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9) and theirs != 0


def test_weights_are_named_and_not_called_published(parity):
    said, folder = parity
    assert said["weights"] == hashlib.sha256((folder / "W.pth").read_bytes()).hexdigest()
    assert said["name"] == "FD-inception-64-72"


def test_library_never_unpickles_a_file(parity):
    assert "refused as a checkpoint" in parity[0]["a pickle with code"]
    assert not (parity[1] / "executed").exists()
    assert "expected the weights of torch-fidelity's Inception" in parity[0]["other weights"]
