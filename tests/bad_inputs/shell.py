"Bad inputs of what commands share, and the message each must give."
import tempfile
from pathlib import Path

from tests.tools.tiny import save_tiny
from tokenbridge import shell
from tokenbridge.options import Machine

A_FILE = Path(tempfile.mkdtemp(prefix="bad-inputs-")) / "file"
A_FILE.write_text("not a picture")
TOKENIZER = save_tiny(A_FILE.with_name("tokenizer"), generator=False)

ROWS = {
    "device_of_process": [
        (lambda: shell.device_of_process(Machine("mps:7")), ValueError,
         "device: this machine has no 'mps:7'"),
    ],
    "in_precision": [
        (lambda: shell.in_precision(Machine("gpu")), ValueError, "device: expected auto, cpu, cuda"),
    ],
    "share_of_process": "internal: reads what the launcher has set",
    "images_to_cache": "internal: see the row 'command cache-latents' in cli",
    "about_machine": "internal: see the row 'command info' in cli",
    "about_model": "internal: see the row 'command info' in cli",
    "read_judge": [
        (lambda: shell.read_judge(A_FILE.with_name("none")), FileNotFoundError, "judge: no such file: "),
    ],
    "convert_run": "internal: see the row 'command convert' in cli",
    "chosen": "internal: reads what was parsed",
    "preset_and_recipe": "internal: see the rows of train-vae and train in cli",
    "find_images": "internal: see the rows of the commands in cli",
    "part_of_a_name": "internal: takes any text",
    "different": "internal: takes any names",
    "typed_line": "internal: reads the command line of this process",
    "record_of": "internal: called with the command's own figures",
    "print_rows": "internal: called with the command's own figures",
    "one_line": "internal: takes any error",
    "open_model": [
        (lambda: shell.open_model("cifar-giant", Machine()), FileNotFoundError,
         "model: no shipped weights 'cifar-giant'"),
        (lambda: shell.open_model(str(A_FILE), Machine(), option="tokenizer"), FileNotFoundError,
         "tokenizer: "),
        (lambda: shell.open_model(str(TOKENIZER), Machine(), generator=True), ValueError,
         "is a tokenizer without a generator"),
    ],
    "writable_folder": [
        (lambda: shell.writable_folder(A_FILE / "below"), OSError, "out: cannot make the folder"),
    ],
    "writable_file": [
        (lambda: shell.writable_file(A_FILE.parent), OSError, "out: expected a file"),
        (lambda: shell.writable_file(A_FILE / "file"), OSError, "out: cannot make the folder"),
    ],
    "choose_device": [
        (lambda: shell.choose_device("gpu"), ValueError,
         "device: expected auto, cpu, cuda, cuda:1 or mps, got 'gpu'"),
        (lambda: shell.choose_device("cuda:99"), ValueError, "device: this machine has no 'cuda:99'"),
        (lambda: shell.choose_device("cpu:3"), ValueError, "device: this machine has no 'cpu:3'"),
        (lambda: shell.choose_device("xla"), ValueError, "device: this machine has no 'xla'"),
    ],
    "parse_labels": [
        (lambda: shell.parse_labels("horse,zebra", 3, ("cat", "dog", "horse")), ValueError,
         "labels: expected the name of a class, such as "),
        (lambda: shell.parse_labels("-3", 3, ("cat", "dog", "horse")), ValueError,
         "labels: expected numbers from 0 to 2 or names of classes, such as cat, dog, horse, got '-3'"),
        (lambda: shell.parse_labels("3", 3, ()), ValueError, "labels: expected numbers from 0 to 2, got '3'"),
        (lambda: shell.parse_labels("-1", 3, ()), ValueError, "got '-1'"),
        (lambda: shell.parse_labels("1.5", 3, ()), ValueError, "got '1.5'"),
        (lambda: shell.parse_labels("", 3, ()), ValueError, "got ''"),
        (lambda: shell.parse_labels("1,,2", 3, ()), ValueError, "got ''"),
    ],
}
