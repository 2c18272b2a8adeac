"""Execute the lessons in full.

    python -m tests.tools.lessons check [names]   execute, compare with the committed outputs, change nothing
                                                  (make lessons)
    python -m tests.tools.lessons run [names]     execute, write outputs and hashes into nbs (make run)
    python -m tests.tools.lessons hash [names]    record the committed sources as executed (after an execution
                                                  by other means)
    python -m tests.tools.lessons stale           name the cells whose outputs do not belong to their source

Committed outputs come from the real CIFAR-10 (environment variable TOKENBRIDGE_DATA). Where it is absent the
lessons run on drawn images, all their checks must hold, and nothing is compared. TOKENBRIDGE_FAST=1
shortens `check`.
The tolerances stand in tests/tools/compare.py.
"""
import argparse
import json
import os
import re
import sys
import time

from tests.tools import compare, notebooks, references

SOLUTIONS = "solutions"   # what they compute is the table of answers
RUNTIME_ROW = re.compile(r"^(\| \*\*Runtime\*\* \| )(.*) \|$", re.M)
TOTAL_BUDGET = 40 * 60  # seconds for all lessons together
FEW_COLOURS = 255 ** 2 / 10 ** 3.4   # mean squared error that 256 colours may cost: 34 dB


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.lessons",
                                     description="Execute the lessons in full.")
    parser.add_argument("action", choices=["check", "run", "hash", "stale"])
    parser.add_argument("names", nargs="*", help="notebooks such as 03_quantizer; none: all of them")
    parser.add_argument("--any-data", action="store_true",
                        help="run: write outputs made from drawn images, too")
    options = parser.parse_intermixed_args(arguments)
    names = chosen(options.names)
    if options.action == "hash":
        return record(names)
    if options.action == "stale":
        return show_stale(names)
    data = notebooks.real_images()
    print(f"images: {data}" if data else "images: drawn (no CIFAR-10 in TOKENBRIDGE_DATA)", flush=True)
    if options.action == "run" and data is None and not options.any_data:
        print("committed outputs come from the real images: set TOKENBRIDGE_DATA, or say --any-data",
              file=sys.stderr)
        return 2
    return work_through(names, data, write=options.action == "run")


def chosen(wanted: list[str]) -> list[str]:
    "The notebooks asked for: names, with or without suffix and folder; none means all."
    known = notebooks.names()
    short = [name.rsplit("/", 1)[-1].removesuffix(".ipynb") for name in wanted]
    for name in short:
        if name not in known:
            sys.exit(f"no notebook {name!r} in nbs; there are: {', '.join(known)}")
    return short or known


