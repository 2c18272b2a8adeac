"python -m tests.tools.step_profile [FILE]: where a training step of cifar-tiny spends its time on a CPU, in fp32 and in bf16 (memory kept)."
import sys
import time

import torch

from tokenbridge.benchmark import _model, _some_tokens, training_step
from tokenbridge.files import run_record, save_record, write_json
from tokenbridge.training import keep_freed_memory


def operations(step, most: int = 22) -> dict[str, float]:
    "Milliseconds that each of PyTorch's operations takes by itself, the longest first."
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        step()
    rows = sorted(profile.key_averages(), key=lambda row: -row.self_cpu_time_total)[:most]
    return {row.key: row.self_cpu_time_total / 1000 for row in rows}


def main(arguments: list[str]) -> int:
    "Profile both, print them, keep the record."
    started, cpu, found = time.time(), torch.device("cpu"), {}
    keep_freed_memory()
    model = _model("cifar-tiny", cpu)
    for precision in ("fp32", "bf16"):
        step = training_step(model, *_some_tokens(model, 64, cpu), precision)
        for _ in range(3):
            step()
        found[precision] = operations(step)
        print(precision, {name: round(ms, 1) for name, ms in found[precision].items()}, flush=True)
    record = run_record("python -m tests.tools.step_profile", 0, started, batch_size=64,
                        threads=torch.get_num_threads(), self_ms=found)
    print("record:", write_json(arguments[0], record) if arguments else save_record("step-profile", record))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
