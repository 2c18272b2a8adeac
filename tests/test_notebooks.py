"Every committed notebook: executed, its outputs those of its source, its cells small, the export in step."
import filecmp
import shutil
import subprocess
import sys
import warnings

import pytest

from tests.tools import notebooks

NAMES = notebooks.names()
LESSONS = [name for name in NAMES if name[0].isdigit()]
LONGEST_CELL, LONGEST_RUN, LARGEST_FIGURE, LARGEST_NOTEBOOK = 40, 3, 100_000, 1_000_000


@pytest.fixture(params=NAMES)
def notebook(request):
    return notebooks.read(request.param) | {"name": request.param}


def test_has_outputs_and_no_error(notebook):
    outputs = [output for cell in notebooks.code_cells(notebook) for output in cell["outputs"]]
    assert outputs, "no outputs: execute it with `python -m tests.tools.lessons run`"
    errors = [f"{output['ename']}: {output['evalue']}" for output in outputs
              if output["output_type"] == "error"]
    assert not errors, errors


def test_outputs_belong_to_their_source(notebook):
    stale = notebooks.stale_cells(notebook["name"])
    assert not stale, f"execute again with `python -m tests.tools.lessons run {notebook['name']}`: {stale}"


def test_cells_are_small(notebook):
    sizes = [(number, notebooks.code_lines(cell["source"])) for number, cell in enumerate(notebook["cells"])
             if cell["cell_type"] == "code"]
    large = [f"cell {number} has {size} code lines" for number, size in sizes if size > LONGEST_CELL]
    assert not large, large
    longest = notebooks.longest_run(notebook)
    assert longest <= LONGEST_RUN, f"{longest} code cells in a row without prose"


def test_files_are_small(notebook):
    large = [size for size in notebooks.figures(notebook) if size > LARGEST_FIGURE]
    assert not large, f"figures of {large} bytes"
    size = (notebooks.NBS / f"{notebook['name']}.ipynb").stat().st_size
    assert size <= LARGEST_NOTEBOOK, f"notebook of {size} bytes"


@pytest.mark.parametrize("name", LESSONS)
def test_lesson_states_and_prints_its_runtime(name):
    notebook = notebooks.read(name)
    first = notebook["cells"][0]["source"]
    assert first.startswith("# ") and "\n> " in first, "a title, then one quoted line"
    opening = "\n".join(cell["source"] for cell in notebook["cells"][:3] if cell["cell_type"] == "markdown")
    assert "**Goal**" in opening and "**Runtime" in opening, "the table with goal and runtime"
    timed = [cell for cell in notebooks.code_cells(notebook) if "print_runtime(" in cell["source"]]
    volatile = timed and "volatile" in notebooks.tags(timed[-1])
    assert volatile, "a cell tagged volatile calls checks.print_runtime"
    found = notebooks.runtime(notebook)
    assert found and found[0] <= found[1], f"runtime and budget: {found}"


def test_cells_are_small_on_the_whole():
    number, median, ninety = notebooks.cell_sizes(NAMES)
    if median > 5 or ninety > 20:  # an aim, not a rule
        warnings.warn(f"{number} code cells: median {median:.0f} lines (aim 5), "
                      f"90th percentile {ninety} (aim 20)", stacklevel=1)
    assert ninety <= LONGEST_CELL


def test_clean_leaves_no_difference(tmp_path):
    shutil.copy(notebooks.ROOT / "settings.ini", tmp_path)
    shutil.copytree(notebooks.NBS, tmp_path / "nbs")
    notebooks.clean(tmp_path / "nbs", root=tmp_path)
    changed = [name for name in NAMES
               if not same(notebooks.NBS / f"{name}.ipynb", tmp_path / "nbs" / f"{name}.ipynb")]
    assert not changed, f"run nbdev_clean: {changed}"


def test_export_leaves_no_difference(tmp_path):
    for name in ("settings.ini", "setup.py", "pyproject.toml"):
        shutil.copy(notebooks.ROOT / name, tmp_path)
    shutil.copytree(notebooks.NBS, tmp_path / "nbs")
    (tmp_path / "tokenbridge").mkdir()
    shutil.copy(notebooks.ROOT / "tokenbridge" / "__init__.py", tmp_path / "tokenbridge")
    export = [sys.executable, "-c",
              "from nbdev.export import nb_export\nfrom nbdev.doclinks import nbdev_export\nnbdev_export()"]
    subprocess.run(export, cwd=tmp_path, check=True, capture_output=True, text=True)
    committed, exported = ({path.name for path in (root / "tokenbridge").glob("*.py")}
                           for root in (notebooks.ROOT, tmp_path))
    assert committed == exported, f"in one of the two only: {committed ^ exported}"
    changed = [name for name in sorted(exported)
               if not same(notebooks.ROOT / "tokenbridge" / name, tmp_path / "tokenbridge" / name)]
    assert not changed, f"run nbdev_export: {changed}"


def same(old, new) -> bool:
    return filecmp.cmp(old, new, shallow=False)
