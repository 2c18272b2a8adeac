"""Small trainings, and a program that kills them: `python -m tests.training_runs killed FOLDER TASK...`.

test_training.py runs it. Killing means SIGKILL to a forked child: at random steps, and at chosen places
inside the writing of a checkpoint.
"""
import errno
import json
import os
import random
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from tokenbridge import checkpoints
from tokenbridge.files import save_tensors
from tokenbridge.optim import Muon, TrainConfig
from tokenbridge.processes import one_after_the_other
from tokenbridge.training import train

CONFIG = TrainConfig(36, batch_size=8, accumulation=2, warmup=5, log_every=5, save_every=8, eval_every=15,
                     precision="fp32", seed=3)


class TinyBlock(nn.Module):
    "A transformer block with dropout."

    def __init__(self, width: int):
        super().__init__()
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(0.2)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        queries, keys, values = self.qkv(self.norm(x)).chunk(3, -1)
        return x + self.dropout(self.proj((queries @ keys.mT * 0.2).softmax(-1) @ values))

    def muon_pieces(self) -> dict[str, int]:
        return {"qkv.weight": 3}


class TinyTokens(nn.Module):
    "Tokens in, logits out."

    def __init__(self, width: int = 12, levels: int = 7):
        super().__init__()
        self.embed, self.out = nn.Embedding(levels, width), nn.Linear(width, levels)
        self.position = nn.Parameter(torch.zeros(5, width))
        self.blocks = nn.ModuleList([TinyBlock(width) for _ in range(2)])

    def forward(self, indices):
        x = self.embed(indices) + self.position
        for block in self.blocks:
            x = block(x)
        return self.out(x)


class TinyImages(nn.Module):
    "Images in, images out; batch norm has buffers that change in training."

    def __init__(self):
        super().__init__()
        self.enter, self.norm, self.leave = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Conv2d(6, 3,
            3, padding=1)
        self.dropout = nn.Dropout2d(0.2)

    def forward(self, images):
        return self.leave(self.dropout(F.relu(self.norm(self.enter(images)))))


class Tied(nn.Module):
    "Two layers that share their weights, and a part to be put into eval mode."

    def __init__(self):
        super().__init__()
        self.first, self.second, self.quiet = nn.Linear(3, 3), nn.Linear(3, 3), nn.Dropout(0.5)
        self.second.weight = self.first.weight


def _numbers(*shape) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(11))


def tokens_task(config: TrainConfig = CONFIG) -> dict:
    "Hide random tokens, predict all: uses the generator in batch and loss, and dropout."
    data = _numbers(30, 5).mul(1.5).add(3).clamp(0, 6).long()

    def loss_fn(module, batch, generator):
        (indices,) = batch
        hidden = torch.rand(indices.shape, generator=generator) < 0.5
        logits = module(indices.masked_fill(hidden, 0))
        return F.cross_entropy(logits.flatten(0, 1), indices.flatten()), {"hidden": hidden.float().mean()}

    def make_batch(ids, generator):
        flip = torch.rand((), generator=generator) < 0.5
        return (data[ids].flip(1) if flip else data[ids],)

    return dict(module=TinyTokens(), loss_fn=loss_fn, make_batch=make_batch, num_samples=len(data),
                config=replace(config, optimizer="muon"))


def images_task(config: TrainConfig = CONFIG) -> dict:
    "Remove noise: uses the generator in the loss, channels_last, buffers."
    data = _numbers(30, 3, 6, 6)

    def loss_fn(module, batch, generator):
        (images,) = batch
        noise = torch.randn(images.shape, generator=generator)
        return F.mse_loss(module(images + noise), images)

    return dict(module=TinyImages(), loss_fn=loss_fn, make_batch=lambda ids, generator: (data[ids],),
                num_samples=len(data),
                config=replace(config, channels_last=True))


