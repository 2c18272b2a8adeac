"What the tests and the tools know about notebooks: which there are, what they hold, how to execute one."
import ast
import copy
import hashlib
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NBS = ROOT / "nbs"
RECORD = NBS / "outputs.json"  # hashes of the sources whose outputs are committed
RUNTIME = re.compile(r"runtime (\d+) s of a budget of (\d+) s")


def names() -> list[str]:
    "The names of all notebooks, without the suffix: index, lessons in order, appendices."
    found = [path.stem for path in NBS.glob("*.ipynb")]
    return sorted(found, key=lambda name: (name != "index", not name[0].isdigit(), name))


def read(name: str) -> dict:
    "A committed notebook as the dictionary that its JSON says; multi-line strings joined."
    notebook = json.loads((NBS / f"{name}.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = joined(cell["source"])
    return notebook


def joined(text) -> str:
    return "".join(text) if isinstance(text, list) else text


def code_cells(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and cell["source"].strip()]


def tags(cell: dict) -> list[str]:
    return cell.get("metadata", {}).get("tags", [])


def for_decks_only(cell: dict) -> bool:
    "Whether a cell is shown on slides alone: readers, exercise books and the site do without it."
    return "slide-only" in tags(cell)


# readers see an empty line: JupyterLab unfolds a folded cell when it runs, GitHub never folds one
COVER = re.compile(r"<!--(?: for [a-z ]+)?\n\n?(.*?)\n*-->\s*", re.S)


def uncovered(cell: dict) -> dict:
    "A cell for slides without the HTML comment around its text; any other cell as it is."
    match = COVER.fullmatch(cell["source"]) if for_decks_only(cell) else None
    return cell | {"source": match[1]} if match else cell


def source_hash(cell: dict) -> str:
    "Twelve hexadecimal digits that change with the cell's code, not with wrapping, comments and docstrings."
    source = cell["source"]
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a cell of another language (%%bash): its lines
        text = "\n".join(line.rstrip() for line in source.strip().splitlines())
    else:
        text = repr(skeleton(without_docstrings(tree)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def without_docstrings(tree: ast.AST) -> ast.AST:
    "The same tree, its docstrings emptied."
    for node in ast.walk(tree):
        named = isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if named and is_docstring(node.body[0]):
            node.body[0].value.value = ""
    return tree


def skeleton(node):
    "A syntax tree as nested tuples without what is empty: the same in every Python, unlike `ast.dump`."
    if isinstance(node, list):
        return [skeleton(item) for item in node]
    if not isinstance(node, ast.AST):
        return node
    fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
    return (type(node).__name__, *((name, skeleton(value)) for name, value in fields))


def is_docstring(statement: ast.stmt) -> bool:
    "Whether a statement is a string and nothing else."
    value = getattr(statement, "value", None)
    constant = isinstance(statement, ast.Expr) and isinstance(value, ast.Constant)
    return constant and isinstance(value.value, str)


# ---- sizes

def code_lines(source: str) -> int:
    "Lines of code: no blank lines, comments and docstrings; a signature counts as one line."
    plain = "\n".join("pass" if line.lstrip().startswith(("%", "!")) else line
                      for line in source.splitlines())
    try:
        tree = ast.parse(plain)
        lines = _lines_with_code(plain)
    except (SyntaxError, tokenize.TokenError):  # a cell of another language (%%bash)
        return sum(bool(line.strip()) and not line.strip().startswith("#") for line in source.splitlines())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            first = node.body[0]
            if not isinstance(node, ast.Module):
                lines -= set(range(node.lineno + 1, first.lineno))
            if is_docstring(first):
                lines -= set(range(first.lineno, first.end_lineno + 1))
    return len(lines)


def _lines_with_code(source: str) -> set[int]:
    skip = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
            tokenize.ENDMARKER}
    found = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in skip:
            found |= set(range(token.start[0], token.end[0] + 1))
    return found


def longest_run(notebook: dict) -> int:
    "The largest number of code cells in a row without prose between."
    longest = run = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" and not for_decks_only(cell):
            run = 0
        elif cell["cell_type"] == "code" and code_lines(cell["source"]):
            run += 1
            longest = max(longest, run)
    return longest


def cell_sizes(all_names: list[str]) -> tuple[int, float, int]:
    "How many code cells there are, their median number of code lines, and the 90th percentile."
    sizes = sorted(size for name in all_names for cell in code_cells(read(name))
                   if (size := code_lines(cell["source"])))
    return len(sizes), statistics.median(sizes), sizes[int(0.9 * (len(sizes) - 1))]


def figures(notebook: dict) -> list[int]:
    "The sizes of all PNG outputs, in bytes."
    data = [output.get("data", {}) for cell in code_cells(notebook) for output in cell["outputs"]]
    return [len(joined(entry["image/png"])) * 3 // 4 for entry in data if "image/png" in entry]


# ---- execution

def real_images() -> Path | None:
    "The folder of the real CIFAR-10 in its binary layout, from the variable TOKENBRIDGE_DATA, or None."
    root = os.environ.get("TOKENBRIDGE_DATA")
    for folder in [Path(root), Path(root) / "cifar-10-batches-bin"] if root else []:
        if (folder / "data_batch_1.bin").exists():
            return Path(root).resolve()
    return None


def environment(fast: bool, data: Path | None, alone: bool = False) -> dict[str, str]:
    "A lesson's environment: offline, claims must hold, no private settings; `alone`: no paths."
    env = {key: value for key, value in os.environ.items()
           if not key.startswith("TOKENBRIDGE_") and not (alone and key == "PYTHONPATH")}
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    env |= nowhere | {"no_proxy": "127.0.0.1,localhost", "NO_PROXY": "127.0.0.1,localhost",
                      "HF_HUB_OFFLINE": "1"}
    env |= {"TOKENBRIDGE_STRICT": "1", "PYTHONHASHSEED": "0", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    env |= {"TOKENBRIDGE_FAST": "1"} if fast else {}
    env |= {"TOKENBRIDGE_DATA": str(data)} if data else {}
    return env


class LessonFailed(Exception):
    "A cell of a lesson raised an error; the message shows the cell."


def execute(name: str, fast: bool = False, data: Path | None = None, timeout: int = 1500,
            folder: Path | None = None, python: Path | None = None) -> dict:
    """Execute a notebook from a fresh kernel and return it with its new outputs; nothing is written.

    `folder` holds the notebooks (None: those of the checkout), `python` runs them (None: this interpreter).
    """
    # before the import: the kernel of this interpreter, not the user's
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    import nbclient
    import nbformat
    folder = folder or NBS
    notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = nbclient.NotebookClient(notebook, timeout=timeout, kernel_name="python3",
                                     resources={"metadata": {"path": str(folder)}}, record_timing=False,
                                     extra_arguments=["--log-level=ERROR"])
    try:
        with kernel_of(client, python):
            client.execute(env=environment(fast, data, alone=python is not None))
    except nbclient.exceptions.CellExecutionError as error:
        raise LessonFailed(f"{name}.ipynb, {_where(notebook)}:\n{_plain(str(error))}") from None
    except (nbclient.exceptions.CellTimeoutError, nbclient.exceptions.DeadKernelError) as error:
        raise LessonFailed(f"{name}.ipynb: {_plain(str(error))}") from None
    return copy.deepcopy(dict(notebook))


@contextmanager
def kernel_of(client, python: Path | None) -> Iterator[None]:
    "Let a notebook's client start its kernel with another interpreter; None: with this one."
    if python is None:
        yield
        return
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    with tempfile.TemporaryDirectory() as temporary:
        start = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        (Path(temporary) / "lesson").mkdir()
        (Path(temporary) / "lesson" / "kernel.json").write_text(
            json.dumps({"argv": start, "display_name": "lesson", "language": "python"}), encoding="utf-8")
        specs = KernelSpecManager(kernel_dirs=[temporary])
        client.km = AsyncKernelManager(kernel_name="lesson", kernel_spec_manager=specs)
        yield


def _where(notebook) -> str:
    "Which cell failed: its number among all cells and its first line."
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and any(output.output_type == "error" for output in cell.outputs):
            return f"cell {number}"
    return "unknown cell"


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def runtime(notebook: dict) -> tuple[int, int] | None:
    "Seconds and budget, as the lesson's last cell printed them, or None."
    for cell in reversed(code_cells(notebook)):
        for output in cell["outputs"]:
            if output["output_type"] == "stream" and (match := RUNTIME.search(joined(output["text"]))):
                return int(match[1]), int(match[2])
    return None


def clean(path: Path, root: Path = ROOT) -> None:
    "What `nbdev_clean` does to a notebook or a folder of them, by the settings of `root`."
    call = "import sys; from nbdev.clean import nbdev_clean; nbdev_clean(fname=sys.argv[1])"
    subprocess.run([sys.executable, "-c", call, str(path)], cwd=root, check=True, capture_output=True,
                   text=True)


# ---- the record of executed sources

def record_entry(name: str) -> dict:
    "What outputs.json says about a notebook: a hash for every code cell, and the runtime its outputs report."
    notebook = read(name)
    entry = {"cells": [source_hash(cell) for cell in code_cells(notebook)]}
    if found := runtime(notebook):
        entry |= {"seconds": found[0], "budget": found[1]}
    return entry


def read_record() -> dict:
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}


def write_record(record: dict) -> None:
    "One line per notebook would be too long to read in a diff; one per hash shows which cell was executed."
    order = names()
    kept = {name: record[name] for name in order if name in record}
    RECORD.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def stale_cells(name: str) -> list[str]:
    "The code cells whose committed outputs do not belong to their source, in words."
    cells = code_cells(read(name))
    known = read_record().get(name, {}).get("cells")
    if known is None:
        return [f"{name}.ipynb has no entry in nbs/outputs.json"]
    stale = [f"code cell {number}: {cell['source'].splitlines()[0]!r}" for number, cell in enumerate(cells)
             if source_hash(cell) not in known]
    if not stale and [source_hash(cell) for cell in cells] != known:
        stale = ["code cells were removed, doubled or moved"]
    return stale
