"The site and what it is built from: packages of npm, pages, links."
import io
import tarfile

import pytest

from tests.tools import npm


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(npm, "CACHE", tmp_path / "npm")
    return tmp_path


def stand_in(folder, package: str | None):
    "A program that does what `npm pack` does: writes one packed file, or fails."
    if package:
        with tarfile.open(folder / "packed.tgz", "w:gz") as archive:
            entry = tarfile.TarInfo("package/es5/main.js")
            entry.size = len(package)
            archive.addfile(entry, io.BytesIO(package.encode()))
    program = folder / "npm-stand-in"
    program.write_text(f"#!/bin/sh\ncp {folder}/packed.tgz x-1.tgz 2>/dev/null || "
                       "{ echo 'npm error code E404' >&2; echo 'npm error No match found' >&2; exit 1; }\n")
    program.chmod(0o755)
    return str(program)


def test_npm_fetches_once(folder, monkeypatch):
    monkeypatch.setattr(npm.shutil, "which", lambda name: stand_in(folder, "hello"))
    found = npm.fetch("@a/x", "1")
    assert (found / "es5" / "main.js").read_text() == "hello" and npm.cached("@a/x", "1") == found
    assert [path.name for path in npm.CACHE.iterdir()] == ["@a_x-1"], "no left-overs"
    monkeypatch.setattr(npm.shutil, "which", lambda name: None)
    assert npm.fetch("@a/x", "1") == found, "the second call needs no npm"


@pytest.mark.parametrize("there, message", [(False, "npm, which would fetch it, is not installed"),
                                            (True, "npm could not fetch x 1: No match found")])
def test_npm_says_in_one_line_what_is_missing(folder, monkeypatch, there, message):
    monkeypatch.setattr(npm.shutil, "which", lambda name: stand_in(folder, None) if there else None)
    with pytest.raises(npm.NoPackage, match=message) as error:
        npm.fetch("x", "1")
    assert "\n" not in str(error.value) and not npm.cached("x", "1")
