"A place in which the package is installed as pip does it: the built wheel, what it requires, nothing else."
import configparser
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tests.tools.notebooks import ROOT

PARTS = ["settings.ini", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "tokenbridge",
         "data/pretrained"]
KERNEL = ["ipykernel", "matplotlib-inline"]   # whatever runs a notebook brings these


def runtime_requirements() -> list[str]:
    "The package's own requirements as settings.ini says them: 'torch>=2.9', ..."
    settings = configparser.ConfigParser(delimiters=["="])
    settings.read(ROOT / "settings.ini", encoding="utf-8")
    return settings["DEFAULT"]["requirements"].split()


def run(*command, **options) -> str:
    "What a command prints; an AssertionError that shows its end if it fails."
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    said = f"{command}: exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert done.returncode == 0, said
    return done.stdout


def build_wheel(folder: Path) -> Path:
    "Build the wheel of a copy of this checkout below `folder`; nothing is fetched or left in the checkout."
    for part in PARTS:
        source, target = ROOT / part, folder / "source" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist",
        folder / "source")
    wheel, = (folder / "dist").glob("tokenbridge-*.whl")
    return wheel


# ---- which installed packages belong to a requirement

def with_what_they_need(requirements: Iterable[str]) -> set[str]:
    "The names of the installed distributions that these requirements bring, as pip follows them."
    from packaging.requirements import Requirement
    found, open_ends = set(), [Requirement(word) for word in requirements]
    while open_ends:
        wanted = open_ends.pop()
        name = plain_name(wanted.name)
        if name in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        try:
            needs = metadata.distribution(name).requires or []
        except metadata.PackageNotFoundError:   # not needed on this machine, or part of an extra
            continue
        found.add(name)
        open_ends += map(Requirement, needs)
    return found


def plain_name(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def link_packages(names: Iterable[str], folder: Path) -> None:
    "Fill a folder with links to the modules and the metadata of installed distributions, a link each."
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        distribution = metadata.distribution(name)
        home = Path(str(distribution.locate_file("")))
        tops = {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}
        for top in tops:
            if not (folder / top).exists() and not top.endswith(".pth"):
                (folder / top).symlink_to(home / top)


# ---- the place

@dataclass(frozen=True)
class Place:
    "A virtual environment, and a folder with nbs/ and data/ to work in."
    home: Path

    @property
    def python(self) -> Path:
        return self.home / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def notebooks(self) -> Path:
        return self.home / "work" / "nbs"


def bare_environment(home: Path, linked: Iterable[str]) -> Place:
    "An environment without pip in which only these installed distributions can be imported."
    place = Place(home)
    venv.create(home / "venv", with_pip=False, symlinks=os.name != "nt")
    link_packages(linked, home / "links")
    site = run(place.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    # a .pth instead of links in site-packages: pip never removes what lies outside an environment
    (Path(site) / "links.pth").write_text(f"{home / 'links'}\n", encoding="utf-8")
    return place


def install_into(place: Place, *arguments) -> None:
    "Let this interpreter's pip install into the place."
    run(sys.executable, "-m", "pip", "--python", place.python, "install", "--disable-pip-version-check",
        "--no-warn-script-location", *arguments)


def copy_lessons(place: Place) -> None:
    "The notebooks and the data beside them, without downloads."
    ignored = shutil.ignore_patterns("cifar10", "pretrained", ".ipynb_checkpoints")
    for part in ("nbs", "data"):
        shutil.copytree(ROOT / part, place.home / "work" / part, ignore=ignored)


def installed_place(home: Path, wheel: Path) -> Place:
    "The wheel and what it requires, a kernel, and the lessons in a fresh folder. Nothing is fetched."
    place = bare_environment(home, with_what_they_need(runtime_requirements() + KERNEL))
    install_into(place, "--no-deps", "--no-index", wheel)
    copy_lessons(place)
    return place
