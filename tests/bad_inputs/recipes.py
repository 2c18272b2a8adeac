"Bad inputs of `recipes`, and the message each must give."
import tempfile
from pathlib import Path
from unittest import mock

import torch

from tests.tools.tiny import save_tiny, three_classes, tiny_config
from tokenbridge import recipes
from tokenbridge.model import preset
from tokenbridge.pipeline import TokenBridge
from tokenbridge.training import TrainConfig

FILE = Path(tempfile.mkdtemp()) / "file"
FILE.write_text("a file, not a folder")
TINY = TokenBridge.from_pretrained(save_tiny(FILE.with_name("tiny")))
DATA = three_classes(4)
SCHEDULE = TrainConfig(steps=1, batch_size=2)

def without_compiler():
    "Stops before the images are tokenized."
    with mock.patch.object(torch, "compile", side_effect=RuntimeError("no compiler")), mock.patch.object(recipes,
        "tokenize_set", None):
        recipes.train_generator(TINY, DATA, tiny_config(tokens=16), SCHEDULE, device="cpu", compiled=True)


ROWS = {
    "RECIPES": "internal: a table of recipes",
    "Recipe": [
        (lambda: recipes.Recipe(SCHEDULE, SCHEDULE, kl_weight=-1), ValueError,
         "kl_weight: expected a number of at least 0, got -1"),
        (lambda: recipes.Recipe(SCHEDULE, SCHEDULE, temperature=-1), ValueError,
         "temperature: expected a number of at least 0, got -1"),
        (lambda: recipes.Recipe(SCHEDULE, SCHEDULE, per_class=1), ValueError,
         "per_class: expected an integer of at least 2, got 1"),
    ],
    "train_vae": [
        (lambda: recipes.train_vae(DATA, preset("imagenet-b").vae, SCHEDULE), ValueError,
         "data: expected images of 256 x 256 pixels, got 32 x 32"),
        (lambda: recipes.train_vae(DATA, preset("cifar-tiny").vae, SCHEDULE, kl_weight=-1), ValueError,
         "kl_weight: expected a number"),
        (lambda: recipes.train_vae(DATA, preset("cifar-tiny").vae, SCHEDULE, device="gpu"), ValueError,
         "device: expected"),
    ],
    "encode": [(lambda: recipes.encode(recipes.VAE(preset("cifar-tiny").vae), torch.zeros(1, 3, 32, 32)),
                ValueError, "images: expected int values")],
    "fit_quantizer": [(lambda: recipes.fit_quantizer(recipes.VAE(preset("cifar-tiny").vae), DATA, 1), ValueError,
                       "num_levels")],
    "tokenize_images": "internal: `encode` and Quantizer.quantize, both checked",
    "tokenize_set": "internal: `tokenize_images` twice",
    "decode_indices": "internal: TokenBridge.detokenize, checked",
    "train_generator": [   # the rest is checked by ARModel, ARConfig and TrainConfig
        (lambda: recipes.train_generator(TINY, DATA, tiny_config(tokens=16, class_tokens=3), SCHEDULE,
                                      start=TINY.ar), ValueError,
         "start: backbone."),
        (lambda: recipes.train_generator(TINY, DATA, tiny_config(tokens=16), SCHEDULE, device="mps"), ValueError,
         "device: expected"),
        (lambda: recipes.train_generator(TINY, DATA, tiny_config(), SCHEDULE), ValueError,
         "config: expected tokens=16, as the tokenizer has it, got 6"),
        (lambda: recipes.train_generator(TINY, DATA, tiny_config(tokens=16, classes=2), SCHEDULE), ValueError,
         "data: expected at most the 2 classes of the generator, got 3"),
        (lambda: recipes.train_generator(TINY, DATA, tiny_config(tokens=16), SCHEDULE,
                                      indices=torch.zeros(4, 16, 5, dtype=torch.int64)), ValueError,
         "indices: expected shape (N 2 n d), N = 4, n = 16, d = 5, got shape (4, 16, 5) of int64"),
        (lambda: recipes.train_generator(TINY, DATA, tiny_config(tokens=16), SCHEDULE,
                                      indices=torch.full((4, 2, 16, 5), 7)), ValueError,
         "indices: expected integers in [0, 6], got 7"),
        (without_compiler, ValueError, "compiled: torch.compile does not work here: no compiler"),
    ],
    "balanced_labels": [(lambda: recipes.balanced_labels(0, 1), ValueError,
                         "classes: expected an integer of at least 1, got 0")],
    "measure": [(lambda: recipes.measure(None, None, None, recipes.RECIPES["fast"], seed=2 ** 63), ValueError,
                 "seed: expected an integer in [0, 9223372036854775807]")],
}
