"""Look at decks in a real browser.

    python -m tests.tools.browser --decks [names] [--shots FOLDER]   (make browser)

Needs Chromium and Playwright (`pip install -c constraints.txt -e ".[browser]"`).
"""
import argparse
import sys
from pathlib import Path

from tests.tools import pages


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.browser", description="Look into a browser.")
    parser.add_argument("--decks", nargs="*", metavar="NAME", help="decks such as 03_quantizer; none: all")
    parser.add_argument("--shots", type=Path, help="a folder for a picture of every slide")
    options = parser.parse_args(arguments)
    try:
        with pages.chromium() as browser:
            findings = look_at_decks(browser, options.decks, options.shots)
    except pages.Missing as error:
        print(f"browser: {error}", file=sys.stderr)
        return 2
    return 1 if findings else 0


def look_at_decks(browser, names: list[str] | None, shots: Path | None) -> list[str]:
    "Print what is wrong with each deck, and return it."
    findings = []
    for path in decks(names):
        found = pages.check_deck(path, browser, shots / path.stem if shots else None)
        print("\n".join([f"{path.stem}: {len(found) or 'no'} findings", *(f"  {words}" for words in found)]))
        findings += found
    return findings


def decks(names: list[str] | None) -> list[Path]:
    "The files of the decks in _build/decks with these names; none: all."
    there = {path.name.removesuffix(".html").removesuffix(".slides"): path
             for path in sorted(pages.DECKS.glob("[0-9]*.html"))}
    if missing := [name for name in names or [] if name not in there]:
        raise pages.Missing(f"no deck {missing[0]} in {pages.DECKS}: `make decks` builds it")
    if not there:
        raise pages.Missing(f"no decks in {pages.DECKS}: `make decks` builds them")
    return [there[name] for name in names] if names else list(there.values())


if __name__ == "__main__":
    sys.exit(main())
