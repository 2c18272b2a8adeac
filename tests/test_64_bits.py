"64-bit floats never run on a device that has none: tensors of such a device, which refuse them."
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from tokenbridge import checks, evaluation, quantizer, vae


class Narrow(torch.Tensor):
    "A tensor that says it lives on a device without 64-bit floats; it is computed on the CPU."

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, strides=inner.stride(),
                                                   dtype=inner.dtype, device="meta")

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})


class Device(TorchDispatchMode):
    "Inside, new tensors on that device refuse 64 bits, too."

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})


def computed(func, args, kwargs):
    "What an operation gives, on the CPU in truth."
    there = any(isinstance(value, Narrow) for value in tree_leaves((args, kwargs)))
    if kwargs.get("device") is not None:
        there = torch.device(kwargs["device"]).type == "meta"
        kwargs = kwargs | {"device": torch.device("cpu")}
    bare = lambda value: value.inner if isinstance(value, Narrow) else value
    out = func(*tree_map(bare, args), **tree_map(bare, kwargs))
    return tree_map(refused, out) if there else out


def refused(value):
    "The result as a tensor of the device; 64-bit floats are none."
    if not isinstance(value, torch.Tensor):
        return value
    if value.dtype == torch.float64:
        raise TypeError("this device has no float64")
    return Narrow(value)


@pytest.fixture(autouse=True)
def a_device_without_64_bits(monkeypatch):
    monkeypatch.setattr(checks, "_WITHOUT_64_BITS", ("mps", "meta"))


def images(size: int = 16, num: int = 6):
    return torch.rand(num, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_pretended_device_refuses_64_bits():
    narrow = Narrow(torch.ones(2))
    assert narrow.device.type == "meta" and isinstance(narrow + 1, Narrow)
    with pytest.raises(TypeError, match="no float64"):
        narrow.double()
    with pytest.raises(TypeError, match="no float64"):
        narrow.to(torch.float64)
    assert type(narrow.cpu()) is torch.Tensor


def test_wide_numbers_go_to_the_cpu():
    wide = checks.in_64_bits(Narrow(torch.tensor([1.0, 2.0])))
    assert wide.device.type == "cpu" and wide.tolist() == [1, 2] and wide.dtype == torch.float64


@pytest.mark.parametrize("compute", [
    lambda place: vae.patch_pca(place(images()), 8, 4),
    lambda place: quantizer.fit_levels(place(images().flatten(0, 2)), 4),
    lambda place: evaluation._local_mean(place(images())),
    lambda place: evaluation.level_usage(place(torch.arange(24).view(6, 4) % 8), 8),
    lambda place: evaluation.perplexity(place(torch.full((3, 4), 0.25))),
    lambda place: evaluation.position_histogram_nll(*(place(torch.arange(24).view(2, 3, 4) % 8),) * 2, 8),
    lambda place: evaluation.dimension_histogram_nll(*(place(torch.arange(24).view(2, 3, 4) % 8),) * 2, 8),
], ids=["patch_pca", "fit_levels", "ssim", "level_usage", "perplexity", "position_histogram",
        "dimension_histogram"])
def test_what_is_summed_in_64_bits_gives_the_same_numbers(compute):
    listed = lambda out: list(out) if isinstance(out, tuple) else [out]
    with Device():
        narrow = compute(Narrow)
    for there, other in zip(listed(narrow), listed(compute(lambda x: x)), strict=True):
        one = there.inner if isinstance(there, Narrow) else there
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
