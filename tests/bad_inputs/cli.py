"Bad inputs of the command, and the message each must give (main turns it into one line and exit code 1)."
import shlex
import tempfile
from pathlib import Path

from PIL import Image

from tests.tools.tiny import save_tiny
from tokenbridge import cli

A_FILE = Path(tempfile.mkdtemp(prefix="bad-inputs-")) / "file"
A_FILE.write_text("not a picture")
EMPTY = A_FILE.with_name("empty")
EMPTY.mkdir()
FOREIGN = A_FILE.with_name("foreign")
FOREIGN.mkdir()
PICTURES = A_FILE.with_name("pictures")
for number in range(4):
    (PICTURES / "red").mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (200, number, 0)).save(PICTURES / "red" / f"{number}.png")
MODEL = save_tiny(A_FILE.with_name("model"))
TOKENIZER = save_tiny(A_FILE.with_name("tokenizer"), generator=False)
(FOREIGN / "config.json").write_text('{"format": 77}')


def call(line: str) -> None:
    cli.run(cli.parse(shlex.split(line)))


ROWS = {
    "COMMANDS": "internal: a table of commands",
    "run_demo_command": "internal: see the row 'command demo'",
    "run_train_vae": "internal: see the row 'command train-vae'",
    "run_train": "internal: see the row 'command train'",
    "run_train_judge": "internal: see the row 'command train-judge'",
    "run_generate": "internal: see the row 'command generate'",
    "run_reconstruct": "internal: see the row 'command reconstruct'",
    "run_evaluate": "internal: see the row 'command evaluate'",
    "run_benchmark": "internal: see the row 'command benchmark'",
    "run_info": "internal: see the row 'command info'",
    "run": "internal: called with what parse returns",
    "main": "internal: turns every error into an exit code, tests/test_cli.py has them",
    "command info": [
        (lambda: call(f"info {A_FILE}"), FileNotFoundError, "file is not a folder"),
        (lambda: call("info cifar-giant"), FileNotFoundError, "no shipped weights 'cifar-giant'"),
        (lambda: call(f"info {EMPTY}"), FileNotFoundError, "config.json"),
        (lambda: call(f"info {FOREIGN}"), ValueError, "expected format"),
        (lambda: call("info --device cuda:99"), ValueError, "device: this machine has no 'cuda:99'"),
    ],
    "command generate": [
        (lambda: call("generate --model cifar-giant"), FileNotFoundError, "no shipped weights 'cifar-giant'"),
        (lambda: call(f"generate --model {TOKENIZER}"), ValueError, "is a tokenizer without a generator"),
        (lambda: call(f"generate --model {MODEL} --labels zebra"), ValueError, "got 'zebra'"),
        (lambda: call(f"generate --model {MODEL} --labels 3"), ValueError,
         "labels: expected numbers from 0 to 2"),
        (lambda: call(f"generate --model {MODEL} --num 0"), ValueError,
         "num: expected an integer of at least 1, got 0"),
        (lambda: call(f"generate --model {MODEL} --num 1 --out {A_FILE}"), OSError,
         "out: cannot make the folder"),
        (lambda: call(f"generate --model {MODEL} --num 1 --out {A_FILE}/below"), OSError,
         "out: cannot make the folder"),
        (lambda: call(f"generate --model {MODEL} --num 1 --steps 17 --out {EMPTY}/a"), ValueError,
         "steps: expected an integer in [1, 16], got 17"),
        (lambda: call(f"generate --model {MODEL} --num 1 --temperature -1 --out {EMPTY}/a"), ValueError,
         "temperature"),
        (lambda: call(f"generate --model {MODEL} --num 1 --top-k 0 --out {EMPTY}/a"), ValueError, "top_k"),
        (lambda: call(f"generate --model {MODEL} --num 1 --top-p 1.5 --out {EMPTY}/a"), ValueError, "top_p"),
        (lambda: call(f"generate --model {MODEL} --num 1 --cfg-scale nan --out {EMPTY}/a"), ValueError,
         "cfg_scale"),
        (lambda: call(f"generate --model {MODEL} --num 1 --chunk-size 0 --out {EMPTY}/a"), ValueError,
         "chunk_size"),
        (lambda: call(f"generate --model {MODEL} --num 1 --seed=-1 --out {EMPTY}/a"), ValueError,
         "seed: expected an integer in [0, 9223372036854775807], got -1"),
    ],
    "command reconstruct": [
        (lambda: call(f"reconstruct --model {TOKENIZER} --images {EMPTY}/nothing.png"), FileNotFoundError,
         "images: no such file or folder"),
        (lambda: call(f"reconstruct --model {TOKENIZER} --images {EMPTY}"), FileNotFoundError,
         "images: no image files in"),
        (lambda: call(f"reconstruct --model {TOKENIZER} --images {A_FILE}"), (ValueError, OSError), "file"),
        (lambda: call(f"reconstruct --model {TOKENIZER} --num 0"), ValueError,
         "num: expected an integer of at least 1, got 0"),
        (lambda: call(f"reconstruct --model {TOKENIZER} --data {EMPTY}"), (ValueError, OSError), "empty"),
        (lambda: call(f"reconstruct --images {A_FILE} --model {FOREIGN}"), ValueError, "expected format"),
        (lambda: call(f"reconstruct --model {TOKENIZER} --data drawn --out sheet.png"), ValueError,
         "out: expected a folder, got the name of a file"),
        (lambda: call(f"reconstruct --model {TOKENIZER} --data drawn --out {A_FILE}"), OSError,
         "out: cannot make the folder"),
    ],
    "command train-vae": [
        (lambda: call(f"train-vae --out {EMPTY}/v --preset cifar-huge"), ValueError,
         "preset: expected one of 'cifar-tiny'"),
        (lambda: call(f"train-vae --out {EMPTY}/v --steps 0"), ValueError,
         "steps: expected an integer of at least 1, got 0"),
        (lambda: call(f"train-vae --out {EMPTY}/v --batch-size -3"), ValueError,
         "batch_size: expected an integer of at least 1, got -3"),
        (lambda: call(f"train-vae --out {A_FILE}"), OSError, "out: cannot make the folder"),
        (lambda: call(f"train-vae --out {EMPTY}/a --data {EMPTY}"), (ValueError, OSError), "empty"),
        (lambda: call(f"train-vae --out {EMPTY}/v --device cuda:99"), ValueError,
         "device: this machine has no 'cuda:99'"),
        (lambda: call(f"train-vae --out {EMPTY}/v --seed -1"), ValueError,
         "seed: expected an integer in [0, 9223372036854775807], got -1"),
        (lambda: call(f"train-vae --out {EMPTY}/v --num-levels 1"), ValueError,
         "num_levels: expected an integer of at least 2, got 1"),
        (lambda: call(f"train-vae --out {EMPTY}/v --num 0"), ValueError,
         "num: expected an integer of at least 2, got 0"),
        (lambda: call(f"train-vae --out {EMPTY}/v --kl-weight -1"), ValueError,
         "kl_weight: expected a number of at least 0, got -1"),
        (lambda: call(f"train-vae --out {EMPTY}/v --perceptual-weight nan"), ValueError,
         "perceptual_weight: expected a number of at least 0, got nan"),
        (lambda: call(f"train-vae --out {EMPTY}/v --preset imagenet-l --steps 1 --num 2"), ValueError,
         "preset: the recipe of imagenet-l trains no VAE"),
        (lambda: call(f"train-vae --out {EMPTY}/v --recipe cifar-huge"), ValueError,
         "recipe: expected one of 'cifar-tiny'"),
        (lambda: call(f"train-vae --out {EMPTY}/v --image-size 28"), ValueError,
         "image_size: expected a multiple of factor 8, got 28"),
        (lambda: call(f"train-vae --out {EMPTY}/v --factor 1"), ValueError,
         "factor: expected an integer of at least 2, got 1"),
        (lambda: call(f"train-vae --out {EMPTY}/v --dims 0"), ValueError,
         "latent_dims: expected an integer of at least 1, got 0"),
        (lambda: call(f"train-vae --out {EMPTY}/v --lr -1"), ValueError, "lr: expected a number above 0"),
        (lambda: call(f"train-vae --out {EMPTY}/v --steps 10 --warmup 11"), ValueError,
         "warmup: expected at most the 10 steps of this training, got 11"),
        (lambda: call(f"train-vae --out {EMPTY}/v --data {PICTURES}"), ValueError, "size"),
        (lambda: call(f"train-vae --out {EMPTY}/v --data nowhere"), FileNotFoundError, "nowhere"),
        (lambda: call(f"train-vae --out {EMPTY}/v --data drawn --num 20 --change lr"), ValueError, "change"),
    ],
    "command train": [
        (lambda: call("train --tokenizer cifar-giant"), FileNotFoundError,
         "no shipped weights 'cifar-giant'"),
        (lambda: call(f"train --out {EMPTY}/t --tokenizer {TOKENIZER} --preset cifar-huge"), ValueError,
         "preset: expected one of 'cifar-tiny'"),
        (lambda: call(f"train --out {EMPTY}/t --tokenizer {TOKENIZER} --steps 0"), ValueError,
         "steps: expected an integer of at least 1, got 0"),
        (lambda: call(f"train --out {EMPTY}/t --tokenizer {TOKENIZER} --cooldown 2"), ValueError,
         "cooldown: expected a number in [0.0, 1.0], got 2.0"),
        (lambda: call(f"train --out {EMPTY}/t --tokenizer {FOREIGN}"), ValueError, "expected format"),
        (lambda: call(f"train --out {EMPTY}/t --tokenizer {TOKENIZER} --finetune"), ValueError,
         "is a tokenizer without a generator"),
        (lambda: call(f"train --tokenizer {TOKENIZER} --out {A_FILE}"), OSError,
         "out: cannot make the folder"),
        (lambda: call(f"train --tokenizer {TOKENIZER} --out {EMPTY}/a --data {EMPTY}"), (ValueError, OSError),
         "empty"),
        (lambda: call(f"train --out {EMPTY}/t --tokenizer {TOKENIZER} --num 0"), ValueError,
         "num: expected an integer of at least 2, got 0"),
    ],
    "command train-judge": [
        (lambda: call(f"train-judge --out {A_FILE}/judge.safetensors"), OSError,
         "out: cannot make the folder"),
        (lambda: call(f"train-judge --out {EMPTY}"), OSError, "out: expected a file"),
        (lambda: call(f"train-judge --out {EMPTY}/j.safetensors --data {PICTURES}"), ValueError, "size"),
        (lambda: call(f"train-judge --out {EMPTY}/j.safetensors --num 1"), ValueError,
         "num: expected an integer of at least 2, got 1"),
        (lambda: call(f"train-judge --out {EMPTY}/j --data drawn --num 20 --steps 1"), ValueError,
         "steps: expected an integer of at least 2, got 1"),
        (lambda: call(f"train-judge --out {EMPTY}/j.safetensors --seed -1"), ValueError,
         "seed: expected an integer in [0, 9223372036854775807], got -1"),
    ],
    "command evaluate": [
        (lambda: call(f"evaluate --model {MODEL} --out {EMPTY}/m --judge {EMPTY}/none"), FileNotFoundError,
         "judge: no such file"),
        (lambda: call(f"evaluate --model {MODEL} --out {EMPTY}/m --judge {A_FILE}"), (ValueError, OSError),
         "file"),
        (lambda: call(f"evaluate --model {MODEL} --out {EMPTY}/m.json --samples 1"), ValueError,
         "samples: expected an integer of at least 2, got 1"),
        (lambda: call(f"evaluate --model {MODEL} --out {EMPTY}/m.json --seed -1"), ValueError,
         "seed: expected an integer in [0, 9223372036854775807], got -1"),
        (lambda: call(f"evaluate --model {MODEL} --out {EMPTY}/m.json --num 0"), ValueError,
         "num: expected an integer of at least 1, got 0"),
        (lambda: call(f"evaluate --model {FOREIGN} --out {EMPTY}/m.json"), ValueError, "expected format"),
        (lambda: call(f"evaluate --model {MODEL} --out {A_FILE}/below/m.json"), OSError,
         "out: cannot make the folder"),
        (lambda: call(f"evaluate --model {MODEL} --out {EMPTY}/m.json --data {EMPTY}"), (ValueError, OSError),
         "empty"),
    ],
    "command demo": [
        (lambda: call(f"demo --out {A_FILE}"), OSError, "out: cannot make the folder"),
        (lambda: call(f"demo --out {EMPTY}/a --data {EMPTY}"), (ValueError, OSError), "empty"),
        (lambda: call(f"demo --out {EMPTY}/a --seed -1"), ValueError,
         "seed: expected an integer in [0, 9223372036854775807], got -1"),
    ],
    "command benchmark": [
        (lambda: call("benchmark --preset cifar-huge"), ValueError, "preset: expected one of 'cifar-tiny'"),
        (lambda: call("benchmark --rounds 0"), ValueError,
         "rounds: expected an integer of at least 1, got 0"),
        (lambda: call("benchmark --device cuda:99"), ValueError, "device: this machine has no 'cuda:99'"),
        (lambda: call(f"benchmark --out {A_FILE}/b.json"), OSError, "out: cannot make the folder"),
    ],
}
