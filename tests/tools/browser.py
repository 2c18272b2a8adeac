"""Look at the lessons, the decks and the site in a real browser.

    python -m tests.tools.browser [--tour] [--exercises] [--decks [NAME ...]] [--site]   (make browser)

Without an option it does all four. It needs Chromium and Playwright (`pip install -c constraints.txt -e
".[browser]"`), and what it shall look at: `make decks` and `make site` build it. Nothing is written but
pictures: of what went wrong in JupyterLab, and with --shots FOLDER of every slide.
"""
import argparse
import io
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.tools import lab, learner, notebooks, pages

SHOTS = notebooks.ROOT / "_build" / "browser"


def main(arguments: list[str] | None = None) -> int:
    options, table = parsed(arguments), Table()
    every = not (options.tour or options.exercises or options.site or options.decks is not None)
    try:
        with pages.chromium() as browser:
            if every or options.tour or options.exercises:
                in_jupyterlab(table, browser, options, every)
            if every or options.decks is not None:
                look_at_decks(table, browser, options, every)
            if every or options.site:
                look_at_site(table, browser, every)
    except pages.Missing as error:
        print(f"browser: {error}", file=sys.stderr)
        return 2
    return 1 if table.findings else 0


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.browser", description="Look into a browser.")
    parser.add_argument("--tour", action="store_true", help="run the tour in JupyterLab")
    parser.add_argument("--exercises", action="store_true", help="solve exercises of lesson 03 in JupyterLab")
    parser.add_argument("--decks", nargs="*", metavar="NAME", help="decks such as 03_quantizer; none: all")
    parser.add_argument("--site", action="store_true", help="the site")
    parser.add_argument("--shots", type=Path, help="a folder for a picture of every slide")
    parser.add_argument("--patience", type=float, default=900, help="seconds that a step may take")
    return parser.parse_args(arguments)


@dataclass
class Table:
    "What was looked at, line by line as it is done."
    findings: list[str] = field(default_factory=list)

    def row(self, name: str, look: Callable[[], tuple[list[str], str]]) -> None:
        began = time.monotonic()
        try:
            found, seen = look()
        except learner.Wrong as error:
            found, seen = [str(error)], ""
        seconds = time.monotonic() - began
        result = "right" if not found else f"{len(found)} finding{'s' * (len(found) > 1)}"
        print(f"{name:20} {result:12} {seconds:5.0f} s  {seen}".rstrip(), flush=True)
        for words in found:
            print(f"    {words}", flush=True)
        self.findings += found

    def skipped(self, name: str, why: str) -> None:
        print(f"{name:20} skipped               {why}", flush=True)


def in_jupyterlab(table: Table, browser, options: argparse.Namespace, every: bool) -> None:
    "The tour and the exercises, on a copy of the notebooks."
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        folder = Path(home) / "lessons"
        with redirect_stdout(io.StringIO()):
            lab.main([learner.LESSON, "--lab", str(folder)])
        shutil.copy(notebooks.NBS / f"{learner.TOUR}.ipynb", folder)
        with learner.jupyterlab(folder, Path(home), options.patience) as address:
            desk = learner.Desk(browser, address, folder, options.shots or SHOTS, options.patience)
            if every or options.tour:
                table.row("tour", lambda: learner.run_tour(desk))
            if every or options.exercises:
                table.row("exercises", lambda: learner.solve_exercises(desk))


def look_at_decks(table: Table, browser, options: argparse.Namespace, every: bool) -> None:
    "The decks that are asked for; if everything is, those that are there."
    try:
        paths = decks(options.decks)
    except pages.Missing as error:
        if not every:
            raise
        table.skipped("decks", str(error))
        return
    for path in paths:
        shots = options.shots / path.stem if options.shots else None
        table.row(path.stem, partial(pages.look_at_deck, path, browser, shots))
    if every:
        table.row("speaker's window", lambda: pages.look_at_speaker(paths[0], browser))


def look_at_site(table: Table, browser, every: bool) -> None:
    "The site; if everything is asked for, only where it is there."
    if (pages.SITE / "index.html").is_file():
        table.row("site", lambda: pages.look_at_site(pages.SITE, browser))
        return
    missing = f"no site in {shown(pages.SITE)}: `make site` builds it"
    if not every:
        raise pages.Missing(missing)
    table.skipped("site", missing)


def decks(names: list[str] | None) -> list[Path]:
    "The files of the decks in _build/decks with these names; none: all."
    there = {path.stem: path for path in sorted(pages.DECKS.glob("[0-9]*.html"))}
    if missing := [name for name in names or [] if name not in there]:
        raise pages.Missing(f"no deck {missing[0]} in {shown(pages.DECKS)}: `make decks` builds it")
    if not there:
        raise pages.Missing(f"no decks in {shown(pages.DECKS)}: `make decks` builds them")
    return [there[name] for name in names] if names else list(there.values())


def shown(path: Path) -> Path:
    "A path as it is written from the checkout's folder."
    return path.relative_to(notebooks.ROOT) if path.is_relative_to(notebooks.ROOT) else path


if __name__ == "__main__":
    sys.exit(main())
