"Bad inputs of `experiments`, and the message each must give."
from dataclasses import replace
from pathlib import Path

from tokenbridge import experiments
from tokenbridge.training import TrainConfig

SCHEDULE = TrainConfig(steps=1, batch_size=2)

ROWS = {
    "picture_base64": "internal: images go through plots.tile_images, which checks them",
    "vae_experiment": "internal: train_vae checks the weights, load_images the folder",
    "optimizer_experiment": [
        (lambda: experiments.optimizer_experiment(None, {}, SCHEDULE), ValueError,
         "schedule.eval_every: expected an integer of at least 1, got 0"),
        (lambda: experiments.optimizer_experiment(None, {"a": {"lr": -1.0}}, SCHEDULE), ValueError,
         "lr: expected a number above 0.0, got -1.0"),
        (lambda: experiments.optimizer_experiment(None, {}, replace(SCHEDULE, eval_every=1), "no-such"),
         FileNotFoundError, "no shipped weights 'no-such'")],
    "mask_experiment": [
        (lambda: experiments.mask_experiment(None, {"a": (1.5, 0.5)}, SCHEDULE), ValueError,
         "mask_ratio_low: expected a number in [0, 1], got 1.5"),
        (lambda: experiments.mask_experiment(None, {"a": (0.5, 0.0)}, SCHEDULE), ValueError,
         "mask_ratio_deviation: expected a number above 0, got 0.0"),
        (lambda: experiments.mask_experiment(None, {}, SCHEDULE, shares=(0.0,)), ValueError,
         "shares: expected a number in (0, 1], got 0.0"),
        (lambda: experiments.mask_experiment(None, {}, SCHEDULE, "no-such"), FileNotFoundError,
         "no shipped weights 'no-such'")],
    "steps_experiment": [
        (lambda: experiments.steps_experiment(None, steps=(4, 17)), ValueError,
         "steps: expected an integer in [1, 16], got 17"),
        (lambda: experiments.steps_experiment(None, per_class=1), ValueError, "per_class: expected"),
        (lambda: experiments.steps_experiment(None, data="drawn-rich", test_images=10), ValueError,
         "data: expected images that a shipped judge knows"),
        (lambda: experiments.steps_experiment(None, "no-such"), FileNotFoundError, "no-such"),
    ],
    "sampling_experiment": [
        (lambda: experiments.sampling_experiment(None, settings=((1, 1.0), (5, -1.0))), ValueError,
         "temperature: expected a number of at least 0"),
        (lambda: experiments.sampling_experiment(None, seed=-1), ValueError, "seed: expected an integer in"),
        (lambda: experiments.sampling_experiment(None, per_class=1), ValueError,
         "per_class: expected an integer of at least 2, got 1"),
        (lambda: experiments.sampling_experiment(None, data="drawn-rich", test_images=10), ValueError,
         "data: expected images that a shipped judge knows, got drawn-rich"),
        (lambda: experiments.sampling_experiment(None, "no-such"), FileNotFoundError,
         "no shipped weights 'no-such'")],
    "collect_sweep": [(lambda: experiments.collect_sweep(("no-such-record",)), OSError, "no-such-record")],
    "record_benchmark": [
        (lambda: experiments.record_benchmark("cifar-giant"), ValueError,
         "preset: expected one of 'cifar-tiny'"),
        (lambda: experiments.record_benchmark(rounds=-1), ValueError,
         "rounds: expected an integer of at least 1, got -1"),
    ],
    "ship_classifier": [(lambda: experiments.ship_classifier("eye", Path('runs'), 1), ValueError,
                         "name: expected one of 'features', 'judge', 'witness', got 'eye'")],
    "ship_judge": [
        (lambda: experiments.ship_judge("runs", "no such"), ValueError, "name: expected letters"),
        (lambda: experiments.ship_judge("runs", "no-such"), FileNotFoundError,
         "data: expected one of cifar10, drawn, drawn-rich or a folder, got no-such"),
    ],
    "record_demo": [
        (lambda: experiments.record_demo("../x"), ValueError, "name: expected letters"),
        (lambda: experiments.record_demo("no-such"), FileNotFoundError,
         "data: expected one of cifar10, drawn"),
    ],
    "step_profile": [
        (lambda: experiments.step_profile("../x"), ValueError, "name: expected letters"),
        (lambda: experiments.step_profile(None, 0), ValueError,
         "batch_size: expected an integer of at least 1, got 0"),
    ],
    "Section": "internal: a row of SECTIONS",
    "SECTIONS": "internal: what each section of full size measures",
    "full_size_section": [
        (lambda: experiments.full_size_section("train-33"), ValueError,
         "section: expected one of 'train-32', 'train-32-compiled'"),
        (lambda: experiments.full_size_section("train-32", device="cpu", batch_size=-1), ValueError,
         "batch_size: expected an integer of at least 1, got -1"),
        (lambda: experiments.full_size_section("generate-64", device="cpu", steps=1), ValueError,
         "steps: expected an integer of at least 2, got 1"),
        (lambda: experiments.full_size_section("train-32", "cifar-giant", "cpu", kept=False), ValueError,
         "preset: expected one of 'cifar-tiny'"),
    ],
    "FULL_SIZES": "internal: presets and batch sizes",
    "SETTINGS": "internal: pairs of guidance and temperature",
    "MADE_BY": "internal: names of records and of what makes them",
    "shipped_figures": [
        (lambda: experiments.shipped_figures("no-such"), FileNotFoundError, "no shipped weights 'no-such'"),
        (lambda: experiments.shipped_figures(per_class=1), ValueError,
         "per_class: expected an integer of at least 2, got 1"),
        (lambda: experiments.shipped_figures(seed=-1), ValueError, "seed: expected an integer in"),
    ],
    "checkpoint_experiment": [
        (lambda: experiments.checkpoint_experiment("../x"), ValueError, "name: expected letters"),
        (lambda: experiments.checkpoint_experiment(None, "cifar-giant"), ValueError, "cifar-giant"),
    ],
    "full_size_experiment": [
        (lambda: experiments.full_size_experiment(None, device="gpu"), ValueError, "device: expected"),
        (lambda: experiments.full_size_experiment(None, steps=4, device="cpu"), ValueError,
         "steps: expected an integer of at least 5, got 4"),
        (lambda: experiments.full_size_experiment(None, (("cifar-giant", 1),), "cpu"), ValueError,
         "preset: expected one of 'cifar-tiny'"),
    ],
}