def generator_task(config: TrainConfig = CONFIG) -> dict:
    "The real generator, with every dropout it has."
    from tokenbridge.backbone import BackboneConfig
    from tokenbridge.head import HeadConfig
    from tokenbridge.model import ARConfig, ARModel
    backbone = BackboneConfig(tokens=6, dims=5, classes=3, width=24, encoder_blocks=1, decoder_blocks=1,
                              heads=3, class_tokens=2,
                              dropout=0.1, attention_dropout=0.1, label_dropout=0.3)
    head = HeadConfig(dims=5, num_levels=7, context_width=24, width=16, blocks=2, heads=2, dropout=0.1)
    levels = torch.linspace(-2, 2, 7).repeat(5, 1)
    indices, labels = _numbers(30, 6, 5).mul(1.5).add(3).clamp(0, 6).long(), torch.arange(30) % 3

    def loss_fn(module, batch, generator):
        return module.loss(*batch, generator=generator)

    module = ARModel(ARConfig(backbone, head), levels)
    return dict(module=module, loss_fn=loss_fn, make_batch=lambda ids, generator: (indices[ids], labels[ids]),
                num_samples=30,
                config=replace(config, optimizer="muon"))


def vae_task(config: TrainConfig = CONFIG) -> dict:
    "The real VAE, started at PCA, with noise in its latents."
    from tokenbridge.vae import VAE, VAEConfig, start_at_pca_, vae_loss
    images = _numbers(30, 3, 8, 8).tanh()
    module = start_at_pca_(VAE(VAEConfig(image_size=8, latent_dims=5, factor=4, width=8, multipliers=(1, 2))),
                           images)

    def loss_fn(module, batch, generator):
        return vae_loss(module, *batch, generator=generator)

    return dict(module=module, loss_fn=loss_fn, make_batch=lambda ids, generator: (images[ids],),
                num_samples=30,
                config=replace(config, channels_last=True))


def latents_task(config: TrainConfig = CONFIG) -> dict:
    "The real generator, on samples of posteriors that are drawn and quantized where it is trained."
    from tokenbridge.latents import LatentSet
    from tokenbridge.recipes import _batch_and_loss
    mean = _numbers(30, 2, 6, 5).half()
    data = LatentSet(((mean, torch.full_like(mean, 0.5)),), torch.arange(30) % 3, ("a", "b", "c"), "none", {},
                     True)
    make_batch, loss_fn = _batch_and_loss(data, True)
    return generator_task(config) | dict(loss_fn=loss_fn, make_batch=make_batch)


TASKS = {"tokens": tokens_task, "images": images_task, "generator": generator_task, "vae": vae_task,
         "latents": latents_task}


def make(task: str, config: TrainConfig = CONFIG) -> dict:
    "A fresh, seeded training of this name, as arguments of `train`."
    torch.set_num_threads(1)
    torch.manual_seed(5)
    return TASKS[task](config) | dict(evaluate=size_of_weights, progress=False, device="cpu")


def size_of_weights(module, step) -> dict:
    "An evaluation that depends on all averaged weights."
    return {"size": sum(float(p.detach().double().abs().sum()) for p in module.parameters())}


def same(a: dict, b: dict) -> bool:
    "Whether two dictionaries hold equal tensors under equal names."
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def in_fork(work) -> tuple[int, int]:
    "Run work(write end of a pipe) in a forked child; return its process id and the read end."
    read_end, write_end = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            work(write_end)
            os._exit(0)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
    os.close(write_end)
    return process, read_end


def killed_at_step(task: str, folder: str, step: int, delay: float) -> int:
    "Resume a training, kill it `delay` seconds after it has done so many steps; return how it ended."
    def work(pipe):
        train(**make(task), folder=folder, resume=True, on_step=lambda *_: os.write(pipe, b"."))
    process, pipe = in_fork(work)
    for _ in range(step):
        if not os.read(pipe, 1):
            break
    time.sleep(delay)
    os.kill(process, signal.SIGKILL)
    os.close(pipe)
    return os.waitpid(process, 0)[1]


def killed_in_checkpoint(task: str, folder: str, place: str) -> int:
    "Resume a training that kills itself inside its next checkpoint; return how it ended."
    def die(*args):
        os.kill(os.getpid(), signal.SIGKILL)

    def work(pipe):
        if place == "half a file":
            def torn(path, tensors):
                Path(path).write_bytes(b"\0" * 100)
                if path.name == "optimizer.safetensors":
                    die()
            checkpoints.save_tensors = torn
        elif place == "before the rename":
            os.rename = die
        else:
            rename = os.rename
            os.rename = lambda *paths: (rename(*paths), die())
        train(**make(task), folder=folder, resume=True)
    process, pipe = in_fork(work)
    os.close(pipe)
    return os.waitpid(process, 0)[1]


