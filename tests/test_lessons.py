"""Every code cell of every lesson, in fast mode, from a fresh kernel, offline, on the drawn images.

The package is as `pip install .` leaves it: the built wheel, what it requires, nothing else; nbs/ and data/
lie in a fresh folder. A lesson that needs the checkout or a package of the dev extra fails.
"""
import pytest

from tests.tools import installed as tool
from tests.tools import notebooks, references


@pytest.mark.parametrize("name", notebooks.names())
def test_lesson(name, installed):
    try:
        executed = notebooks.execute(name, fast=True, data=None, timeout=600, folder=installed.notebooks,
                                     python=installed.python)
    except notebooks.LessonFailed as error:
        pytest.fail(str(error), pytrace=False)
    cells = notebooks.code_cells(executed)
    assert all(cell["execution_count"] for cell in cells), "a code cell was not executed"
    if name == "solutions":   # functions are judged by tests/test_course.py: here are no tests
        assert not (wrong := references.wrong(executed, judged=False)), wrong


def said(place, code: str) -> str:
    "What Python prints where the lessons run."
    env = notebooks.environment(fast=True, data=None, alone=True)
    return tool.run(place.python, "-c", code, cwd=place.notebooks, env=env)


@pytest.mark.parametrize("name", ["fastcore", "nbdev", "pytest", "diffusers", "hypothesis", "tests"])
def test_a_lesson_finds_no_development_package(name, installed):
    with pytest.raises(AssertionError, match=f"No module named '{name}'"):
        said(installed, f"import {name}")


def test_a_lesson_uses_the_installed_package(installed):
    where = said(installed, "import tokenbridge; print(tokenbridge.__file__)")
    assert where.startswith(str(installed.home / "venv")), where
