"Bad inputs of `demo`, and the message each must give."
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch

from tests.tools.tiny import save_tiny, three_classes, tiny_config
from tokenbridge import demo
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
    with mock.patch.object(torch, "compile", side_effect=RuntimeError("no compiler")), mock.patch.object(demo,
        "tokenize_set", None):
        demo.train_generator(TINY, DATA, tiny_config(tokens=16), SCHEDULE, device="cpu", compiled=True)


ROWS = {
    "RECIPES": "internal: a table of recipes",
    "Recipe": [
        (lambda: demo.Recipe(SCHEDULE, SCHEDULE, kl_weight=-1), ValueError,
         "kl_weight: expected a number of at least 0, got -1"),
        (lambda: demo.Recipe(SCHEDULE, SCHEDULE, temperature=-1), ValueError,
         "temperature: expected a number of at least 0, got -1"),
        (lambda: demo.Recipe(SCHEDULE, SCHEDULE, per_class=1), ValueError,
         "per_class: expected an integer of at least 2, got 1"),
    ],
    "train_vae": [
        (lambda: demo.train_vae(DATA, preset("imagenet-b").vae, SCHEDULE), ValueError,
         "data: expected images of 256 x 256 pixels, got 32 x 32"),
        (lambda: demo.train_vae(DATA, preset("cifar-tiny").vae, SCHEDULE, kl_weight=-1), ValueError,
         "kl_weight: expected a number"),
        (lambda: demo.train_vae(DATA, preset("cifar-tiny").vae, SCHEDULE, device="gpu"), ValueError,
         "device: expected"),
    ],
    "encode": [(lambda: demo.encode(demo.VAE(preset("cifar-tiny").vae), torch.zeros(1, 3, 32, 32)),
                ValueError, "images: expected int values")],
    "fit_quantizer": [(lambda: demo.fit_quantizer(demo.VAE(preset("cifar-tiny").vae), DATA, 1), ValueError,
                       "num_levels")],
    "tokenize_images": "internal: `encode` and Quantizer.quantize, both checked",
    "tokenize_set": "internal: `tokenize_images` twice",
    "decode_indices": "internal: TokenBridge.detokenize, checked",
    "train_generator": [   # the rest is checked by ARModel, ARConfig and TrainConfig
        (lambda: demo.train_generator(TINY, DATA, tiny_config(tokens=16, class_tokens=3), SCHEDULE,
                                      start=TINY.ar), ValueError,
         "start: backbone."),
        (lambda: demo.train_generator(TINY, DATA, tiny_config(tokens=16), SCHEDULE, device="mps"), ValueError,
         "device: expected"),
        (lambda: demo.train_generator(TINY, DATA, tiny_config(), SCHEDULE), ValueError,
         "config: expected tokens=16, as the tokenizer has it, got 6"),
        (lambda: demo.train_generator(TINY, DATA, tiny_config(tokens=16, classes=2), SCHEDULE), ValueError,
         "data: expected at most the 2 classes of the generator, got 3"),
        (lambda: demo.train_generator(TINY, DATA, tiny_config(tokens=16), SCHEDULE,
                                      indices=torch.zeros(4, 16, 5, dtype=torch.int64)), ValueError,
         "indices: expected shape (N 2 n d), N = 4, n = 16, d = 5, got shape (4, 16, 5) of int64"),
        (lambda: demo.train_generator(TINY, DATA, tiny_config(tokens=16), SCHEDULE,
                                      indices=torch.full((4, 2, 16, 5), 7)), ValueError,
         "indices: expected integers in [0, 6], got 7"),
        (without_compiler, ValueError, "compiled: torch.compile does not work here: no compiler"),
    ],
    "balanced_labels": [(lambda: demo.balanced_labels(0, 1), ValueError,
                         "classes: expected an integer of at least 1, got 0")],
    "measure": [(lambda: demo.measure(None, None, None, demo.RECIPES["fast"], seed=2 ** 63), ValueError,
                 "seed: expected an integer in [0, 9223372036854775807]")],
    "write_pictures": "internal: called by run_demo",
    "compare": "internal: formats what `measure` gives",
    "shipped_metrics": "internal: has no arguments",
    "run_demo": [
        (lambda: demo.run_demo(FILE / "demo", fast=True), OSError, "file"),
        (lambda: demo.run_demo(FILE.parent / "demo", root=FILE.parent, fast=True), FileNotFoundError,
         "no data_batch_1.bin"),
    ],
    "picture_base64": "internal: images go through plots.tile_images, which checks them",
    "vae_experiment": "internal: train_vae checks the weights, load_images the folder",
    "optimizer_experiment": [
        (lambda: demo.optimizer_experiment(None, {}, SCHEDULE), ValueError,
         "schedule.eval_every: expected an integer of at least 1, got 0"),
        (lambda: demo.optimizer_experiment(None, {"a": {"lr": -1.0}}, SCHEDULE), ValueError,
         "lr: expected a number above 0.0, got -1.0"),
        (lambda: demo.optimizer_experiment(None, {}, replace(SCHEDULE, eval_every=1), "no-such"),
         FileNotFoundError, "no shipped weights 'no-such'")],
    "mask_experiment": [
        (lambda: demo.mask_experiment(None, {"a": (1.5, 0.5)}, SCHEDULE), ValueError,
         "mask_ratio_low: expected a number in [0, 1], got 1.5"),
        (lambda: demo.mask_experiment(None, {"a": (0.5, 0.0)}, SCHEDULE), ValueError,
         "mask_ratio_deviation: expected a number above 0, got 0.0"),
        (lambda: demo.mask_experiment(None, {}, SCHEDULE, shares=(0.0,)), ValueError,
         "shares: expected a number in (0, 1], got 0.0"),
        (lambda: demo.mask_experiment(None, {}, SCHEDULE, "no-such"), FileNotFoundError,
         "no shipped weights 'no-such'")],
    "sampling_experiment": [
        (lambda: demo.sampling_experiment(None, settings=((1, 1.0), (5, -1.0))), ValueError,
         "temperature: expected a number of at least 0"),
        (lambda: demo.sampling_experiment(None, seed=-1), ValueError, "seed: expected an integer in"),
        (lambda: demo.sampling_experiment(None, per_class=1), ValueError,
         "per_class: expected an integer of at least 2, got 1"),
        (lambda: demo.sampling_experiment(None, "no-such"), FileNotFoundError,
         "no shipped weights 'no-such'")],
    "collect_sweep": [(lambda: demo.collect_sweep(("no-such-record",)), OSError, "no-such-record")],
}
