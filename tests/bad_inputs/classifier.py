"Bad inputs of `classifier`, and the message each must give."
import tempfile
from pathlib import Path

import torch

from tests.tools.tiny import three_classes
from tokenbridge import classifier as c
from tokenbridge.data import drawn_rich_images
from tokenbridge.files import save_tensors

FOLDER = Path(tempfile.mkdtemp())
DATA, OTHER = drawn_rich_images(4), c.JudgeNet(["a", "b"])
save_tensors(FOLDER / "foreign.safetensors", {"x": torch.zeros(1)})
save_tensors(FOLDER / "odd.safetensors", {"x": torch.zeros(1)}, {"classes": "{"})

ROWS = {
    "CLASSIFIERS": "internal: a table of the classes",
    "AnyClassifier": "internal: a type",
    "Strided": "internal: a block inside WitnessNet",
    "WitnessNet": [(lambda: c.WitnessNet()(torch.zeros(1, 1, 32, 32)), ValueError,
                    "images: expected shape (b 3 h w)")],
    "conv_bn": "internal: a row of layers inside FeatureNet",
    "Residual": "internal: a block inside FeatureNet",
    "conv_gelu": "internal: a row of layers inside JudgeNet",
    "triangle": "internal: the learning rate of train_classifier",
    "FeatureNet": [(lambda: c.FeatureNet()(torch.zeros(1, 1, 32, 32)), ValueError,
                    "images: expected shape (b 3 h w)")],
    "JudgeNet": [(lambda: c.JudgeNet()(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)), ValueError,
                  "images: expected float values")],
    "Classifier": [(lambda: c.JudgeNet([]), ValueError,
                    "classes: expected an integer of at least 1, got 0")],
    "accuracy": [(lambda: c.accuracy(OTHER, DATA), ValueError,
                  "net: expected a classifier of the images' classes, 10 (disc, ring, square, ...), got")],
    "check_classes": [(lambda: c.check_classes("judge", OTHER, ("red", "blue")), ValueError,
                       "judge: expected a classifier of the images' classes, 2 (red, blue), got one of 2")],
    "train_classifier": [
        (lambda: c.train_classifier(c.JudgeNet(), DATA, 0), ValueError,
         "epochs: expected a number above 0, got 0"),
        (lambda: c.train_classifier(c.JudgeNet(), DATA, 1, lr=-1), ValueError,
         "lr: expected a number above 0"),
        (lambda: c.train_classifier(OTHER, DATA, 1), ValueError, "net: expected a classifier of the images"),
        (lambda: c.train_classifier(c.JudgeNet(), DATA, 1, mirror=2), ValueError, "mirror: expected one of"),
        (lambda: c.train_classifier(c.JudgeNet(), DATA, 1, batch_size=1), ValueError,
         "batch_size: expected an integer of at least 2"),
        (lambda: c.train_classifier(c.JudgeNet(), DATA, 1, batch_size=len(DATA)), ValueError,
         "epochs: expected enough for two steps of"),
    ],
    "store_classifier": [(lambda: c.store_classifier(c.JudgeNet(), FOLDER / "foreign.safetensors" / "x"),
                          OSError, "foreign.safetensors")],
    "read_classifier": [
        (lambda: c.read_classifier(FOLDER / "foreign.safetensors", "judge"), ValueError,
         "foreign.safetensors"),
        (lambda: c.read_classifier(FOLDER / "none.safetensors"), OSError, "none.safetensors"),
        (lambda: c.read_classifier(FOLDER / "odd.safetensors"), ValueError, "its header cannot be read"),
        (lambda: c.read_classifier(FOLDER / "none.safetensors", "eye"), ValueError,
         "name: expected one of 'features', 'judge', 'witness', got 'eye'"),
    ],
    "describe_classifier": [
        (lambda: c.describe_classifier(FOLDER / "foreign.safetensors", ["a"], "", 32), ValueError,
         "classes: expected 0 names"),
        (lambda: c.describe_classifier(FOLDER / "none.safetensors", ["a"], "", 32), OSError,
         "none.safetensors"),
    ],
    "find_judge": "internal: answers None for whatever it does not know",
    "train_judge": [
        (lambda: c.train_judge(DATA, steps=1), ValueError, "steps: expected an integer of at least 2, got 1"),
        (lambda: c.train_judge(DATA, three_classes(4)), ValueError,
         "test: expected images of the classes of the training images"),
        (lambda: c.train_judge(DATA, lr=0), ValueError, "lr: expected a number above 0"),
    ],
    "load_classifier": [(lambda: c.load_classifier("eye"), ValueError,
                         "name: expected one of 'features', 'judge', 'witness', got 'eye'")],
}
