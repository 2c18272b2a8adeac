"Bad inputs of `checks`, and the message each must give."
import dataclasses

import numpy as np
import torch

from tokenbridge import checks as c


@dataclasses.dataclass(frozen=True)
class Shape:
    width: int


BIRDS = ("crane (bird)", "otter, sea otter", "crane (machine)")

ROWS = {
    "documented": "internal: our own modules call it with their names",
    "refused": [
        (lambda: c.refused(lambda: 3, "two"), AssertionError,
         "went through with 3, expected an error with 'two'"),
        (lambda: c.refused(lambda: c.check_int("x", 0, 1), "of at least 2"), AssertionError,
         "expected an error with 'of at least 2', got 'x: expected an integer of at least 1, got 0'"),
    ],
    "check_tensor": [
        (lambda: c.check_tensor("x", [1.0], "b", "float"), ValueError,
         "x: expected a tensor of shape (b), got list"),
        (lambda: c.check_tensor("x", torch.zeros(2, 3), "b b"), ValueError,
         "x: expected shape (b b), got shape (2, 3)"),
        (lambda: c.check_tensor("x", torch.zeros(2, 3), "b 4"), ValueError, "x: expected shape (b 4)"),
        (lambda: c.check_tensor("x", torch.zeros(2), "b", "int"), ValueError, "x: expected int values"),
        (lambda: c.check_tensor("x", torch.zeros(2), "b", "bool"), ValueError, "x: expected bool values"),
        (lambda: c.check_tensor("x", torch.zeros(()), "... d"), ValueError, "x: expected shape (... d)"),
        (lambda: c.check_tensor("x", torch.zeros(2, 3), "b d", d=4), ValueError, "d = 4"),
    ],
    "in_64_bits": "internal: converts whatever numbers a tensor holds",
    "check_finite": [
        (lambda: c.check_finite("x", torch.tensor([float("nan"), 0.0])), ValueError,
         "x: expected finite values, got 1 NaN or infinite of 2"),
        (lambda: c.check_finite("x", torch.tensor([float("-inf")])), ValueError, "got 1"),
    ],
    "check_indices": [
        (lambda: c.check_indices("x", torch.tensor([0, 3]), 3), ValueError,
         "x: expected integers in [0, 2], got 3"),
        (lambda: c.check_indices("x", torch.tensor([-1, 0]), 3), ValueError, "got -1"),
    ],
    "check_images": [
        (lambda: c.check_images("x", torch.zeros(1, 3, 2, 2, dtype=torch.uint8)), ValueError,
         "x: expected floats in [-1, 1] (data.to_float makes them of bytes), got torch.uint8"),
        (lambda: c.check_images("x", [1.0]), ValueError, "of bytes), got list"),
        (lambda: c.check_images("x", torch.tensor([0.0, 255.0])), ValueError,
         "x: expected floats in [-1, 1] (data.to_float makes them of bytes), got 0 to 255"),
        (lambda: c.check_images("x", torch.tensor([-2.5, 0.0]).half()), ValueError, "got -2.5 to 0"),
    ],
    "check_number": [
        (lambda: c.check_number("x", "1"), ValueError, "x: expected a number that is finite, got '1'"),
        (lambda: c.check_number("x", float("nan"), 0, 1), ValueError,
         "x: expected a number in [0, 1], got nan"),
        (lambda: c.check_number("x", float("inf"), 0), ValueError, "got inf"),
        (lambda: c.check_number("x", 0, 0, open_low=True), ValueError, "x: expected a number above 0, got 0"),
        (lambda: c.check_number("x", True), ValueError, "got True"),
        (lambda: c.check_number("x", np.float32("nan"), 0), ValueError, "got np.float32(nan)"),
        (lambda: c.check_number("x", np.bool_(True)), ValueError, "got np.True_"),
    ],
    "check_int": [
        (lambda: c.check_int("x", 1.0, 0), ValueError, "x: expected an integer of at least 0, got 1.0"),
        (lambda: c.check_int("x", 5, 0, 4), ValueError, "x: expected an integer in [0, 4], got 5"),
        (lambda: c.check_int("x", True, 0), ValueError, "got True"),
        (lambda: c.check_int("x", np.int64(-1), 0), ValueError, "got np.int64(-1)"),
        (lambda: c.check_int("x", np.float64(1), 0), ValueError, "got np.float64(1.0)"),
    ],
    "check_seed": [
        (lambda: c.check_seed(-1), ValueError,
         "seed: expected an integer in [0, 9223372036854775807], got -1"),
        (lambda: c.check_seed(2 ** 63), ValueError, "got 9223372036854775808"),
        (lambda: c.check_seed(0.5), ValueError, "got 0.5"),
    ],
    "check_choice": [(lambda: c.check_choice("x", "c", ("a", "b")), ValueError,
                      "x: expected one of 'a', 'b', got 'c'")],
    "find_class": [
        (lambda: c.find_class("crane", BIRDS), ValueError,
         "'crane' names 2 classes, expected one of the numbers 0 (crane (bird)), 2 (crane (machine))"),
        (lambda: c.find_class("ottr", BIRDS), ValueError,
         "labels: expected the name of a class, such as otter"),
        (lambda: c.find_class("", BIRDS), ValueError, "such as crane (bird), otter, sea otter, crane"),
        (lambda: c.find_class("otter", None), ValueError, "labels: the model knows no names, got 'otter'"),
        (lambda: c.find_class(3, BIRDS), ValueError, "labels: expected a name, got 3"),
        (lambda: c.find_class("x" * 9999, BIRDS), ValueError, "labels: expected the name of a class"),
        (lambda: c.find_class("cat", ["cat" * 99 + str(i) for i in range(99)]), ValueError, "such as catcat"),
    ],
    "config_from_dict": [
        (lambda: c.config_from_dict(Shape, None, "f.json"), ValueError,
         "f.json: expected the fields of Shape, got NoneType"),
        (lambda: c.config_from_dict(Shape, {"depth": 1}, "f.json"), ValueError,
         "unknown 'depth', missing 'width'"),
        (lambda: c.config_from_dict(Shape, {"width": 1, "depth": 1}, "f.json"), ValueError,
         "f.json: Shape has unknown 'depth'"),
    ],
    "non_default": [
        (lambda: c.non_default({"width": 1}), ValueError,
         "config: expected an instance of a dataclass, got {'width': 1}"),
        (lambda: c.non_default(Shape), ValueError, "config: expected an instance of a dataclass"),
    ],
    "modes_restored": "internal: works for every module",
    "fast": "internal: returns one of its two arguments, whatever they are",
    "print_runtime": "internal: prints two numbers at the end of a lesson",
}