def killed(root: str, *tasks: str) -> None:
    "Kill trainings again and again, then let them come to their ends; print how each part ended."
    import torch._dynamo  # noqa: F401  the slow import once, before the forks
    print(json.dumps({task: killed_and_finished(task, str(Path(root) / task)) for task in tasks}))


def killed_and_finished(task: str, folder: str) -> list:
    "(exit status, content of the folder of checkpoints) of seven parts of one training."
    chance, ends = random.Random(os.urandom(8)), []
    plan = [lambda: killed_in_checkpoint(task, folder, "half a file")]
    plan += [lambda: killed_at_step(task, folder, chance.randint(1, 11), chance.random() * 0.02)
             for _ in range(3)]
    plan += [lambda place=place: killed_in_checkpoint(task, folder, place)
             for place in ("before the rename", "after the rename")]
    for part in plan:
        ends.append((part(), [path.name for path in sorted(Path(folder).glob("checkpoints/*"))]))
    process, pipe = in_fork(lambda _: train(**make(task), folder=folder, resume=True))
    os.close(pipe)
    return ends + [(os.waitpid(process, 0)[1], [])]


def pressed_at_step(folder: str, step: int) -> str:
    "Resume a training in a child, press Ctrl-C once it has done so many steps; how it ended."
    def work(pipe):
        train(**make("images"), folder=folder, resume=True,
              on_step=lambda *_: (os.write(pipe, b"."), time.sleep(0.01))[1])
    process, pipe = in_fork(work)
    for _ in range(step):
        os.read(pipe, 1)
    os.kill(process, signal.SIGINT)
    os.close(pipe)
    return how_it_ended(process)


def how_it_ended(process: int) -> str:
    "Wait for a child that `in_fork` has begun."
    return {0: "done", 1: "KeyboardInterrupt"}[os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])]


def pressed(root: str) -> None:
    "Stop trainings by real signals, go on, and print how each part ended and what it left."
    import torch._dynamo  # noqa: F401  the slow import once, before the forks
    signal.signal(signal.SIGINT, signal.default_int_handler)   # a parent in the background has it ignored
    ends = {}
    once, twice = str(Path(root) / "once"), str(Path(root) / "twice")
    contents = lambda folder: [path.name for path in sorted(Path(folder).glob("checkpoints/*"))]
    ends["once"] = [(pressed_at_step(once, 3), contents(once)), (pressed_at_step(once, 9), contents(once)),
                    (finished(once), contents(once))]
    ends["twice"] = [(pressed_while_saving(twice), contents(twice)), (finished(twice), contents(twice))]
    print(json.dumps(ends))


def pressed_while_saving(folder: str) -> str:
    "A training whose tenth step is interrupted, and once more, a second later, within the checkpoint."
    def work(pipe):
        save, press = checkpoints.save_tensors, lambda: os.kill(os.getpid(), signal.SIGINT)

        def slow(path, tensors):
            save(path, tensors)
            if "writing-000010" in str(path):
                press()           # counts as the first one, half a second ago
                time.sleep(1.0)
                press()
        checkpoints.save_tensors = slow
        train(**make("images"), folder=folder, on_step=lambda step, _: press() if step == 10 else None)
    process, pipe = in_fork(work)
    os.close(pipe)
    return how_it_ended(process)


def finished(folder: str) -> str:
    "The training comes to its end in a child."
    process, pipe = in_fork(lambda _: train(**make("images"), folder=folder, resume=True))
    os.close(pipe)
    return how_it_ended(process)


