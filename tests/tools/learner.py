"""What a learner does in JupyterLab: run the tour, and solve exercises wrongly and rightly.

JupyterLab runs on a copy in a temporary folder, with settings of its own, on a free port of this machine.
"""
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tools import notebooks
from tests.tools.pages import Missing, opened
from tokenbridge.course import exercises

TOUR, LESSON, ANSWER = "00_tour", "03_quantizer", 'answer("03e"'
SIZE = {"width": 1280, "height": 900}
QUIET = {"@jupyterlab/apputils-extension/notification":
         {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}}
CELL = ".jp-Notebook .jp-Cell"
IDLE = r"""() => {
    const bar = document.querySelector("#jp-main-statusbar")?.innerText || "";
    const prompts = [...document.querySelectorAll(".jp-InputPrompt")];
    return bar.split("\n").some(line => line.endsWith("| Idle")) &&
        document.querySelector(".jp-Notebook-ExecutionIndicator")?.dataset.status === "idle" &&
        !prompts.some(prompt => prompt.textContent.includes("*"));
}"""


class Wrong(Exception):
    "JupyterLab did not do what a learner may expect; the message says what."


# ---- JupyterLab

@contextmanager
def jupyterlab(folder: Path, home: Path, patience: float) -> Iterator[str]:
    "JupyterLab on a folder, as an address with a token; its settings, kernels and log are in `home`."
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, log = secrets.token_hex(16), home / "jupyterlab.log"
    for name, values in QUIET.items():
        path = home / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
               f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}",
               f"--IdentityProvider.token={token}", "--LabApp.extension_manager=readonly",
               "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with open(log, "w", encoding="utf-8") as lines:
        server = subprocess.Popen(command, cwd=folder, env=environment(home), stdout=lines, stderr=lines)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for_server(server, f"{address}/api?token={token}", patience, log)
        # a workspace each: else the notebook that was open before is restored beside this one
        yield f"{address}/lab/workspaces/{{0}}/tree/{{0}}.ipynb?token={token}"
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


def environment(home: Path) -> dict[str, str]:
    "A learner's environment: offline, this checkout's package, no settings of whoever runs this."
    env = notebooks.environment(fast=False, data=notebooks.real_images())
    for name in ("TOKENBRIDGE_STRICT", "MPLBACKEND", "PYTHONHASHSEED"):
        env.pop(name, None)
    paths = [str(notebooks.ROOT), *filter(None, [env.get("PYTHONPATH")])]
    return env | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1",
                  "JUPYTER_PREFER_ENV_PATH": "1", "JUPYTER_CONFIG_DIR": str(home / "config"),
                  "JUPYTER_DATA_DIR": str(home / "data"), "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
                  "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "IPYTHONDIR": str(home / "ipython"),
                  "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces")}


def wait_for_server(server: subprocess.Popen, address: str, patience: float, log: Path) -> None:
    until = time.monotonic() + patience
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < until:
        if server.poll() is not None:
            last = (log.read_text(encoding="utf-8").strip().splitlines() or ["nothing was printed"])[-1]
            raise Missing(f"JupyterLab does not start (`make setup` installs it): {last}")
        try:
            direct.open(address, timeout=10).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise Wrong(f"JupyterLab does not answer within {patience:.0f} s")


# ---- a notebook on the screen

@dataclass
class Desk:
    "Where a learner sits: a browser, JupyterLab on a folder, and a folder for pictures of failures."
    browser: Any
    address: str
    folder: Path
    shots: Path
    patience: float

    @contextmanager
    def notebook(self, name: str) -> Iterator[tuple]:
        "An open notebook, and the list that fills with what the page should not do."
        with opened(self.browser, SIZE) as (page, said):
            page.set_default_timeout(1000 * self.patience)
            try:
                yield Notebook(page, self.folder / f"{name}.ipynb", self.address, self.patience), said
            except Exception as error:
                self.shots.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=self.shots / f"{name}.png")
                words = str(error) if isinstance(error, Wrong) else f"{name}: {str(error).splitlines()[0]}"
                raise Wrong(f"{words} (see {self.shots / name}.png)") from error


