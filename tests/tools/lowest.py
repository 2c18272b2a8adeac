"""Are the lower bounds of settings.ini true?

    python -m tests.tools.lowest                     try them, and write data/results/lowest-versions.json
    python -m tests.tools.lowest tyro=0.9.15 ...     try other versions of some, and write nothing

Makes an environment of its own with every requirement at its lower bound (pip fetches them) and the built
wheel, runs the command (help, info, generate, reconstruct, a short demo) and executes lesson 00 shortened.
What the requirements need themselves is the newest that pip finds. PyTorch is at its lower bound where that
has a build for CPUs, else the one of this interpreter.
"""
import argparse
import json
import platform
import re
import sys
import tempfile
import time
from pathlib import Path

from tests.tools import installed, notebooks
from tests.tools.installed import Place, run

COMMANDS = {
    "help": ["--help"],
    "info": ["info"],
    "generate": ["generate", "--labels", "horse,8", "--num", "1", "--steps", "4", "--out", "images"],
    "reconstruct": ["reconstruct", "--num", "4", "--out", "reconstructed.png"],
    "demo": ["demo", "--out", "demo"],
}
VERSIONS = """
import json, platform, sys
from importlib.metadata import version
print(json.dumps({"python": platform.python_version()} | {name: version(name) for name in sys.argv[1:]}))
"""


def lower_bounds(requirements: list[str]) -> dict[str, str]:
    "The lowest version that each requirement allows: 'numpy>=1.26' gives numpy 1.26."
    found = {}
    for word in requirements:
        match = re.fullmatch(r"([\w.-]+)>=([\w.]+)", word)
        if match is None:
            raise ValueError(f"settings.ini: expected NAME>=VERSION, got {word!r}")
        found[match[1]] = match[2]
    return found


def is_linked(name: str) -> bool:
    "Whether a requirement is taken from this interpreter: PyTorch where its builds are for GPUs only."
    return name == "torch" and sys.platform == "linux" and platform.machine() == "x86_64"


def environment_at(home: Path, bounds: dict[str, str]) -> Place:
    "The built wheel with these versions of its requirements, a kernel, and the lessons."
    linked = [name for name in bounds if is_linked(name)]
    own = installed.with_what_they_need(linked) - (bounds.keys() - set(linked))
    place = installed.bare_environment(home, own)
    pins = [f"{name}=={version}" for name, version in bounds.items() if name not in linked]
    wheel = installed.build_wheel(home)
    installed.install_into(place, "--quiet", wheel, *pins, *installed.KERNEL)
    installed.copy_lessons(place)
    return place


def tried(place: Place) -> dict[str, float]:
    "Run everything; the seconds of each. An error says what failed."
    seconds, env = {}, notebooks.environment(fast=True, data=None, alone=True)
    for name, words in COMMANDS.items():
        started = time.time()
        run(place.python.parent / "tokenbridge", *words, cwd=place.home / "work", env=env)
        seconds[f"tokenbridge {name}"] = round(time.time() - started, 1)
        print(f"{name:12} {seconds[f'tokenbridge {name}']:6.1f} s", flush=True)
    started = time.time()
    notebooks.execute("00_tour", fast=True, folder=place.notebooks, python=place.python)
    seconds["lesson 00"] = round(time.time() - started, 1)
    print(f"{'lesson 00':12} {seconds['lesson 00']:6.1f} s", flush=True)
    return seconds


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.lowest",
                                     description="Try the lower bounds of settings.ini.")
    parser.add_argument("others", nargs="*", metavar="name=version",
                        help="other versions; no record is written")
    chosen = dict(word.split("=", 1) for word in parser.parse_args(arguments).others)
    bounds = lower_bounds(installed.runtime_requirements())
    if unknown := chosen.keys() - bounds.keys():
        parser.error(f"{min(unknown)!r} is no requirement, there are: {', '.join(bounds)}")
    started = time.time()
    with tempfile.TemporaryDirectory() as temporary:
        place = environment_at(Path(temporary), bounds | chosen)
        versions = json.loads(run(place.python, "-c", VERSIONS, *bounds))
        print(", ".join(f"{name} {version}" for name, version in versions.items()), flush=True)
        seconds = tried(place)
    if not chosen:
        from tokenbridge.files import run_record, save_record
        linked = [name for name in bounds if is_linked(name)]
        results = dict(bounds=bounds, not_at_its_bound=linked, ran=seconds)
        record = run_record("python -m tests.tools.lowest", 0, started, **results)
        print(save_record("lowest-versions", record | {"versions": versions}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
