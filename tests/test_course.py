"The exercises: their table, their solutions, and what reads a learner's work."
import ast
import json
import re

import pytest
import torch
from torch import exp

from tests.tools import grade, lab, notebooks
from tokenbridge import course

IDS = [f"{lesson:02}{kind}" for lesson in range(13) for kind in "emh"]
TABLE = course.exercises()
FUNCTIONS = {exercise: row for exercise, row in TABLE.items() if row["kind"] == "medium"}
LIMIT = 10   # seconds that a checker may take


def cells_of(lesson: str) -> list[dict]:
    "The code cells of a lesson; 08 has two notebooks."
    names = [name for name in notebooks.names() if name.startswith(f"{lesson}_")]
    return [cell for name in names for cell in notebooks.code_cells(notebooks.read(name))]


def starter_of(exercise: str) -> str:
    "The cell of the lesson's exercise book in which a function is to be written."
    cell, = [cell for cell in cells_of(exercise[:2]) if exercise in notebooks.tags(cell)]
    return lab.starter(cell["source"], FUNCTIONS[exercise]["function"].split(".", 2)[2])


def solved(exercise: str) -> str:
    "The function that the solutions hand in for an exercise, with what it uses from its notebook."
    cells = notebooks.code_cells(notebooks.read("solutions"))
    last, = [number for number, cell in enumerate(cells) if f'check("{exercise}"' in cell["source"]]
    name = re.search(rf'check\("{exercise}", ([\w.]+)\)', cells[last]["source"])[1].split(".")[-1]
    nodes = [(node, cell) for cell in cells[:last + 1] for node in ast.walk(ast.parse(cell["source"]))
             if isinstance(node, ast.FunctionDef) and node.name == name]
    node, cell = nodes[-1]
    text = grade.function_source(node, cell["source"])
    return "\n".join([*grade.helpers(node, cells[:last + 1], FUNCTIONS[exercise]["function"]), text])


# ---- the table

def test_every_lesson_has_three():
    assert not (missing := [exercise for exercise in IDS if exercise not in TABLE]), missing


@pytest.mark.parametrize("exercise", TABLE)
def test_a_row_says_what_is_asked_and_how_it_is_judged(exercise):
    row = TABLE[exercise]
    assert row["kind"] == {"e": "easy", "m": "medium", "h": "hard"}[exercise[2]]
    assert 1 <= row["minutes"] <= 60 and row["asks"]
    if row["kind"] != "medium":
        assert course.fits(exercise, row["reference"], row["reference"])
        assert row["depends"] in ("nothing", "weights", "images")
        return
    course._resolve(row["function"])
    for test in row["tests"]:
        path, name = test.split("[")[0].split("::")
        assert f"def {name}(" in (notebooks.ROOT / path).read_text(encoding="utf-8"), test


@pytest.mark.parametrize("exercise", TABLE)
def test_its_lesson_asks_it(exercise):
    cells = cells_of(exercise[:2])
    source = "\n".join(cell["source"] for cell in cells)
    if exercise in FUNCTIONS:
        tagged = [cell for cell in cells if exercise in notebooks.tags(cell)]
        assert len(tagged) == 1 and "exercise" in notebooks.tags(tagged[0]), "one cell with both tags"
        return
    wanted = [f'predict("{exercise}", guess=None)', f'answer("{exercise}", ']
    found = all(call in source for call in wanted) or f'check("{exercise}"' in source
    assert found, "neither predict and answer nor check"


def test_no_lesson_asks_what_the_table_does_not_know():
    asked = [exercise for lesson in range(13) for part in cells_of(f"{lesson:02}")
             for exercise in re.findall(r'(?:predict|answer|check)\("([^"]+)"', part["source"])]
    assert not (unknown := sorted(set(asked) - set(TABLE))), unknown


# ---- functions, those of all exercises in one process

def in_one_process(texts: dict[str, str]) -> dict[str, list]:
    "By exercise: verdict, sentence, and the seconds that its tests took."
    attempts = {exercise: {"function": FUNCTIONS[exercise]["function"], "text": text,
                           "tests": FUNCTIONS[exercise]["tests"]} for exercise, text in texts.items()}
    return course._pytest(notebooks.ROOT, attempts, 300)


