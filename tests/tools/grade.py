"""Judge what learners filled into their exercise books; nothing of theirs is executed but the functions.

    python -m tests.tools.grade FOLDER   (make grade LAB=FOLDER)

FOLDER holds one learner's notebooks, or a folder of such notebooks for each learner.
Numbers and guesses are taken from the source where it says them (`check("03h", 1.55)`), else from what the
cell printed. Functions run with the package's tests, all of one learner's in one process.
"""
import argparse
import ast
import builtins
import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.tools import notebooks
from tests.tools.lab import definition
from tokenbridge.course import exercises, fits, is_starter, judge, judge_functions

MARKS = {"right": "+", "not yet": "x", "not done": ".", "not judged": "?", "guessed": "o"}
PRINTED = re.compile(r"^(\d\d[emh](?:-\d)?): .*?\(yours: (.*)\)", re.M)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.grade", description="Judge exercise books.")
    parser.add_argument("folder", type=Path, help="one learner's lab, or a folder of labs")
    folder = parser.parse_args(arguments).folder
    labs = labs_in(folder)
    if not labs:
        print(f"no lessons in {folder}: `make lab` writes them", file=sys.stderr)
        return 2
    found = {lab.name: grade(lab) for lab in labs}
    print(one_table(found[labs[0].name]) if labs == [folder] else table_of_all(found))
    return 0


def labs_in(folder: Path) -> list[Path]:
    "The folder itself if it holds lessons, else those of its folders that do."
    if any(folder.glob("[0-9][0-9]_*.ipynb")):
        return [folder]
    return sorted({path.parent for path in folder.glob("*/[0-9][0-9]_*.ipynb")})


