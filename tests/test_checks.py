"The checks let good values through; what they refuse stands in bad_inputs/checks.py."
import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tokenbridge import checks as c


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_letters_stand_for_sizes(shape):
    letters = "abcd"[:len(shape)]
    assert c.check_tensor("x", torch.zeros(shape), " ".join(letters), "float") == dict(zip(letters, shape))
    assert c.check_tensor("x", torch.zeros(2, *shape), "... " + letters[-1]) == {letters[-1]: shape[-1]}


def test_good_values_pass():
    c.check_number("x", 0, 0, 1)
    c.check_int("x", 3, 0, 3)
    c.check_choice("x", "a", "ab")
    c.check_finite("x", torch.zeros(0))
    for three in (np.int64(3), np.uint8(3)):   # NumPy's numbers are numbers
        c.check_int("x", three, 0, 3)
        c.check_seed(three)
    for number in (np.float32(0.5), np.float64(0.5), np.int32(1), 10 ** 400):
        c.check_number("x", number, 0)
    c.check_indices("x", torch.tensor([0, 2]), 3)
    for images in (torch.tensor([-1.9, 1.9]), torch.zeros(0, 3, 8, 8), torch.zeros(2, 3, 8, 8).bfloat16()):
        c.check_images("x", images)


def test_a_look_at_images_steps_aside_while_compiling():
    def look(images):
        c.check_images("x", images)
        return images + 1
    compiled = torch.compile(look, backend="eager", fullgraph=True)
    assert compiled(torch.full((2,), 255.0)).tolist() == [256, 256]


def test_nested_configurations_come_back():
    @dataclasses.dataclass(frozen=True)
    class Inner:
        sizes: tuple[int, ...]
    Outer = dataclasses.make_dataclass("Outer", [("inner", Inner), ("name", str)], frozen=True)
    made = Outer(Inner((1, 2)), "x")
    assert c.config_from_dict(Outer, {"inner": {"sizes": [1, 2]}, "name": "x"}, "f") == made


@dataclasses.dataclass(frozen=True)
class Inner:
    sizes: tuple[int, ...]
    heads: int = 4


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner
    name: str = "plain"
    second: Inner = Inner((1,), heads=8)
    options: dict = dataclasses.field(default_factory=dict)
    maybe: Inner | None = None


@given(st.builds(Outer, st.builds(Inner, st.sampled_from([(1,), (2, 3)]), st.sampled_from([4, 8])),
                 st.sampled_from(["plain", "other"]),
                 st.builds(Inner, st.sampled_from([(1,), (2, 3)]), st.sampled_from([4, 8])),
                 st.sampled_from([{}, {"a": 1}])))
def test_what_differs_from_the_defaults_is_enough(config):
    kept = c.non_default(config)
    assert c.config_from_dict(Outer, json.loads(json.dumps(kept)), "f") == config
    assert ("name" in kept) == (config.name != "plain")
    assert ("heads" in kept["inner"]) == (config.inner.heads != 4)
    assert ("second" in kept) == (config.second != Inner((1,), heads=8))
    assert ("options" in kept) == bool(config.options)


def test_each_key_with_a_default_may_be_missing():
    config = Outer(Inner((2, 3)))
    values = dataclasses.asdict(config)
    for key in ("name", "second", "options"):
        assert c.config_from_dict(Outer, {k: v for k, v in values.items() if k != key}, "f") == config
    with pytest.raises(ValueError, match="expected the fields of Inner, got NoneType"):
        c.config_from_dict(Outer, values | {"inner": None}, "f")
    assert c.config_from_dict(Outer, values | {"maybe": None}, "f").maybe is None
    assert c.config_from_dict(Outer, values | {"maybe": {"sizes": [7]}}, "f").maybe == Inner((7,))
    for broken in ({k: v for k, v in values.items() if k != "inner"}, values | {"inner": {"heads": 4}}):
        with pytest.raises(ValueError, match="missing '(inner|sizes)'"):
            c.config_from_dict(Outer, broken, "f")


def test_refused_gives_the_message():
    message = c.refused(lambda: c.check_int("x", 0, 1), "at least 1")
    assert message == "x: expected an integer of at least 1, got 0"
    assert "division" in c.refused(lambda: 1 / 0)


def test_fast_follows_the_environment(monkeypatch):
    monkeypatch.setenv("TOKENBRIDGE_FAST", "1")
    assert c.fast(10, 1) == 1
    monkeypatch.delenv("TOKENBRIDGE_FAST")
    assert c.fast(10, 1) == 10


def test_importing_the_package_imports_no_torch():
    code = "import sys, tokenbridge; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# ---------------------------------------------------------------------- class names
def test_a_class_is_found_by_each_of_its_names():
    names = ("Cardigan, Cardigan Welsh corgi", "tench, Tinca tinca", "cardigan (jacket)", "a, b", "12", "Cat",
             "cat")
    for number, name in enumerate(names):
        assert c.find_class(name, names) == c.find_class(name, list(names)) == number
    for text, number in {"tinca tinca": 1, " TENCH ": 1, "cardigan welsh  corgi": 0, "CARDIGAN (jacket)": 2,
                         "a": 3, "B": 3, "12": 4}.items():
        assert c.find_class(text, names) == number
    for text, numbers in {"cardigan": "0 .*2", "CAT": "5 .*6"}.items():
        with pytest.raises(ValueError, match=numbers):
            c.find_class(text, names)
