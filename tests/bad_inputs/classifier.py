"Bad inputs of `classifier`, and the message each must give."
import tempfile
from pathlib import Path

import torch

from tokenbridge import classifier as c
from tokenbridge.data import synthetic_images
from tokenbridge.files import save_tensors

FOLDER = Path(tempfile.mkdtemp())
DATA = synthetic_images(4)
save_tensors(FOLDER / "foreign.safetensors", {"x": torch.zeros(1)})

ROWS = {
    "CLASSIFIERS": "internal: a table of the two classes",
    "conv_bn": "internal: a row of layers inside FeatureNet",
    "Residual": "internal: a block inside FeatureNet",
    "conv_gelu": "internal: a row of layers inside JudgeNet",
    "triangle": "internal: the learning rate of train_classifier",
    "FeatureNet": [(lambda: c.FeatureNet()(torch.zeros(1, 1, 32, 32)), ValueError,
                    "images: expected shape (b 3 h w)")],
    "JudgeNet": [(lambda: c.JudgeNet()(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)), ValueError,
                  "images: expected float values")],
    "accuracy": "internal: takes an ImageSet, which has checked itself",
    "train_classifier": [
        (lambda: c.train_classifier(c.JudgeNet(), DATA, 0), ValueError,
         "epochs: expected a number above 0, got 0"),
        (lambda: c.train_classifier(c.JudgeNet(), DATA, 1, lr=-1), ValueError,
         "lr: expected a number above 0"),
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
        (lambda: c.read_classifier(FOLDER / "none.safetensors", "judge"), OSError, "none.safetensors"),
        (lambda: c.read_classifier(FOLDER / "none.safetensors", "eye"), ValueError,
         "name: expected one of 'features', 'judge', got 'eye'"),
    ],
    "load_classifier": [(lambda: c.load_classifier("eye"), ValueError,
                         "name: expected one of 'features', 'judge', got 'eye'")],
}