def pressed_together(folder: str) -> None:
    "One of two processes: stopped by the other's `on_step`, then by signals to one; how, and at which steps."
    signal.signal(signal.SIGINT, signal.default_int_handler)
    task, ends = lambda: make("tokens", replace(CONFIG, accumulation=1)), []
    rank, newest = int(os.environ["RANK"]), lambda: checkpoints.newest_checkpoint(folder).name[-6:]
    ends.append([train(**task(), folder=folder, on_step=lambda step, _: step == 4 + 2 * rank).steps,
                 int(newest())])

    def press(step, _):
        if (step, rank) == (9, 1):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
    try:
        train(**task(), folder=folder, resume=True, on_step=press)
    except KeyboardInterrupt as stopped:
        ends.append([int(str(stopped).split()[3]), int(newest())])
    try:
        train(**task(), folder=folder, resume=True, on_step=lambda step, _: step == 20 and rank == 1
              and os.kill(os.getpid(), signal.SIGTERM))
    except SystemExit as stopped:
        ends.append([stopped.code, int(newest())])
    ends.append(train(**task(), folder=folder, resume=True).steps)
    (Path(folder).parent / f"{rank}.json").write_text(json.dumps(ends))
    sys.stdout.flush()
    os._exit(0)


def killed_together(task: str, folder: str) -> None:
    """One of two processes, which torchrun starts again whenever one of them is killed.

    Two kills come at random moments, the third within the writing of process 1's share. Then the disk is
    full, for that process only; at last the training comes to its end.
    """
    rank, attempt = int(os.environ["RANK"]), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    chance = random.Random(attempt)
    moment, delay, save = chance.randint(2, 9), chance.random() * 0.05, checkpoints.save_tensors
    arguments = make(task, replace(CONFIG, accumulation=1, keep_every=18)) | dict(folder=folder, resume=True)
    names = [path.name for path in sorted(Path(folder).glob("*/.writing*"))]
    said = {}

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def later(step, _):
        if rank == attempt % 2 and later.step is None:
            later.step = step
        if later.step is not None and step == later.step + moment:
            threading.Timer(delay, die).start()

    def torn(path, tensors):
        save(path, tensors)
        with open(path, "r+b") as file:
            file.truncate(100)
        die()

    def full(path, tensors):
        raise OSError(errno.ENOSPC, "No space left on device")

    later.step = None
    if attempt == 2 and rank == 1:
        checkpoints.save_tensors = torn
    if attempt < 3:
        train(**arguments, on_step=later if attempt < 2 else None)
    if rank == 1:
        checkpoints.save_tensors = full
    try:
        train(**arguments)
    except OSError as error:
        said = {"left": names, "errno": error.errno, "said": str(error)}
    checkpoints.save_tensors = save
    train(**make(task, arguments["config"]) | dict(folder=folder, resume=True))
    four = train(**make(task, replace(CONFIG, steps=4)))
    if rank == 0:
        save_tensors(Path(folder).parent / "four.safetensors", four.ema)
    (Path(folder).parent / f"{rank}.json").write_text(json.dumps(said))
    sys.stdout.flush()
    os._exit(0)


def distributed(task: str, folder: str) -> None:
    "One of several processes, started by torchrun; judged by its files alone (gloo may abort at exit)."
    train(**make(task, replace(CONFIG, accumulation=1)), folder=folder)
    sys.stdout.flush()
    os._exit(0)


def apart(folder: str) -> None:
    "One of two processes, each with the other's gradient turned round; keeps where its own Muon goes."
    torch.distributed.init_process_group("gloo")
    rank, matrix = torch.distributed.get_rank(), nn.Parameter(torch.zeros(4, 6))
    matrix.grad = _numbers(4, 6) * (1 - 2 * rank)
    Muon([matrix], lr=1.0).step()
    save_tensors(Path(folder) / f"{rank}.safetensors", {"moved": matrix.detach()})
    sys.stdout.flush()
    os._exit(0)


def queue(folder: str) -> None:
    "One of two processes: when it came in and when it left."
    rank = int(os.environ["RANK"])
    with one_after_the_other("cpu"):
        entered = time.time()
        time.sleep(0.3 if rank == 0 else 0)
        left = time.time()
    (Path(folder) / f"{rank}.json").write_text(json.dumps({"entered": entered, "left": left}))
    sys.stdout.flush()
    os._exit(0)


def program(text: str) -> None:
    "Run a program in a fresh process that knows this package."
    exec(text, {"__name__": "__main__"})


if __name__ == "__main__":
    {"killed": killed, "killed_together": killed_together, "distributed": distributed, "apart": apart,
     "queue": queue, "pressed": pressed,
     "pressed_together": pressed_together, "program": program}[sys.argv[1]](*sys.argv[2:])
