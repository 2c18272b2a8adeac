"""Write README.md from nbs/index.ipynb.

    python -m tests.tools.readme            execute index.ipynb, keep its outputs, write README.md + images
    python -m tests.tools.readme --no-run   the same from the committed outputs
    python -m tests.tools.readme --check    execute, write nothing, say what differs from the committed README

Markdown cells go over word by word; links to files are turned to the checkout's root. Code cells are hidden
unless they begin with `#| echo: true`. Of their outputs Markdown goes over, pictures become files in
nbs/images/ (named by `#| label: NAME`, described by `#| alt: TEXT`, or by themselves); what is printed goes
over where the code is shown.
"""
import argparse
import base64
import re
import sys
from pathlib import Path

from tests.tools import compare, lessons, notebooks

README = notebooks.ROOT / "README.md"
IMAGES = notebooks.NBS / "images"
LINK = re.compile(r"(!?\[[^\]]*\]\()(?![a-z]+:|#|/)([^)\s]+)(\))")
NOTE = "<!-- Written by `make readme` from nbs/index.ipynb: change that. -->"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.readme",
                                     description="Write README.md from index.ipynb.")
    parser.add_argument("--check", action="store_true",
                        help="compare with the committed README instead of writing")
    parser.add_argument("--no-run", action="store_true",
                        help="take the committed outputs instead of executing")
    options = parser.parse_args(arguments)
    data = notebooks.real_images()
    notebook = notebooks.read("index") if options.no_run else notebooks.execute("index", data=data)
    text, pictures = convert(notebook)
    if options.check:
        problems = readme_differences(text, pictures, compare_pictures=options.no_run or data is not None)
        print("\n".join(problems) or "README.md is what index.ipynb says")
        return 1 if problems else 0
    if not options.no_run:
        lessons.write_outputs("index", notebook)
    write(text, pictures)
    return 0


def write(text: str, pictures: dict[str, bytes]) -> None:
    "README.md and its pictures; pictures that no longer belong to it are deleted."
    README.write_text(text, encoding="utf-8")
    IMAGES.mkdir(exist_ok=True)
    for old in IMAGES.glob("*.png"):
        if old.name not in pictures:
            old.unlink()
    for name, data in pictures.items():
        (IMAGES / name).write_bytes(data)


def readme_differences(text: str, pictures: dict[str, bytes], compare_pictures: bool) -> list[str]:
    "What differs between the committed README and the one that the notebook makes."
    committed = README.read_text(encoding="utf-8").splitlines()
    pairs = zip(committed, text.splitlines())
    found = [f"line {number}: README.md has {old[:90]!r}, index.ipynb gives {new[:90]!r}"
             for number, (old, new) in enumerate(pairs, 1) if old != new][:5]
    if not found and len(committed) != len(text.splitlines()):
        found = [f"README.md has {len(committed)} lines, index.ipynb gives {len(text.splitlines())}"]
    have = {path.name for path in IMAGES.glob("*.png")}
    found += [f"nbs/images/{name}: in one of the two only" for name in sorted(have ^ set(pictures))]
    if compare_pictures:
        found += [f"nbs/images/{name}: {words}" for name in sorted(have & set(pictures))
                  if (words := compare.picture_difference((IMAGES / name).read_bytes(), pictures[name]))]
    return found


def convert(notebook: dict) -> tuple[str, dict[str, bytes]]:
    "The README's text and its pictures by file name."
    blocks, pictures = [], {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            blocks.append(from_root(cell["source"]))
        elif cell["cell_type"] == "code":
            blocks += code_blocks(cell, pictures)
    blocks = [block.strip("\n") for block in blocks if block.strip()]
    return "\n\n".join([*blocks, NOTE]) + "\n", pictures


def code_blocks(cell: dict, pictures: dict[str, bytes]) -> list[str]:
    "What a code cell adds to the README; its pictures are added to `pictures`."
    options = dict(re.findall(r"^#\|\s*([\w-]+):\s*(.*?)\s*$", cell["source"], re.M))
    echo = options.get("echo") == "true"
    code = re.sub(r"^#\|.*\n?", "", cell["source"], flags=re.M).strip()
    blocks = [f"```python\n{code}\n```"] if echo else []
    for kind, content in compare.shown(cell["outputs"]):
        if kind == "text/markdown":
            blocks.append(from_root(content))
        elif kind == "image/png":
            name = f"{options.get('label', f'picture-{len(pictures) + 1}')}.png"
            pictures[name] = base64.b64decode(content)
            alternative = options.get("alt") or alternative_of(cell["outputs"])
            blocks.append(f"![{alternative}](nbs/images/{name})")
        elif echo and content.strip():
            blocks.append(f"```\n{content.strip()}\n```")
    return blocks


def alternative_of(outputs: list[dict]) -> str:
    "The words that the first picture carries itself (appendix drawings), or none."
    found = [output.get("metadata", {}).get("image/png", {}) for output in outputs]
    return next((words["alt"] for words in found if isinstance(words, dict) and "alt" in words), "")


def from_root(text: str) -> str:
    "Links relative to nbs/ made relative to the checkout's root; code blocks stay as they are."
    parts = re.split(r"(^```.*?^```)", text, flags=re.M | re.S)
    return "".join(part if part.startswith("```") else LINK.sub(_turned, part) for part in parts)


def _turned(match: re.Match) -> str:
    target = Path("nbs") / match[2]
    return match[1] + str(target).replace("nbs/../", "", 1) + match[3]


if __name__ == "__main__":
    sys.exit(main())
