"""Packages of JavaScript that decks and the site need (reveal.js, MathJax), fetched once with npm.

They stay in _build/npm: everything after the first build works offline. Where npm cannot be had, the file of
`npm pack` can be put there by hand.
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


def place(package: str, version: str) -> Path:
    "Where the files of a package go."
    return CACHE / f"{package.replace('/', '_')}-{version}"


def cached(package: str, version: str) -> Path | None:
    "The folder of a package if an earlier call fetched it, or None."
    folder = place(package, version)
    return folder if folder.is_dir() else None


def fetch(package: str, version: str) -> Path:
    "The folder of a package's files in exactly this version; `npm pack` fetches it if it is not there yet."
    if found := cached(package, version):
        return found
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".fetching-") as temporary:
        path = packed(package, version, Path(temporary))
        try:
            with tarfile.open(path) as archive:
                archive.extractall(temporary, filter="data")
        except (tarfile.TarError, EOFError) as error:
            raise NoPackage(f"{path}: not the file of npm pack {package}@{version}: {error}") from None
        target = place(package, version)
        if not target.is_dir():  # another process may have been faster
            (Path(temporary) / "package").rename(target)
    return target


def by_hand(package: str, version: str) -> Path:
    "Where somebody may put the archive of a package; npm names it so."
    return CACHE / f"{package.removeprefix('@').replace('/', '-')}-{version}.tgz"


def packed(package: str, version: str, folder: Path) -> Path:
    "The archive of a package: one that somebody put into the cache, or what `npm pack` writes into a folder."
    if (path := by_hand(package, version)).is_file():
        return path
    npm = shutil.which("npm")
    if npm is None:
        raise NoPackage(f"{package} {version} is not in _build/npm, and npm, which would fetch it, is not "
                        "installed (https://nodejs.org, or apt-get install npm)")
    try:
        done = subprocess.run([npm, "pack", f"{package}@{version}", "--loglevel", "error"], cwd=folder,
                              capture_output=True, text=True, timeout=300)
        said, found = done.stderr, list(folder.glob("*.tgz")) if done.returncode == 0 else []
    except subprocess.TimeoutExpired:
        said, found = "no answer for 5 minutes", []
    if len(found) != 1:
        lines = [line.split("error ")[-1] for line in said.splitlines() if " code " not in line]
        raise NoPackage(f"npm could not fetch {package} {version}: {next(iter(lines), 'no reason given')}")
    return found[0]
