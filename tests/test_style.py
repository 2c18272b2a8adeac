"What two checkers say of the code, and what the files around it promise."
import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.tools.notebooks import ROOT, code_lines

MODULES = sorted(path for path in (ROOT / "tokenbridge").glob("*.py") if not path.stem.startswith("_"))
LONGEST_FUNCTION, LONGEST_MODULE, MOST_IGNORES = 40, 650, 12


def checked(*command: str) -> str:
    "What a checker prints; empty if it finds nothing."
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    return "" if done.returncode == 0 else (done.stdout + done.stderr)[-3000:]


def test_ruff():
    command = ["ruff", "check", "--no-cache", "--output-format", "json", "tokenbridge", "tests"]
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    rows = [row for row in json.loads(done.stdout) if not (row["code"] == "E501" and written_by_nbdev(row))]
    found = [f"{Path(row['filename']).name}:{row['location']['row']}: {row['code']} {row['message']}"
             for row in rows]
    assert not found, found


def written_by_nbdev(row: dict) -> bool:
    "Whether a line belongs to a module's docstring, its note or `__all__`, which nbdev wraps by itself."
    if Path(row["filename"]).parent != ROOT / "tokenbridge":   # a test may hold such a text, too
        return False
    lines = Path(row["filename"]).read_text(encoding="utf-8").splitlines()
    first = next((number for number, line in enumerate(lines, 1) if re.match(r"# %% \.\./nbs/", line)), 0)
    return row["location"]["row"] < first


def test_mypy(tmp_path):
    assert not (found := checked("mypy", "--cache-dir", str(tmp_path), "tokenbridge")), found


def test_few_ignores_each_with_code_and_reason():
    lines = [f"{path.name}: {line.strip()}" for path in MODULES
             for line in path.read_text(encoding="utf-8").splitlines()
             if "type: ignore" in line or "noqa" in line]
    assert len(lines) <= MOST_IGNORES, lines
    bare = [line for line in lines if not re.search(r"type: ignore\[[\w-]+\]\s+# \w+", line)]
    assert not bare, f"an ignore without code or reason: {bare}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_functions_and_modules_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_MODULE, f"{len(text.splitlines())} lines"
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    sizes = {node.name: code_lines(ast.unparse(node)) for node in functions}
    assert not (long := {name: size for name, size in sizes.items() if size > LONGEST_FUNCTION}), long


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_module_says_in_its_second_sentence_what_is_inside(path):
    first, *rest = re.split(r"(?<=[.?!])\s+",
                            (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").strip())
    assert rest and rest[0].startswith("Contains "), f"{path.stem}: {first!r} {rest}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_each_parameter_of_a_public_function_has_a_comment(path):
    lines, missing = path.read_text(encoding="utf-8").splitlines(), []
    for node in ast.parse("\n".join(lines)).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and len(node.args.args) > 2:
            spots = [argument.end_lineno for argument in node.args.args + node.args.kwonlyargs]
            missing += [f"{node.name}: line {spot}" for spot in spots if "#" not in lines[spot - 1]]
    assert not missing, missing


@pytest.mark.parametrize("module",
                         # these do without PyTorch, which `documented` imports
                         [path.stem for path in MODULES if path.stem not in ("cli", "options", "shell")])
def test_help_shows_the_comments(module):
    names = vars(importlib.import_module(f"tokenbridge.{module}"))
    functions = [part for part in names.values() if inspect.isfunction(part)
                 and part.__module__ == f"tokenbridge.{module}"]
    public = [function for function in functions if not function.__name__.startswith("_")]
    commented = [function for function in public if inspect.signature(function).parameters]
    silent = [f.__name__ for f in commented
              if f"    {next(iter(inspect.signature(f).parameters))}: " not in (f.__doc__ or "")]
    assert len(silent) <= len(commented) // 4, silent


def test_workflow_runs_the_command_of_the_readme():
    workflow = ROOT / ".github" / "workflows" / "test.yml"
    steps = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]["test"]
    assert steps["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    commands = [step["run"] for step in steps["steps"] if "run" in step]
    assert commands == ["make test"] and "make test " in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "exec make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_project_files_name_what_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z]+)", text):
        assert f"\n{target}:" in make, target
    for path in re.findall(r"`((?:nbs|tests|tokenbridge)/[\w/.]+\.(?:py|ipynb|json))`", text):
        assert "MODULE" in path or "NN_" in path or (ROOT / path).is_file(), path
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["license"] == "MIT"
    assert f"version = {citation['version']}\n" in (ROOT / "settings.ini").read_text(encoding="utf-8")
    for card in ("data/README.md", "data/pretrained/cifar-tiny/README.md",
                 "data/pretrained/classifiers/README.md"):
        assert (ROOT / card).is_file(), card