class Notebook:
    "A notebook that is open in JupyterLab, and the file behind it."

    def __init__(self, page, path: Path, address: str, patience: float):
        self.page, self.path, self.patience = page, path, patience
        self.sources = [cell["source"] for cell in self.read()["cells"]]
        page.goto(address.format(path.stem))
        page.wait_for_selector(CELL)
        self.wait_until_idle()
        until = time.monotonic() + min(self.patience, 60)   # JupyterLab draws cells while it is idle
        while (shown := page.locator(CELL).count()) != len(self.sources) and time.monotonic() < until:
            page.wait_for_timeout(200)
        if shown != len(self.sources):
            raise Wrong(f"{path.stem}: {shown} cells on the screen, {len(self.sources)} in the file")

    def read(self) -> dict:
        "What the file holds, the lines of each source joined."
        notebook = json.loads(self.path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            cell["source"] = notebooks.joined(cell["source"])
        return notebook

    def menu(self, *names: str) -> None:
        "Choose from the menu bar, such as Run, Run All Cells."
        first, *rest = names
        self.page.locator(".lm-MenuBar-item").get_by_text(first, exact=True).click()
        for name in rest:
            self.page.locator(".lm-Menu-itemLabel").get_by_text(name, exact=True).last.click()

    def wait_until_idle(self) -> None:
        "Wait until no cell is waiting and the kernel says, for a second, that it has nothing to do."
        until, quiet = time.monotonic() + self.patience, 0
        while quiet < 4:
            if time.monotonic() > until:
                raise Wrong(f"{self.path.stem}: the kernel is not idle after {self.patience:.0f} s")
            quiet = quiet + 1 if self.page.evaluate(IDLE) else 0
            self.page.wait_for_timeout(250)

    def index(self, text: str) -> int:
        "The number of the only cell whose source holds this text."
        found = [number for number, source in enumerate(self.sources) if text in source]
        if len(found) != 1:
            raise Wrong(f"{self.path.stem}: {len(found)} cells hold {text!r}, not one")
        return found[0]

    def cell(self, number: int):
        return self.page.locator(CELL).nth(number)

    def select(self, number: int) -> None:
        self.cell(number).locator(".jp-InputPrompt").click()

    def write(self, number: int, source: str) -> None:
        "Replace what is written in a cell, and see that it stands there."
        self.cell(number).locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(source)
        there = self.cell(number).locator(".cm-content").inner_text()
        if there.split() != source.split():
            raise Wrong(f"{self.path.stem}: typed {source[:60]!r}, the cell shows {there[:60]!r}")

    def run(self, number: int) -> str:
        "Run one cell with Control and Enter, and return the text below it."
        self.cell(number).locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        self.page.wait_for_timeout(250)
        self.wait_until_idle()
        return "\n".join(self.cell(number).locator(".jp-OutputArea-output").all_inner_texts()).strip()

    def saved(self) -> dict:
        "Save with Control and S, and read the file."
        before, until = self.path.stat().st_mtime_ns, time.monotonic() + self.patience
        self.page.keyboard.press("Control+S")
        while self.path.stat().st_mtime_ns == before:
            if time.monotonic() > until:
                raise Wrong(f"{self.path.stem}: saving takes more than {self.patience:.0f} s")
            self.page.wait_for_timeout(250)
        self.page.wait_for_timeout(500)
        return self.read()


# ---- what a learner does

def run_tour(desk: Desk) -> tuple[list[str], str]:
    "Run All Cells of the tour, save, and read the file: findings, and what was seen."
    with desk.notebook(TOUR) as (book, said):
        book.menu("Run", "Run All Cells")
        book.wait_until_idle()
        notebook = book.saved()
    figures = len(notebooks.figures(notebooks.read(TOUR)))
    return findings_in(notebook, figures) + said, (
        f"{len(notebooks.code_cells(notebook))} cells, {len(notebooks.figures(notebook))} figures")


def findings_in(notebook: dict, figures: int) -> list[str]:
    "What is wrong with an executed notebook: cells that were not executed, errors, too few figures."
    found = []
    for cell in notebooks.code_cells(notebook):
        first = cell["source"].strip().splitlines()[0][:60]
        if not cell.get("execution_count"):
            found.append(f"not executed: {first}")
        found += [f"{output['ename']} in {first}: {output['evalue'][:150]}" for output in cell["outputs"]
                  if output["output_type"] == "error"]
    seen = len(notebooks.figures(notebook))
    return found + ([] if seen >= figures else [f"{seen} figures instead of {figures}"])


def solve_exercises(desk: Desk) -> tuple[list[str], str]:
    "A guess, a function and a number of lesson 03, wrong and right: what the learner is not told."
    findings, told = [], 0
    with desk.notebook(LESSON) as (book, said):
        tries = attempts(book)
        book.select(book.index(ANSWER) + 1)
        book.menu("Run", "Run All Above Selected Cell")
        book.wait_until_idle()
        for attempt in tries:
            book.write(attempt.cell, attempt.source)
            heard = book.run(attempt.cell)
            if attempt.judged_by != attempt.cell:
                heard = book.run(attempt.judged_by)
            missing = [words for words in attempt.expected if words not in heard]
            findings += [f"{attempt.name}: {words!r} is not in {heard[:200]!r}" for words in missing]
            told += not missing
        book.saved()
    return findings + said, f"{told} of {len(tries)} attempts, wrong and right, answered as they should be"


@dataclass
class Attempt:
    "What a learner writes, and what must be said about it."
    name: str
    cell: int            # the number of the cell that is written
    source: str
    judged_by: int       # the number of the cell that says it
    expected: list[str]


def attempts(book) -> list[Attempt]:
    "One exercise of each kind, wrong and right: a guess, a function, a number."
    guess, number = (exercises()[name]["reference"] for name in ("03e", "03h"))
    predict, answer, judge, check = map(book.index, ('predict("03e"', ANSWER, 'attempt("03m"', 'check("03h"'))
    head = book.sources[judge - 1].removesuffix("    ...")

    def guessed(value: float, *expected: str) -> Attempt:
        source = book.sources[predict].replace("guess=None", f"guess={value:g}")
        return Attempt(f"03e, {value:g}", predict, source, answer, [f"you guessed {value:g}", *expected])

    def wrote(kind: str, source: str, *expected: str) -> Attempt:
        return Attempt(f"03m, {kind}", judge - 1, source, judge, [*expected])

    def found(value: float, *expected: str) -> Attempt:
        source = book.sources[check].replace("value=None", f"value={value:g}")
        return Attempt(f"03h, {value:g}", check, source, check, [f"(yours: {value:g})", *expected])

    return [
        guessed(round(guess / 2), ", off by"),
        guessed(round(guess), "close enough"),
        wrote("wrong", f"{head}    return torch.zeros_like(latents, dtype=torch.long)", "03m: not yet",
              "The lesson goes on with the package's"),
        wrote("right", solution("03m"), "03m: right", "The lesson goes on with yours"),
        found(2 * number, "03h: not yet", "is too large", "There is a hint under 03h in solutions.ipynb"),
        found(number, "03h: right"),
    ]


def solution(exercise: str) -> str:
    "The function that solves an exercise, from the notebook of solutions."
    call = f'check("{exercise}"'
    cells = [cell["source"] for cell in notebooks.code_cells(notebooks.read("solutions"))]
    return next(source for source in cells if call in source).split(call)[0].rstrip()