def test_every_function_of_the_solutions_is_right():
    found = in_one_process({exercise: solved(exercise) for exercise in FUNCTIONS})
    wrong = {exercise: said for exercise, (verdict, said, _) in found.items() if verdict != "right"}
    assert not wrong and set(found) == set(FUNCTIONS), wrong or set(FUNCTIONS) - set(found)
    slow = {exercise: seconds for exercise, (_, _, seconds) in found.items() if seconds > LIMIT}
    assert not slow, slow


def test_no_empty_function_is_right():
    starters = {exercise: starter_of(exercise) for exercise in FUNCTIONS}
    told = course.judge_functions(starters)   # at once, by their text
    assert {verdict for verdict, _ in told.values()} == {"not done"}, told
    found = in_one_process(starters)          # the tests notice them, too
    passed = {exercise: found.get(exercise) for exercise in starters
              if found.get(exercise, ["none"])[0] != "not yet"}
    assert not passed, passed


# ---- one small exercise, on which the rest is tried

TINY = {
    "03e": {"kind": "easy", "minutes": 2, "asks": "a share", "tolerance": 0.03, "reference": 0.94},
    "03m": {"kind": "medium", "minutes": 15, "asks": "write quantize",
            "function": "tokenbridge.quantizer.quantize",
            "tests": ["tests/test_quantizer.py::test_equals_brute_force"]},
    "03h": {"kind": "hard", "minutes": 20, "asks": "an error", "tolerance": {"relative": 0.02},
            "reference": 0.1762, "reference_drawn": 0.5},
    "09e": {"kind": "easy", "minutes": 2, "asks": "counts", "tolerance": "exact", "reference": [2, 3, 5, 6]},
    "12h": {"kind": "hard", "minutes": 5, "asks": "something new", "tolerance": "exact"},
}
RIGHT = """def nearest(distances):
    return distances.argmin(dim=-1)

def quantize(latents, levels):
    return nearest((latents[..., None] - levels).abs())
"""
LESSON = """#| export
def quantize(
    latents: Tensor,  # (..., d) floats
    levels: Tensor,   # (d, k) rows ascending
) -> Tensor:          # (..., d) int64
    "The index of the nearest level."
    # every distance
    return (latents[..., None] - levels).abs().argmin(dim=-1)


def other():
    return 1"""


@pytest.fixture
def tiny(monkeypatch):
    for module in (course, grade, lab):
        monkeypatch.setattr(module, "exercises", lambda: TINY)


def cell(source: str, *tags: str, kind: str = "code", text: str = "") -> dict:
    outputs = [{"output_type": "stream", "name": "stdout", "text": text}] if text else []
    more = {"outputs": outputs, "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "id": f"c{abs(hash(source))}", "metadata": {"tags": [*tags]},
            "source": source} | more


