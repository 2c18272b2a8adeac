"""Packages of JavaScript that decks and the site need (reveal.js, MathJax), fetched once with npm.

They stay in _build/npm: everything after the first build works offline.
"""
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from tests.tools.notebooks import ROOT

CACHE = ROOT / "_build" / "npm"


class NoPackage(Exception):
    "A package is neither in the cache nor to be had; the message is one line."


def cached(package: str, version: str) -> Path | None:
    "The folder of a package if an earlier call fetched it, or None."
    folder = CACHE / f"{package.replace('/', '_')}-{version}"
    return folder if folder.is_dir() else None


def fetch(package: str, version: str) -> Path:
    "The folder of a package's files in exactly this version; `npm pack` fetches it if it is not there yet."
    if found := cached(package, version):
        return found
    npm = shutil.which("npm")
    if npm is None:
        raise NoPackage(f"{package} {version} is not in _build/npm, and npm, which would fetch it, is not "
                        "installed (https://nodejs.org, or apt-get install npm)")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".fetching-") as temporary:
        done = subprocess.run([npm, "pack", f"{package}@{version}", "--loglevel", "error"], cwd=temporary,
                              capture_output=True, text=True)
        packed = list(Path(temporary).glob("*.tgz"))
        if done.returncode or len(packed) != 1:
            lines = [line.split("error ")[-1] for line in done.stderr.splitlines() if " code " not in line]
            why = next(iter(lines), "no reason given")
            raise NoPackage(f"npm could not fetch {package} {version}: {why}")
        with tarfile.open(packed[0]) as archive:
            archive.extractall(temporary, filter="data")
        target = CACHE / f"{package.replace('/', '_')}-{version}"
        if not target.is_dir():  # another process may have been faster
            (Path(temporary) / "package").rename(target)
    return target
