"Our FID and Inception Score beside torch-fidelity's and torchmetrics', as lines 'name: ours theirs'."
import importlib.machinery
import os
import sys
import types
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from tokenbridge import fid


class Stub(types.ModuleType):
    "A module that has every name: the libraries ask torchvision for names and, here, for nothing else."
    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def stub_torchvision() -> None:
    "Put stubs in the place of torchvision, for this process."
    for name in ("torchvision", *(f"torchvision.{part}" for part in (
            "transforms", "transforms.functional", "datasets", "models", "ops"))):
        module = Stub(name)
        module.__spec__, module.__path__ = importlib.machinery.ModuleSpec(name, None), []
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


class Same(nn.Module):
    "Features that are given instead of images."
    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


class Code:
    "What a pickle can do when it is opened."
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def say(name: str, ours: float, theirs: float) -> None:
    print(f"{name}: {float(ours)!r} {float(theirs)!r}")


def compare_formulas() -> None:
    "The same features and logits through all formulas, at full rank."
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.inception import InceptionScore
    generator = torch.Generator().manual_seed(1)
    mix = torch.randn(48, 48, generator=generator, dtype=torch.float64)
    one, other = torch.randn(2, 300, 48, generator=generator, dtype=torch.float64) @ mix
    other = other * 0.9 + 0.2
    a, b = fid.moments(one), fid.moments(other)
    ours = fid.frechet_distance(a.mean, a.covariance, b.mean, b.covariance)
    theirs = fid_statistics_to_metric(*map(fid_features_to_statistics, (one, other)), verbose=False)
    say("distance, torch-fidelity's formula", ours, theirs["frechet_inception_distance"])
    metric = FrechetInceptionDistance(feature=Same(48))
    metric.update(one, real=True), metric.update(other, real=False)
    say("distance, torchmetrics' formula", ours, metric.compute())
    logits = torch.randn(303, 20, generator=generator) * 2
    theirs = isc_features_to_metric(logits)
    say("score, torch-fidelity's formula", fid.inception_score(logits)[0], theirs["inception_score_mean"])
    metric = InceptionScore(feature=Same(20), splits=1)   # one part: the order is of no matter
    metric.update(logits.double())
    say("score, torchmetrics' formula", fid.inception_score(logits, 1)[0], metric.compute()[0])


def random_weights(path: Path) -> None:
    "Random weights in the library's file format, scaled so that features differ between images."
    from torch_fidelity import feature_extractor_inceptionv3 as library
    torch.manual_seed(0)
    loaded, library.load_state_dict_from_url = library.load_state_dict_from_url, lambda *a, **k: {}
    load, nn.Module.load_state_dict = nn.Module.load_state_dict, lambda *a, **k: None
    try:
        network = library.FeatureExtractorInceptionV3("random", ["2048"])
    finally:
        library.load_state_dict_from_url, nn.Module.load_state_dict = loaded, load
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    nn.init.normal_(network.fc.weight, std=0.5)   # else all logits are nearly equal
    torch.save(network.state_dict(), path)


class Pictures(torch.utils.data.Dataset):
    "Bytes as torch-fidelity wants them."
    def __init__(self, pictures: Tensor):
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, i: int) -> Tensor:
        return self.pictures[i]


def compare_files(folder: Path, num: int = 72, size: int = 32) -> None:
    "The same images and weights through each library; an early layer, so that N gives full rank."
    import torch_fidelity
    from torchmetrics.image.fid import FrechetInceptionDistance
    generator = torch.Generator().manual_seed(2)
    coarse = torch.randint(0, 256, (2, num, 3, 8, 8), generator=generator, dtype=torch.uint8)
    made, real = coarse.repeat_interleave(size // 8, 3).repeat_interleave(size // 8, 4)
    real = real // 2 + 60
    weights = str(folder / "W.pth")
    (folder / "made").mkdir()
    for number, pixels in enumerate(made.permute(0, 2, 3, 1).numpy()):
        Image.fromarray(pixels).save(folder / "made" / f"{number:03}.png")
    library = torch_fidelity.FeatureExtractorInceptionV3("theirs", ["64"], weights)
    seen = library(real)[0].double().numpy()
    np.savez(folder / "real.npz", mu=seen.mean(0), sigma=np.cov(seen.T))   # as in ADM's files
    network = fid.inception_network(weights, "cpu", layer="64")
    found = fid.measure_images(folder / "made", folder / "real.npz", network)
    print(f"weights: {found.weights}\nname: {found.name}")
    metric = FrechetInceptionDistance(64, feature_extractor_weights_path=weights, antialias=False)
    metric.update(real, real=True), metric.update(made, real=False)
    say("FID from files, torchmetrics", found.distance, metric.compute())
    common = dict(cuda=False, verbose=False, cache=False, feature_extractor_weights_path=weights)
    theirs = torch_fidelity.calculate_metrics(input1=Pictures(made), input2=Pictures(real), fid=True,
                                              feature_layer_fid="64", **common)
    say("FID from files, torch-fidelity", found.distance, theirs["frechet_inception_distance"])
    theirs = torch_fidelity.calculate_metrics(input1=Pictures(made), isc=True, **common)
    say("IS from files, torch-fidelity", found.score, theirs["inception_score_mean"])


def refused(folder: Path) -> None:
    "What is said of files that are no weights."
    torch.save({"a": Code(folder / "executed")}, folder / "code.pth")
    torch.save({"a": torch.zeros(2)}, folder / "other.pth")
    for name, path in (("a pickle with code", "code.pth"), ("other weights", "other.pth")):
        try:
            fid.inception_network(folder / path)
        except (OSError, ValueError) as error:
            print(f"{name}: {str(error).split(': ', 1)[1].replace(': ', ' ')}")


def compare(folder: str) -> None:
    "Everything, into standard output."
    stub_torchvision()
    compare_formulas()
    random_weights(Path(folder) / "W.pth")
    compare_files(Path(folder))
    refused(Path(folder))
