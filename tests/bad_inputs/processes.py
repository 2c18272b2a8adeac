"Bad inputs of `processes`, and the message each must give."
from unittest import mock

import torch

from tokenbridge import processes as t


def no_gpu():
    with mock.patch.object(torch.cuda, "is_available", return_value=False):
        t.training_device("cuda")


def one_gpu(device):
    with mock.patch.multiple(torch.cuda, is_available=lambda: True, device_count=lambda: 1):
        t.training_device(device)


ROWS = {
    "processes_started": "internal: reads what the launcher has set",
    "process_rank": "internal: reads what the launcher has set",
    "is_main_process": "internal: reads what the launcher has set",
    "one_after_the_other": "internal: takes a device as training_device does, and without a launcher nothing",
    "GPU_PEAKS": "internal: a dictionary, `gpu_peak` reads it",
    "gpu_peak": "internal: an unknown name has no peak",
    "peak_memory": "internal: takes the device of a training that runs",
    "Stop": "internal: two numbers, filled by the loop",
    "signals_wait": "internal: takes what start_processes made",
    "start_processes": [
        (lambda: t.start_processes("tpu"), ValueError, "device: expected one of 'cpu', 'cuda', got 'tpu'"),
        (lambda: t.start_processes("cpu", 0), ValueError,
         "accumulation: expected an integer of at least 1, got 0"),
    ],
    "training_device": [
        (lambda: t.training_device("tpu"), ValueError, "device: expected one of 'cpu', 'cuda', got 'tpu'"),
        (no_gpu, ValueError, "device: expected 'cpu', got 'cuda', which is not available here"),
        (lambda: one_gpu("cuda:1"), ValueError,
         "device: expected one of 1 GPUs, counted from 0, got 'cuda:1'"),
        (lambda: one_gpu("cuda:x"), ValueError,
         "device: expected one such as 'cpu' or 'cuda:1', got 'cuda:x'"),
    ],
}