def grade(lab: Path) -> dict[str, tuple[str, str]]:
    "By exercise: the verdict and a sentence."
    verdicts = dict.fromkeys(exercises(), ("not done", "not done yet"))
    texts: dict[str, str] = {}
    for path in sorted(lab.glob("[0-9][0-9]_*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            cell["source"] = notebooks.joined(cell["source"])
        cells = notebooks.code_cells(notebook)
        for exercise, call, value in filled_in(cells):
            if exercise in verdicts and value is not None:
                judged = judge_guess if call == "predict" else judge
                verdicts[exercise] = judged(exercise, value)
        for exercise, text in functions(cells, verdicts):
            if text is None:
                verdicts[exercise] = "not yet", "no function of this name can be read in its cell"
            else:
                texts[exercise] = text
    return verdicts | judged_together(texts)


def judged_together(texts: dict[str, str]) -> dict[str, tuple[str, str]]:
    "The verdicts of one process; of a process each if that one takes too long."
    found = judge_functions(texts, seconds=60 + 5 * len(texts))
    if len(texts) > 1 and any("endless loop" in said for _, said in found.values()):
        found = {exercise: judge_functions({exercise: text})[exercise] for exercise, text in texts.items()}
    return found


def judge_guess(exercise: str, guess) -> tuple[str, str]:
    "A guess cannot be wrong: it has been made, and may be close."
    references = [exercises()[exercise].get(key) for key in ("reference", "reference_drawn")]
    close = any(fits(exercise, guess, reference) for reference in references if reference is not None)
    return ("right" if close else "guessed"), f"guessed {guess}" + (", close enough" if close else "")


# ---- what a notebook holds

def filled_in(cells: list[dict]) -> Iterator[tuple[str, str, object]]:
    "Exercise, function and value of each `predict` and `check`, from the source or from what was printed."
    for cell in cells:
        printed = {exercise: value for output in cell["outputs"]
                   for exercise, value in PRINTED.findall(notebooks.joined(output.get("text", "")))}
        for call in calls(cell["source"]):
            exercise = call.args[0].value
            given = {keyword.arg: keyword.value for keyword in call.keywords}
            node = call.args[1] if len(call.args) > 1 else given.get("value") or given.get("guess")
            value = literal(node)
            if value is None and exercise in printed:
                value = read(printed[exercise])
            yield exercise, call.func.id, value


def calls(source: str) -> list[ast.Call]:
    "The calls of `predict` and `check` with a literal id."
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    named = [node for node in ast.walk(tree) if isinstance(node, ast.Call)
             and isinstance(node.func, ast.Name) and node.func.id in ("predict", "check") and node.args]
    return [node for node in named
            if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)]


def literal(node: ast.expr | None):
    "The value of a literal, or of arithmetic on numbers such as 2/3; None if it is neither."
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        allowed = (ast.BinOp, ast.UnaryOp, ast.Constant, ast.operator, ast.unaryop)
        parts = list(ast.walk(node))
        plain = all(isinstance(part, allowed) and not isinstance(part, ast.Pow) for part in parts)
        if not plain or any(isinstance(part, ast.Constant) and type(part.value) not in (int, float)
                            for part in parts):
            return None
        try:
            return eval(compile(ast.Expression(node), "<answer>", "eval"), {"__builtins__": {}})
        except (ArithmeticError, TypeError, ValueError):
            return None


def read(text: str):
    try:
        return json.loads(text)
    except ValueError:
        return None


def functions(cells: list[dict], known) -> Iterator[tuple[str, str | None]]:
    "Exercise and text of each function that was asked for, with what it uses from its notebook."
    for cell in cells:
        for exercise in set(notebooks.tags(cell)) & set(known):
            row = exercises()[exercise]
            try:
                path = row["function"].split(".", 2)[2]
                node = definition(cell["source"], path)
            except (SyntaxError, ValueError):
                yield exercise, None
                continue
            text = function_source(node, cell["source"])
            if is_starter(text, node.name):
                yield exercise, text
            else:
                yield exercise, "\n".join([*helpers(node, cells, row["function"]), text])


def function_source(node: ast.FunctionDef, source: str) -> str:
    "A function's text with its decorators, from the margin."
    first = min([node.lineno, *(part.lineno for part in node.decorator_list)])
    return "\n".join(line[node.col_offset:] for line in source.splitlines()[first - 1:node.end_lineno])


def helpers(node: ast.AST, cells: list[dict], function: str) -> list[str]:
    "Statements of the notebook that define what the function uses and the package's module does not know."
    known = {*dir(builtins), *vars(importlib.import_module(".".join(function.split(".")[:2])))}
    found = statements(cells)
    wanted, lines = [node], []
    while wanted:
        names = {part.id for part in ast.walk(wanted.pop()) if isinstance(part, ast.Name)}
        for name in sorted(names & set(found) - known):
            known.add(name)
            wanted.append(found[name])
            lines.append(ast.unparse(found[name]))
    return lines[::-1]


def statements(cells: list[dict]) -> dict[str, ast.stmt]:
    "The functions, imports and constants that the notebook's cells define, by name."
    found: dict[str, ast.stmt] = {}
    for cell in cells:
        try:
            body = ast.parse(cell["source"]).body
        except SyntaxError:
            continue
        for node in body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = node
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                found |= {(alias.asname or alias.name).split(".")[0]: node for alias in node.names}
            elif isinstance(node, ast.Assign) and literal(node.value) is not None:
                found |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
    return found


# ---- tables

def one_table(verdicts: dict[str, tuple[str, str]]) -> str:
    "A line for each exercise of one learner."
    rows = [f"{exercise:6} {exercises()[exercise].get('minutes', '?'):>3} min  {verdict:10}  {said[:90]}"
            for exercise, (verdict, said) in verdicts.items()]
    return "\n".join([*rows, "", in_all(verdicts)])


def in_all(verdicts: dict[str, tuple[str, str]]) -> str:
    "How many of each kind, in one line."
    words = []
    for letter, name in (("e", "guesses made"), ("m", "functions right"), ("h", "numbers right")):
        mine = [verdict for exercise, (verdict, _) in verdicts.items() if exercise[2] == letter]
        good = sum(verdict in (("right", "guessed") if letter == "e" else ("right",)) for verdict in mine)
        words.append(f"{good} of {len(mine)} {name}")
    return ", ".join(words)


def table_of_all(found: dict[str, dict[str, tuple[str, str]]]) -> str:
    "A line for each learner, a mark for each exercise, lesson by lesson."
    lessons = sorted({exercise[:2] for exercise in exercises()})
    wide = max(map(len, found))
    lines = [f"{'':{wide}}  " + " ".join(f"{lesson:4}" for lesson in lessons)]
    for name, verdicts in found.items():
        marks = {lesson: "".join(MARKS[verdict] for exercise, (verdict, _) in verdicts.items()
                                 if exercise[:2] == lesson) for lesson in lessons}
        lines.append(f"{name:{wide}}  " + " ".join(f"{marks[lesson]:4}" for lesson in lessons)
                     + f"  {in_all(verdicts)}")
    legend = "easy, medium, hard: + right or close, o guessed, x not yet, . not done, ? not judged"
    return "\n".join([*lines, "", legend])


if __name__ == "__main__":
    sys.exit(main())