def work_through(names: list[str], data, write: bool) -> int:
    "Execute each lesson, write or compare, close with a summary; the exit code is 1 if anything is wrong."
    runtimes, failures, began = {}, {}, time.time()
    good = "written" if write else "as committed" if data else "checks hold"
    for name in names:
        start = time.time()
        problems, runtimes[name] = one_lesson(name, data, write)
        if problems:
            failures[name] = problems
        print(f"{time.time() - start:6.0f} s  {name:16} {f'{len(problems)} problems' if problems else good}",
              flush=True)
    summary(runtimes, time.time() - began, data, write)
    for name, problems in failures.items():
        print(f"\n{name}:", *problems, sep="\n  ")
    print(f"\n{len(names) - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


def one_lesson(name: str, data, write: bool) -> tuple[list[str], tuple[int, int] | None]:
    "What is wrong with a lesson after executing it, in words; and its runtime and budget, if it prints them."
    fast = os.environ.get("TOKENBRIDGE_FAST") == "1" and not write
    try:
        executed = notebooks.execute(name, fast=fast, data=data)
        if name == SOLUTIONS and write and data:
            executed = with_references(executed, data)
    except notebooks.LessonFailed as error:
        return [str(error)], None
    runtime = notebooks.runtime(executed)
    late = runtime is not None and runtime[0] > runtime[1]
    problems = [f"took {runtime[0]} s of a budget of {runtime[1]} s"] if late else []
    problems += references.wrong(executed) if name == SOLUTIONS else []
    if write:
        write_outputs(name, executed)
    elif data and not fast:
        problems += compare.differences(notebooks.read(name), executed)
    return problems, runtime


def with_references(executed: dict, data) -> dict:
    "Rewrite the table of answers from the solutions, with drawn images too; execute again if it has changed."
    drawn = notebooks.execute(SOLUTIONS, data=None)
    changed = references.write(references.updated(executed, drawn))
    return notebooks.execute(SOLUTIONS, data=data) if changed else executed


def write_outputs(name: str, executed: dict) -> None:
    "Put the new outputs into the committed notebook, clean it, and record its sources."
    path = notebooks.NBS / f"{name}.ipynb"
    committed = json.loads(path.read_text(encoding="utf-8"))
    state_runtime(committed, notebooks.runtime(executed))
    for old, new in zip(committed["cells"], executed["cells"], strict=True):
        if old["cell_type"] == "code":
            old["outputs"], old["execution_count"] = [as_written(output)
                                                      for output in settled(new["outputs"])], None
    path.write_text(json.dumps(committed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    notebooks.clean(path)
    record([name])


def state_runtime(notebook: dict, measured: tuple[int, int] | None) -> None:
    "Put the measured runtime into the table of the first cell, unless what stands there is about right."
    first = notebook["cells"][0]
    text = notebooks.joined(first["source"])
    if measured is None or not (row := RUNTIME_ROW.search(text)):
        return
    stated = re.match(r"about (\d+) (s|minutes), measured", row[2])
    seconds = int(stated[1]) * (60 if stated[2] == "minutes" else 1) if stated else 0
    if not measured[0] / 1.5 - 5 <= seconds <= measured[0] * 1.5 + 5 or not stated:
        took, budget = map(in_words, measured)
        said = row[1] + f"about {took}, measured on 2 CPU cores; budget {budget} |"
        first["source"] = text.replace(row[0], said).splitlines(keepends=True)


def in_words(seconds: int) -> str:
    "Seconds in steps of five, or minutes."
    return f"{max(5, 5 * round(seconds / 5))} s" if seconds < 180 else f"{round(seconds / 60)} minutes"


def settled(outputs: list[dict]) -> list[dict]:
    "Outputs as a terminal shows them in the end: a stream's pieces joined, a progress bar's last state."
    joined = []
    for output in outputs:
        output = dict(output)
        if output["output_type"] == "stream":
            output["text"] = notebooks.joined(output["text"])
            if joined and joined[-1].get("name") == output["name"]:
                joined[-1]["text"] += output["text"]
                continue
        joined.append(output)
    for output in joined:
        if output["output_type"] == "stream":
            lines = output["text"].split("\n")
            output["text"] = "\n".join(([part for part in line.split("\r") if part.strip()] or [""])[-1]
                                       for line in lines)
            output["text"] = output["text"].rstrip() + "\n" if output["name"] == "stderr" else output["text"]
    return joined


def as_written(output: dict) -> dict:
    "An output as a notebook's file holds it: text in lists of lines."
    output = dict(output)
    if "text" in output:
        output["text"] = output["text"].splitlines(keepends=True)
    if "data" in output:
        output["data"] = {kind: small_png(value) if kind == "image/png" else value.splitlines(keepends=True)
                          if isinstance(value, str) else value
                          for kind, value in output["data"].items()}
    if "execution_count" in output:
        output["execution_count"] = None
    return output


def small_png(encoded: str | list[str]) -> str:
    "A picture in fewer bytes: no opacity where everything is opaque, and 256 colours where they suffice."
    import base64
    import io

    import numpy as np
    from PIL import Image
    encoded = notebooks.joined(encoded)
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    if image.mode == "RGBA" and image.getextrema()[3] == (255, 255):
        image = image.convert("RGB")
    kept = image
    if image.mode == "RGB":   # the repository has to stay below 48 MiB
        few = image.quantize(256, dither=Image.Dither.NONE)
        error = np.square(np.asarray(image, dtype=float) - np.asarray(few.convert("RGB"))).mean()
        kept = few if error < FEW_COLOURS else image
    smaller = io.BytesIO()
    kept.save(smaller, "png", optimize=True, dpi=image.info.get("dpi"))
    again = base64.b64encode(smaller.getvalue()).decode()
    return again if len(again) < len(encoded) else encoded


def record(names: list[str]) -> int:
    known = notebooks.read_record()
    notebooks.write_record(known | {name: notebooks.record_entry(name) for name in names})
    return 0


def show_stale(names: list[str]) -> int:
    stale = {name: found for name in names if (found := notebooks.stale_cells(name))}
    for name, cells in stale.items():
        print(f"{name}:", *cells, sep="\n  ")
    return 1 if stale else 0


def summary(runtimes: dict, seconds: float, data, write: bool) -> None:
    "Runtime against budget, lesson by lesson and in all, and how the outputs were compared."
    print("\nlesson           runtime  budget")
    for name, found in runtimes.items():
        if found:
            print(f"{name:16} {found[0]:5} s {found[1]:5} s")
    print(f"{'together':16} {seconds:5.0f} s {TOTAL_BUDGET:5} s")
    if data and not write:
        print(f"outputs compared: words equal, numbers within {compare.RELATIVE:.0%}, "
              f"pictures within {compare.PICTURE:.0%}")
    elif not write:
        print("outputs not compared: the committed ones come from the real images")


if __name__ == "__main__":
    sys.exit(main())
