"Bad inputs of `recipes`, and the message each must give."
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch

from tests.tools.tiny import save_tiny, three_classes, tiny_config
from tokenbridge import recipes
from tokenbridge.model import preset
from tokenbridge.optim import TrainConfig
from tokenbridge.pipeline import TokenBridge
from tokenbridge.vae import VAE

FOLDER = Path(tempfile.mkdtemp())
TINY = TokenBridge.from_pretrained(save_tiny(FOLDER / "tiny"))
DATA = three_classes(4)
TOKENS = TINY.tokenize_set(DATA)
SCHEDULE = TrainConfig(steps=1, batch_size=2)
SHAPE = tiny_config(tokens=16)


def without_compiler():
    "Stops before anything is trained."
    with mock.patch.object(torch, "compile", side_effect=RuntimeError("no compiler")):
        recipes.train_generator(TINY, TOKENS, SHAPE, SCHEDULE, device="cpu", compiled=True)


ROWS = {
    "RECIPES": "internal: a table of recipes",
    "Recipe": [
        (lambda: recipes.Recipe(SCHEDULE, SCHEDULE, kl_weight=-1), ValueError,
         "kl_weight: expected a number of at least 0, got -1"),
        (lambda: recipes.Recipe(SCHEDULE, SCHEDULE, temperature=-1), ValueError,
         "temperature: expected a number of at least 0, got -1"),
        (lambda: recipes.Recipe(SCHEDULE, SCHEDULE, per_class=1), ValueError,
         "per_class: expected an integer of at least 2, got 1"),
        (lambda: recipes.Recipe(SCHEDULE, SCHEDULE, mirror=None), ValueError, "mirror: expected one of True"),
        (lambda: recipes.Recipe(SCHEDULE, SCHEDULE, epochs=0), ValueError, "epochs: expected a number"),
        (lambda: recipes.Recipe(SCHEDULE, SCHEDULE, micro_batch=0), ValueError, "micro_batch: expected"),
        (lambda: recipes.Recipe(SCHEDULE, SCHEDULE, recompute="half"), ValueError, "recompute: expected one"),
    ],
    "recipe": [
        (lambda: recipes.recipe("cifar-giant"), ValueError, "recipe: expected one of 'cifar-tiny'"),
        (lambda: recipes.recipe(None), ValueError, "got None"),
    ],
    "train_vae": [
        (lambda: recipes.train_vae(DATA, preset("imagenet-b").vae, SCHEDULE), ValueError,
         "data: expected images of 256 x 256 pixels, got 32 x 32"),
        (lambda: recipes.train_vae(DATA, preset("cifar-tiny").vae, SCHEDULE, kl_weight=-1), ValueError,
         "kl_weight: expected a number"),
        (lambda: recipes.train_vae(DATA, preset("cifar-tiny").vae, SCHEDULE, mirror="no"), ValueError,
         "mirror: expected one of True, False, got 'no'"),
        (lambda: recipes.train_vae(DATA, preset("cifar-tiny").vae, SCHEDULE, start=TINY.vae,
                                   perceptual_weight=0), ValueError,
         "start: expected a VAE of the same configuration, got another one"),
        (lambda: recipes.train_vae(DATA, preset("cifar-tiny").vae, SCHEDULE, device="gpu"), ValueError,
         "device: expected"),
    ],
    "fit_quantizer": [
        (lambda: recipes.fit_quantizer(VAE(preset("cifar-tiny").vae), DATA, 1), ValueError, "num_levels"),
        (lambda: recipes.fit_quantizer(VAE(preset("cifar-tiny").vae), DATA, 4, 0), ValueError,
         "num: expected an integer of at least 1, got 0"),
        (lambda: recipes.fit_quantizer(VAE(preset("imagenet-b").vae), DATA, 4), ValueError,
         "images: expected shape"),
    ],
    "train_generator": [   # the rest is checked by ARModel, ARConfig and TrainConfig
        (lambda: recipes.train_generator(TINY, TOKENS, tiny_config(tokens=16, class_tokens=3), SCHEDULE,
                                         start=TINY.ar), ValueError, "start: backbone."),
        (lambda: recipes.train_generator(TINY, TOKENS, SHAPE, SCHEDULE, start=TINY.ar, other_tokens="yes"),
         ValueError, "other_tokens: expected one of True, False"),
        (lambda: recipes.train_generator(TINY, TOKENS, SHAPE, SCHEDULE, start=TINY.vae), ValueError,
         "start: expected a TokenBridge with a generator, or an ARModel, got VAE"),
        (lambda: recipes.train_generator(TINY, TOKENS, SHAPE, SCHEDULE, device="mps"), ValueError,
         "device: expected"),
        (lambda: recipes.train_generator(TINY, TOKENS, tiny_config(), SCHEDULE), ValueError,
         "config: expected tokens=16, as the tokenizer has it, got 6"),
        (lambda: recipes.train_generator(TINY, TOKENS, tiny_config(tokens=16, classes=2), SCHEDULE),
         ValueError, "tokens: expected at most the 2 classes of the generator, got 3"),
        (lambda: recipes.train_generator(TINY, replace(TOKENS, tokens=TOKENS.tokens[:, :, :9]), SHAPE,
                                         SCHEDULE), ValueError,
         "tokens: expected tokens=16, as the tokenizer has it, got 9"),
        (lambda: recipes.train_generator(TINY, replace(TOKENS, made_by={"vae": "x", "levels": "y"}), SHAPE,
                                         SCHEDULE), ValueError,
         "tokens: expected those of this tokenizer, whose vae is"),
        (lambda: recipes.train_generator(TINY, replace(TOKENS, made_by={}), SHAPE, SCHEDULE), ValueError,
         "got tokens made by an unknown one"),
        (lambda: recipes.train_generator(TINY, TOKENS, SHAPE, SCHEDULE, start=TINY.ar, order=range(5)),
         ValueError, "order: expected None, `start` has an order, got both"),
        (lambda: recipes.train_generator(TINY, TOKENS, SHAPE, SCHEDULE, order=[0]), ValueError,
         "order: expected a permutation of 0 to 4, got [0]"),
        (lambda: recipes.train_generator(TINY, TOKENS, SHAPE, SCHEDULE, recompute="half"), ValueError,
         "recompute: expected one of 'none', 'head', 'all', got 'half'"),
        (without_compiler, ValueError, "compiled: torch.compile does not work here: no compiler"),
    ],
    "known_order": "internal: looks whether a tokenizer has KL-16",
    "generator_config": [
        (lambda: recipes.generator_config(TINY, "red"), ValueError,
         "classes: expected their number or a list of names, got 'red'"),
        (lambda: recipes.generator_config(TINY, 0), ValueError,
         "classes: expected an integer of at least 1, got 0"),
        (lambda: recipes.generator_config(TINY, 3, "giant"), ValueError, "preset: expected one of"),
        (lambda: recipes.generator_config(TINY.vae, 3), ValueError,
         "tokenizer: expected a Tokenizer, got VAE"),
    ],
    "load_run": [
        (lambda: recipes.load_run(FOLDER), FileNotFoundError,
         "folder: expected a finished model or an unfinished run"),
    ],
    "balanced_labels": [(lambda: recipes.balanced_labels(0, 1), ValueError,
                         "classes: expected an integer of at least 1, got 0")],
    "measure": [
        (lambda: recipes.measure(TINY, DATA, TOKENS, seed=2 ** 63), ValueError,
         "seed: expected an integer in [0, 9223372036854775807]"),
        (lambda: recipes.measure(TINY, DATA, TOKENS, per_class=1), ValueError,
         "per_class: expected an integer of at least 2, got 1"),
        (lambda: recipes.measure(TINY, DATA, None), ValueError,
         "training: expected training tokens, to count histograms on, got None"),
    ],
}
