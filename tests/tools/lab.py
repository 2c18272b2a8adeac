"""Write the lessons as exercise books: no outputs, no solutions, and empty functions where one is asked for.

    python -m tests.tools.lab [names] [--lab FOLDER]   (make lab)

A notebook that is already in the folder stays as it is: it holds somebody's work. Delete it to begin again.
"""
import argparse
import ast
import json
import re
import sys
from pathlib import Path

from tests.tools import notebooks
from tests.tools.lessons import chosen
from tokenbridge.course import exercises

CELL_ID = "attempt-{}"
LINK = re.compile(r"\]\((?!https?:|#|\.\./)([^)\s]+)\)")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.lab", description="Write exercise books.")
    parser.add_argument("names", nargs="*", help="lessons such as 03_quantizer; none: all of them")
    parser.add_argument("--lab", type=Path, default=notebooks.ROOT / "lab", help="the folder to write")
    options = parser.parse_intermixed_args(arguments)
    names = chosen(options.names) if options.names else lessons()
    options.lab.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = options.lab / f"{name}.ipynb"
        if path.exists():
            print(f"{path} is there and stays; delete it to begin again")
            continue
        book = exercise_book(notebooks.read(name), lessons())
        path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{path}")
    return 0


def lessons() -> list[str]:
    return [name for name in notebooks.names() if name[0].isdigit()]


def exercise_book(notebook: dict, beside: list[str]) -> dict:
    "A lesson as its reader gets it; `beside` are the notebooks that lie in the same folder."
    cells = []
    for cell in notebook["cells"]:
        if "solution" in notebooks.tags(cell) or notebooks.for_decks_only(cell):
            continue
        cell = json.loads(json.dumps(cell))
        for key in ("slide", "slideshow"):
            cell["metadata"].pop(key, None)
        if cell["cell_type"] == "markdown":
            cell["source"] = LINK.sub(lambda match: f"]({moved(match[1], beside)})", cell["source"])
            cells.append(cell)
            continue
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
        asked = exercise_of(cell)
        if asked:
            path = exercises()[asked]["function"].split(".", 2)[2]
            cell["source"] = starter(cell["source"], path)
        cells.append(cell)
        if asked:
            cells.append(attempt_cell(asked, path, cell["source"]))
    return notebook | {"cells": cells}


def moved(link: str, beside: list[str]) -> str:
    "Where a link leads to from the lab: what is not there is in nbs."
    name = link.split("#")[0]
    return link if name.removesuffix(".ipynb") in beside else f"../nbs/{link}"


def exercise_of(cell: dict) -> str | None:
    "The id of the exercise whose function this cell defines, or None."
    tags = notebooks.tags(cell)
    if cell["cell_type"] != "code" or "exercise" not in tags:
        return None
    found = [tag for tag in tags if re.fullmatch(r"\d\dm(-\d)?", tag)]
    if len(found) != 1 or found[0] not in exercises():
        sys.exit(f"a cell tagged 'exercise' needs the id of one in the table, too; its tags are {tags}")
    return found[0]


def definition(source: str, path: str) -> ast.FunctionDef:
    "The function that a path such as 'quantize' or 'Posterior.kl' names in a cell."
    body = ast.parse(source).body
    for name in path.split("."):
        nodes = [node for node in body
                 if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name]
        if not nodes:
            raise ValueError(f"the cell does not define {path}")
        node, body = nodes[-1], nodes[-1].body
    return node


def starter(source: str, path: str) -> str:
    "The cell with the body of its function replaced by `...`; signature, comments and docstring stay."
    node, lines = definition(source, path), source.splitlines()
    first, *rest = node.body
    has_text = notebooks.is_docstring(first)
    if has_text and not rest:
        return source
    begin = (rest[0] if has_text else first)
    kept = first.end_lineno if has_text else signature_end(lines, node)
    indent = " " * begin.col_offset if begin.lineno > node.lineno else " " * (node.col_offset + 4)
    head = lines[:kept]
    if not has_text and begin.lineno == kept:   # the body stands on the signature's line
        head[-1] = lines[kept - 1][:begin.col_offset].rstrip()
    return "\n".join([*head, f"{indent}...", *lines[node.end_lineno:]])


def signature_end(lines: list[str], node: ast.FunctionDef) -> int:
    "The number of the line on which a signature ends: comments between it and the body belong to the body."
    last = node.body[0].lineno - 1
    while last > node.lineno and (not lines[last - 1].strip() or lines[last - 1].strip().startswith("#")):
        last -= 1
    return node.body[0].lineno if last < node.lineno else last


def attempt_cell(exercise: str, path: str, source: str) -> dict:
    "The cell after an exercise: it chooses the function with which the lesson goes on."
    owner, _, name = path.rpartition(".")
    special = definition(source, path).decorator_list
    yours = f'vars({owner})["{name}"]' if owner and special else path
    text = f'from tokenbridge.course import attempt\n\n{path} = attempt("{exercise}", {yours})'
    return {"cell_type": "code", "execution_count": None, "id": CELL_ID.format(exercise), "metadata": {},
            "outputs": [], "source": text}


if __name__ == "__main__":
    sys.exit(main())