def book(*cells: dict) -> dict:
    return {"cells": [*cells], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@pytest.mark.parametrize("exercise, value, verdict, part", [
    ("03h", 0.1762, "right", "right (yours: 0.1762)"),
    ("03h", 0.179, "right", "right"),
    ("03h", 0.5, "right", "right"),          # with drawn images
    ("03h", 0.17, "not yet", "0.17 is too small"),
    ("03h", 2, "not yet", "2 is too large"),
    ("03h", float("nan"), "not yet", "expected a number, got NaN"),
    ("03h", "a word", "not yet", "expected a number"),
    ("03h", None, "not done", "20 minutes"),
    ("09e", (2, 3, 5, 6), "right", "right (yours: [2, 3, 5, 6])"),
    ("09e", [2, 3, 6, 5], "not yet", "2 of 4 parts"),
    ("09e", [16], "not yet", "a list of 4 parts"),
    ("09e", 16, "not yet", "a list of 4 parts"),
    ("03m", 3, "not yet", "expected a function"),
    ("12h", 3, "not judged", "no reference answer"),
])
def test_verdicts(tiny, exercise, value, verdict, part):
    found, said = course.judge(exercise, value)
    assert found == verdict and part in said, said


def test_tensors_arrays_and_sets_are_values_too(tiny):
    import numpy as np
    import torch
    assert course.judge("09e", torch.tensor([2, 3, 5, 6]))[0] == "right"
    assert course.judge("09e", np.array([2, 3, 5, 6]))[0] == "right"
    assert course.judge("09e", {6, 5, 3, 2})[0] == "right"
    assert course.judge("03h", torch.tensor(0.1762))[0] == "right"


def test_check_never_raises(tiny, capsys):
    for value in (object(), [object()], {"a": 1}, print, lambda: 0, torch_like(), b"x", 1j):
        course.check("03h", value)
    course.check("no such exercise", 1)
    course.check(None, 1)
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 10 and "right" not in printed


def torch_like():
    "Something whose parts raise errors."
    class Broken:
        def __getattr__(self, name):
            raise RuntimeError(name)
    return Broken()


def test_guess_and_answer(tiny, capsys):
    course.predict("03e")
    course.answer("03e", 0.9391)
    course.predict("03e", guess=0.92)
    course.answer("03e", 0.9391)
    course.predict("03e", guess=0.5)
    course.answer("03e", 0.9391)
    none, without, kept, close, _, far = capsys.readouterr().out.splitlines()
    assert "no guess yet" in none and "no guess was made" in without and "(yours: 0.92)" in kept
    assert close.endswith("off by 0.0191: close enough") and far.endswith("you guessed 0.5, off by 0.4391")


def test_a_claim_raises_only_where_it_must_hold(monkeypatch, capsys):
    monkeypatch.delenv("TOKENBRIDGE_STRICT", raising=False)
    course.claim(False, "pigs fly")
    monkeypatch.setenv("TOKENBRIDGE_STRICT", "1")
    course.claim(False, "pigs fly", when=False)
    course.claim(True, "birds fly")
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["not at these settings: pigs fly"] * 2 + ["holds: birds fly"]
    with pytest.raises(AssertionError, match="pigs fly"):
        course.claim(False, "pigs fly")


def test_lessons_are_executed_with_claims_that_must_hold():
    assert notebooks.environment(fast=True, data=None)["TOKENBRIDGE_STRICT"] == "1"


# ---- lab and grade

def test_a_starter_keeps_signature_comments_and_docstring():
    text = lab.starter(LESSON, "quantize")
    assert text.splitlines()[:6] == LESSON.splitlines()[:6]
    assert text.splitlines()[6:] == ["    ...", "", "", "def other():", "    return 1"]
    assert course.is_starter(text, "quantize") and not course.is_starter(LESSON, "quantize")


@pytest.mark.parametrize("source, path, expected", [
    ("def f(x): return x", "f", "def f(x):\n    ..."),
    ("def f(x):\n    # why\n    return x", "f", "def f(x):\n    ..."),
    ("def f(x):\n    'doc'", "f", "def f(x):\n    'doc'"),
    ("class A:\n    y: int\n\n    @property\n    def f(self):\n        'doc'\n        return 1\n\n    z = 2",
     "A.f",
     "class A:\n    y: int\n\n    @property\n    def f(self):\n        'doc'\n        ...\n\n    z = 2"),
])
def test_starters(source, path, expected):
    assert lab.starter(source, path) == expected


def test_an_exercise_book_runs_from_a_fresh_kernel(tiny, tmp_path):
    lesson = book(cell("# 03\n[a](03_x.ipynb), [b](plots.ipynb#c), [d](https://e.f)", kind="markdown"),
                  cell("import torch\nfrom torch import Tensor", text="old output"),
                  cell(LESSON, "exercise", "03m"),
                  cell("1", "solution"),
                  cell("print(quantize.__module__, quantize(torch.zeros(1), torch.tensor([[-1.0, 0.0]])))"))
    made = lab.exercise_book(lesson, beside=["03_x"])
    assert made["cells"][0]["source"].endswith("[a](03_x.ipynb), [b](../nbs/plots.ipynb#c), [d](https://e.f)")
    assert len(made["cells"]) == 5 and not any(part.get("outputs") for part in made["cells"])
    assert made["cells"][3]["source"].endswith('quantize = attempt("03m", quantize)')
    (tmp_path / "03_x.ipynb").write_text(json.dumps(made), encoding="utf-8")
    executed = notebooks.execute("03_x", folder=tmp_path)
    printed = ["".join(notebooks.joined(output["text"]) for output in part["outputs"])
               for part in executed["cells"][3:]]
    assert "not done yet" in printed[0] and "the package's" in printed[0]
    assert printed[1].startswith("tokenbridge.quantizer tensor([1])")


def test_grades(tiny, tmp_path, capsys):
    done = book(cell('x = 1\npredict("03e", guess=2 / 3 + 0.25)'),
                cell(RIGHT, "exercise", "03m"),
                cell('check("03h", best)', text="03h: right (yours: 0.177)\n"),
                cell('predict("09e", guess=[4, 4, 4, 4])'))
    begun = book(cell('predict("03e", guess=None)'),
                 cell(lab.starter(LESSON, "quantize"), "exercise", "03m"),
                 cell('check("03h", 3)'), cell("this is no Python", text="09e: right (yours: [2, 3, 5, 6])"))
    for name, content in (("ada", done), ("bob", begun)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "03_x.ipynb").write_text(json.dumps(content), encoding="utf-8")
    assert grade.main([str(tmp_path)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["03", "09", "12"]
    assert table[1].split()[:3] == ["ada", "+++", "o"] and "1 of 1 functions right" in table[1]
    assert table[2].split()[:3] == ["bob", "..x", "."] and "0 of 2 numbers right" in table[2]
    assert grade.main([str(tmp_path / "bob")]) == 0
    assert "3 is too large" in capsys.readouterr().out
    assert grade.main([str(tmp_path / "nobody")]) == 2


def test_make_lab_leaves_work_alone(tmp_path, capsys):
    assert lab.main(["01_data", "--lab", str(tmp_path)]) == 0
    path = tmp_path / "01_data.ipynb"
    path.write_text("mine", encoding="utf-8")
    assert lab.main(["01_data", "--lab", str(tmp_path)]) == 0
    assert path.read_text(encoding="utf-8") == "mine" and "stays" in capsys.readouterr().out


# ---- wrong functions are told so

WRONG = {
    "03m": "def quantize(latents, levels):\n    return (latents[..., None] - levels).abs().argmax(dim=-1)",
    "09m": "def cosine_schedule(num_hidden, steps):\n    return [num_hidden // steps] * steps",
    "12m": "def tokenize_set(:",
}


SIZES, LOW, PARTS, NOTHING = (1, 2), float("-inf"), {"a": [3]}, None


def uses_everything(x):
    return max(LOW, x + SIZES[0] + PARTS["a"][0]), exp(torch.zeros(1)), NOTHING


def test_a_function_takes_its_constants_and_imports_along():
    space = {}
    exec(course.function_text(uses_everything), space)
    assert space["uses_everything"](4) == (8, torch.ones(1), None)


def test_wrong_functions_are_told_where():
    found = in_one_process({exercise: text for exercise, text in WRONG.items() if exercise in FUNCTIONS})
    assert all(verdict == "not yet" for verdict, _, _ in found.values()), found
    assert re.search(r"test_\w+.*, line \d+, `assert .*quantize.*`: AssertionError", found["03m"][1])
    assert "cannot be defined: SyntaxError" in found["12m"][1]


def test_an_endless_loop_ends():
    text = "def quantize(latents, levels):\n    while True:\n        pass"
    attempts = {"03m": TINY["03m"] | {"text": text}}
    assert "endless loop" in course._pytest(notebooks.ROOT, attempts, 3)[""][1]


def test_without_tests_it_says_what_is_needed(tiny, monkeypatch):
    monkeypatch.setattr(course, "_checkout", lambda: None)
    verdict, said = course.judge_functions({"03m": RIGHT})["03m"]
    assert verdict == "not judged" and "checkout" in said


def constant(latents, levels):
    return torch.zeros_like(latents).long()


def test_a_function_under_another_name_is_judged_itself():
    "A wrong one must not pass because the package's stands under the right name."
    assert course.judge("03m", constant)[0] == "not yet"
    text = "def quantise(latents, levels):\n    return latents"
    verdict, said = course.judge_functions({"03m": text})["03m"]
    assert verdict == "not yet" and "quantize" in said
    with pytest.raises(ValueError, match="lambda"):
        course.judge("03m", lambda latents, levels: latents)
