"python -m tests.tools.full_size [FILE]: the training loop at the paper's sizes on a GPU, with random tokens: seconds and memory of a step."
import sys
import time

import torch

from tokenbridge.files import run_record, save_record, write_json
from tokenbridge.model import ARModel, count_parameters, preset
from tokenbridge.quantizer import gaussian_levels
from tokenbridge.training import TrainConfig, train

SIZES = (("imagenet-b", 64), ("imagenet-l", 32), ("imagenet-h", 16))   # images a step that fit into 140 GB


def measure(name: str, batch_size: int, steps: int = 12, skipped: int = 4) -> dict:
    "Train for a few steps; the first ones warm up and do not count."
    torch.manual_seed(0)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    shape, times = preset(name), []
    with torch.device("cuda"):
        model = ARModel(shape.ar, gaussian_levels(shape.num_levels).repeat(shape.ar.head.dims, 1))
    n, d = shape.ar.backbone.tokens, shape.ar.head.dims
    indices, labels = torch.randint(0, shape.num_levels, (256, n, d)), torch.randint(0,
        shape.ar.backbone.classes, (256,))

    def tick(step, scalars):
        torch.cuda.synchronize()
        times.append(time.time())

    config = TrainConfig(steps=steps, batch_size=batch_size, warmup=4, log_every=1, lr=4e-4)
    result = train(model, lambda module, batch, generator: module.loss(*batch, generator), lambda ids,
                   generator: (indices[ids], labels[ids]),
                   256, config, on_step=tick, progress=False, device="cuda")
    seconds = (times[-1] - times[skipped - 1]) / (steps - skipped)
    return dict(preset=name, parameters=count_parameters(model), batch_size=batch_size,
                seconds_per_step=seconds, images_per_second=batch_size / seconds,
                peak_gb=torch.cuda.max_memory_allocated() / 1e9,
                losses=[row["loss"] for row in result.history])


def main(arguments: list[str]) -> int:
    "Measure all sizes, print them, keep the record."
    if not torch.cuda.is_available():
        print("full_size: no CUDA device is here", file=sys.stderr)
        return 1
    started, rows = time.time(), []
    for name, batch_size in SIZES:
        try:
            rows.append(measure(name, batch_size))
        except torch.cuda.OutOfMemoryError:
            rows.append(dict(preset=name, batch_size=batch_size, error="more memory than this GPU has"))
        print({key: value for key, value in rows[-1].items() if key != "losses"}, flush=True)
    record = run_record("python -m tests.tools.full_size", 0, started, rows=rows)
    print("record:", write_json(arguments[0], record) if arguments else save_record("full-size", record))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
