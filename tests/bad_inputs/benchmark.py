"Bad inputs of `benchmark`, and the message each must give."
import torch

from tokenbridge import benchmark

CPU = torch.device("cpu")
PAIR = benchmark.Duel("sums", "", lambda: torch.ones(2), lambda: torch.zeros(2), 1.0)
SHAPES = benchmark.Duel("sums", "", lambda: torch.ones(2), lambda: torch.zeros(3), 1.0)
BROKEN = benchmark.Duel("sums", "", lambda: torch.full((2,), float("nan")), lambda: torch.ones(2), 1.0)
TIMED = "internal: times what the benchmark itself put together"
NAIVE = "internal: a naive version, called with what ours is called with"

ROWS = {
    "run": [
        (lambda: benchmark.run("cifar-giant"), ValueError, "preset: expected one of 'cifar-tiny'"),
        (lambda: benchmark.run(batch_size=0), ValueError,
         "batch_size: expected an integer of at least 1, got 0"),
        (lambda: benchmark.run(batch_size=2.5), ValueError, "batch_size: expected an integer"),
        (lambda: benchmark.run(rounds=0), ValueError, "rounds: expected an integer of at least 1, got 0"),
    ],
    "make_duels": [
        (lambda: benchmark.make_duels("cifar-giant", 1, CPU), ValueError,
         "preset: expected one of 'cifar-tiny'"),
        (lambda: benchmark.make_duels("cifar-tiny", 0, CPU), ValueError,
         "batch_size: expected an integer of at least 1, got 0"),
    ],
    "disagreement": [
        (lambda: benchmark.disagreement(torch.ones(2), torch.ones(3)), ValueError,
         "ours: expected shape (3)"),
        (lambda: benchmark.disagreement(None, torch.ones(3)), ValueError,
         "ours: expected a tensor of shape (3)"),
    ],
    "agree": [
        (lambda: benchmark.agree(PAIR), RuntimeError,
         "sums: expected a disagreement of at most 0.0001 with the naive version, got"),
        (lambda: benchmark.agree(BROKEN), RuntimeError, "got nan"),
        (lambda: benchmark.agree(SHAPES), ValueError, "ours: expected shape (3)"),
    ],
    "fresh_steps": "internal: the other process calls what make_duels calls",
    "kept_memory": "internal: calls fresh_steps",
    "Duel": "internal: made by make_duels",
    "table": "internal: prints what run returns",
    "seconds": TIMED, "run_rounds": TIMED, "product_work": TIMED, "copy_work": TIMED,
    "count_operations": "internal: watches any call", "peak_bytes": "internal: watches any call",
    "naive_quantize": NAIVE, "naive_sample": NAIVE, "naive_generate": NAIVE,
    "default_attention": "internal: takes nothing",
    "training_step": "internal: the model checks what it is given",
}
