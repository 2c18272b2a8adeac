"""Write decks of slides from the lessons: reveal.js, offline, from the committed outputs.

    python -m tests.tools.decks              every lesson that says what its slides are   (make decks)
    python -m tests.tools.decks 03 06_head   these (a beginning of the name is enough)
    python -m tests.tools.decks 09 --sharp   executes the lesson first, for figures of a higher resolution

What a lesson says about its slides is described in CONTRIBUTING.md. Nothing is executed without `--sharp`,
and no notebook is changed. reveal.js and MathJax come from npm, once; a deck loads nothing from a network.
"""
import argparse
import base64
import copy
import html
import json
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.tools import notebooks, npm
from tokenbridge.files import atomic_write

OUT = notebooks.ROOT / "_build" / "decks"
STYLE = Path(__file__).parent / "deck"       # the template, the style sheet, the script that starts a deck
REVEAL, MATHJAX = ("reveal.js", "5.2.1"), ("mathjax", "3.2.2")
FONTS = "dist/theme/fonts/source-sans-pro"
LIBRARY = {                                  # what a deck needs of each package, and its name in lib/
    REVEAL: {"dist/reset.css": "reset.css", "dist/reveal.css": "reveal.css", "dist/reveal.js": "reveal.js",
             "plugin/notes/notes.js": "notes.js", "LICENSE": "reveal.LICENSE",
             f"{FONTS}/LICENSE": "source-sans-pro.LICENSE",
             **{f"{FONTS}/source-sans-pro-{face}.woff": f"source-sans-pro-{face}.woff"
                for face in ("regular", "italic", "semibold", "semibolditalic")}},
    MATHJAX: {"es5/tex-svg-full.js": "tex-svg-full.js", "LICENSE": "mathjax.LICENSE"}}
MOST_WORDS, MOST_LINES, MOST_COLUMNS = 12, 16, 80
MOST_LINES_WITH_OUTPUT, MOST_COLUMNS_PRINTED = 20, 100
TEXT_SIZES = (36, 33, 30, 27, 24)            # pixels, of a slide that is 720 pixels high
FIGURE_BESIDE = 220                          # pixels that a figure gets beside text or code, at least
LARGEST_PIXEL, SHARP_DPI = 3, 220            # how far a figure is enlarged; what --sharp makes of it
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.M | re.S)
TYPES = ("slide", "subslide", "fragment", "notes", "skip", "-", None)


class DeckError(Exception):
    "What keeps a lesson from becoming a deck, one line for each cell; or a tool that is missing."


@dataclass
class Part:
    "A piece of a slide: markdown, code, output or figure."
    kind: str
    text: str               # markdown, source, printed text, or a PNG in base64
    fragment: bool = False  # True: it appears on the next key press


@dataclass
class Slide:
    "One slide: an assertion as its title, the evidence below it, and what the speaker may say."
    title: str
    section: str = ""
    parts: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)   # markdown
    opening: bool = False

    @property
    def kinds(self) -> str:
        "Kinds of its parts, for the style sheet and the tests."
        return "opening" if self.opening else " ".join(part.kind for part in self.parts)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.decks", description="Write decks of slides.")
    parser.add_argument("names", nargs="*", help="lessons such as 03; none: all with slides")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder to write")
    parser.add_argument("--sharp", action="store_true", help="execute the lessons for sharper figures")
    options = parser.parse_intermixed_args(arguments)
    try:
        for name, deck in build(options.out, options.names, options.sharp):
            print(f"{options.out / name}.html: {len(deck)} slides")
    except (DeckError, npm.NoPackage, notebooks.LessonFailed) as error:
        print(error, file=sys.stderr)
        return 1
    if not options.names:
        print(options.out / "index.html")
    return 0


def build(out: Path, wanted: list[str] = (), execute: bool = False) -> list[tuple[str, list[Slide]]]:
    "Write decks into a folder, and their index if all are wanted; what was written, by lesson."
    names, written = chosen(wanted), []
    library(out / "lib")
    for name in names:
        written.append((name, slides(sharp(name) if execute else notebooks.read(name), name)))
        atomic_write(out / f"{name}.html", page(*written[-1]))
    if not wanted:
        atomic_write(out / "index.html", index(written))
    return written


def chosen(wanted: list[str]) -> list[str]:
    "The lessons asked for, by the beginnings of their names; none: all with slides of their own."
    lessons = [name for name in notebooks.names() if name[0].isdigit()]
    names = [name.rsplit("/", 1)[-1].removesuffix(".ipynb") for name in wanted]
    for one in names:
        if not any(name.startswith(one) for name in lessons):
            raise DeckError(f"no lesson begins with {one!r}; there are {', '.join(lessons)}")
    if names:
        return [name for name in lessons if any(name.startswith(one) for one in names)]
    return [name for name in lessons if has_slides(notebooks.read(name))]


def has_slides(notebook: dict) -> bool:
    "Whether any cell says what it is in a deck."
    return any(cell["metadata"].get("slide") or cell["metadata"].get("slideshow")
               or notebooks.for_decks_only(cell) for cell in notebook["cells"])


# ---- from cells to slides

def slides(notebook: dict, name: str = "notebook") -> list[Slide]:
    "The slides of a lesson; a DeckError names every cell that does not fit."
    deck = _Deck()
    for number, cell in enumerate(notebook["cells"]):
        try:
            deck.add_cell(notebooks.uncovered(cell))
        except DeckError as error:
            deck.problems.append(f"{name}.ipynb, cell {number} ({cell.get('id', '?')}): {error}")
    if not deck.slides:
        deck.problems.append(f"{name}.ipynb: no title cell (# Title, > one line), so no deck")
    if deck.problems:
        raise DeckError("\n".join(deck.problems))
    deck.slides[-1].notes += deck.waiting
    return deck.slides


class _Deck:
    "Takes the cells one after the other; `waiting` are notes for the next slide of the section."

    def __init__(self):
        self.slides: list[Slide] = []
        self.problems: list[str] = []
        self.section, self.waiting, self.empty = "", [], True

    def add_cell(self, cell: dict) -> None:
        kind = slide_type(cell)
        if kind == "skip":
            return
        if cell["cell_type"] == "markdown":
            self.add_markdown(cell, kind)
        elif cell["cell_type"] == "code":
            self.add_code(cell, kind)

    def add_markdown(self, cell: dict, kind: str | None) -> None:
        level, heading, text = split_heading(cell["source"])
        alone, slide = notebooks.for_decks_only(cell), cell["metadata"].get("slide", {})
        if kind in ("fragment", "-"):
            check_text(cell["source"])
            self.extend([Part("markdown", cell["source"], kind == "fragment")])
        elif kind == "slide" or (alone and kind is None):
            title = slide.get("title") or heading
            if not title:
                raise DeckError("a slide needs a title: begin the cell with a heading")
            if heading and not alone:   # a section that is a slide itself
                self.open_section(heading, "")
            check_text(text)
            self.begin(title, [Part("markdown", text)] if text else [], slide)
        elif level == 1 and not self.slides and kind is None:
            self.slides.append(opening(heading, text))
            self.empty = False
        elif heading and kind is None:
            self.open_section(heading, text)
        else:
            self.note(cell["source"])

    def add_code(self, cell: dict, kind: str | None) -> None:
        slide, pictures = cell["metadata"].get("slide", {}), images(cell)
        takeaway = slide.get("takeaway", "")
        if takeaway and not pictures:
            raise DeckError("it has a takeaway and no figure")
        if len(takeaway.split()) > MOST_WORDS:
            raise DeckError(f"a takeaway has at most {MOST_WORDS} words, this one {len(takeaway.split())}")
        if kind == "notes" or (kind is None and not takeaway):
            return
        parts = shown(cell, pictures, both=kind is not None and "show-input" in notebooks.tags(cell))
        if kind in ("fragment", "-"):
            for part in parts:
                part.fragment = kind == "fragment"
            self.extend(parts)
        else:
            self.begin(takeaway or slide.get("title") or self.section, parts, slide)

    def begin(self, title: str, parts: list[Part], slide: dict) -> None:
        section = slide.get("section", "" if self.section == title else self.section)
        self.slides.append(Slide(title, section, parts, self.waiting))
        self.waiting, self.empty = [], False

    def extend(self, parts: list[Part]) -> None:
        if not self.slides:
            raise DeckError("there is no slide before it to add to")
        self.slides[-1].parts += parts

    def open_section(self, heading: str, text: str) -> None:
        "Notes of a section without a slide go to the slide before it, under the section's name."
        if self.waiting and self.slides:
            self.slides[-1].notes += [f"**{self.section}**", *self.waiting]
        self.section, self.waiting, self.empty = heading, [text] if text else [], True

    def note(self, text: str) -> None:
        (self.waiting if self.empty or not self.slides else self.slides[-1].notes).append(text)


def slide_type(cell: dict) -> str | None:
    "What JupyterLab's slide type says; a subslide is a slide."
    kind = cell["metadata"].get("slideshow", {}).get("slide_type")
    if kind not in TYPES:
        raise DeckError(f"slide_type: expected one of {', '.join(TYPES[:-1])}, got {kind!r}")
    return "slide" if kind == "subslide" else kind


def split_heading(source: str) -> tuple[int, str, str]:
    "Level and text of the heading that begins a cell, and the rest; (0, '', source) without one."
    match = re.match(r"\s*(#{1,6}) +(.*?)\s*(?:\n|$)", source)
    return (len(match[1]), match[2], source[match.end():].strip()) if match else (0, "", source.strip())


def opening(heading: str, text: str) -> Slide:
    "The title slide: the title, the quoted line, the goal. The whole cell becomes notes."
    quoted = " ".join(line.lstrip("> ") for line in text.splitlines() if line.startswith(">"))
    quoted = re.sub(r"\s*\bContains [^.]*\.", "", quoted)   # that sentence is for the module
    goal = re.search(r"\|\s*\*\*Goal\*\*\s*\|\s*(.*?)\s*\|", text)
    parts = [Part("markdown", f"> {quoted}")] if quoted else []
    parts += [Part("markdown", f"**Goal:** {goal[1]}")] if goal else []
    return Slide(heading, parts=parts, notes=[text] if text else [], opening=True)


def shown(cell: dict, pictures: list[Part], both: bool) -> list[Part]:
    "What a slide shows of a code cell: the figure alone, its source with what it gave, or what it printed."
    if pictures and not both:
        return pictures
    alone = cell["metadata"].get("slide", {}).get("show") == "output"
    source = "" if alone else re.sub(r"^#\|.*\n?", "", cell["source"], flags=re.M).strip("\n")
    printed = "" if pictures else printed_text(cell)
    if alone and not printed:
        raise DeckError("it shows its output alone and printed nothing")
    check_lines(source, "source")
    lines = len(source.splitlines()) + len(printed.splitlines())
    if printed:
        check_lines(printed, "output", MOST_COLUMNS_PRINTED)
        if lines > MOST_LINES_WITH_OUTPUT:
            raise DeckError(f"source and output have {lines} lines, a slide has room for "
                            f"{MOST_LINES_WITH_OUTPUT}: show it shortened in a slide-only cell")
    parts = [Part("code", source), *pictures, Part("output", printed)]
    return [part for part in parts if part.text]


def check_lines(text: str, what: str, columns: int = MOST_COLUMNS) -> None:
    "DeckError where code or output is too long or too wide for a slide."
    lines = text.splitlines()
    widest = max(map(len, lines), default=0)
    if len(lines) > MOST_LINES:
        raise DeckError(f"{what} of {len(lines)} lines, a slide has room for {MOST_LINES}: "
                        "show it shortened in a slide-only cell")
    if widest > columns:
        raise DeckError(f"{what} of {widest} columns, a slide has room for {columns}: "
                        "show it shortened in a slide-only cell")


def check_text(text: str) -> None:
    "The same for the code blocks of a markdown cell; its pictures must be there."
    for block in FENCE.findall(text):
        check_lines(block, "code block")
    for target in re.findall(r"!\[[^\]]*\]\(([^)\s]+)", text):
        if not (notebooks.NBS / target).is_file():
            raise DeckError(f"there is no picture nbs/{target}")


def images(cell: dict) -> list[Part]:
    "The pictures of a code cell."
    found = [output.get("data", {}).get("image/png") for output in cell.get("outputs", [])]
    return [Part("figure", notebooks.joined(data).replace("\n", "")) for data in found if data]


def printed_text(cell: dict) -> str:
    "What a code cell printed and returned, as text."
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "")
             for output in cell.get("outputs", []) if output.get("name") != "stderr"]
    return "\n".join(notebooks.joined(text).strip("\n") for text in texts if text)


# ---- from slides to a page

def page(name: str, deck: list[Slide]) -> str:
    "A deck as HTML that expects lib/ beside it."
    from pygments.formatters import HtmlFormatter
    css = HtmlFormatter(style="default").get_style_defs(".highlight")
    return templates().get_template("deck.html.j2").render(name=name, deck=deck, pygments=css,
                                                           lesson=name.split("_")[0])


def index(written: list[tuple[str, list[Slide]]]) -> str:
    "The page that lists the decks."
    return templates().get_template("index.html.j2").render(decks=written)


def templates():
    "The templates with the filters that turn parts of a slide into HTML."
    import jinja2
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(STYLE), autoescape=True, trim_blocks=True,
                                     lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"markdown": markdown, "inline": inline, "part": part_html, "plain": plain,
                            "letters": letters}
    return environment


def markdown(text: str):
    "Markdown as HTML, as nbconvert makes it; links to other notebooks lead nowhere from a deck and go."
    from markupsafe import Markup
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
    text = re.sub(r"(?<!!)\[([^\]\n]+)\]\((?![a-z]+:)[^)\s]*\)", r"\1", text)
    renderer = IPythonRenderer(escape=False, exclude_anchor_links=True, embed_images=True,
                               path=str(notebooks.NBS))
    return Markup(MarkdownWithMath(renderer=renderer).render(text))


def inline(text: str):
    "One line of markdown as HTML without its paragraph."
    return type(markdown(""))(re.sub(r"^<p>|</p>\s*$", "", markdown(text)))


def plain(text: str) -> str:
    "One line of markdown without its marks."
    return html.unescape(re.sub(r"<[^>]+>", "", inline(text)))


def part_html(part: Part, slide: Slide):
    "A part of a slide as HTML."
    from markupsafe import Markup, escape
    if part.kind == "figure":
        width, height = (LARGEST_PIXEL * size for size in picture_size(base64.b64decode(part.text)))
        inner = (f'<img src="data:image/png;base64,{part.text}" alt="{escape(plain(slide.title))}" '
                 f'style="max-width: {width}px; max-height: {height}px">')
    elif part.kind == "code":
        inner = markdown(f"```python\n{part.text}\n```")
    elif part.kind == "output":
        inner = f"<pre>{escape(part.text)}</pre>"
    else:
        inner = markdown(part.text)
    return Markup(f'<div class="{part.kind}{" fragment" if part.fragment else ""}">{inner}</div>')


def picture_size(data: bytes) -> tuple[int, int]:
    "Width and height that a PNG says it has."
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


# ---- letters as large as a slide allows (the browser's check tells what still runs off)

def letters(slide: Slide) -> str:
    "Sizes of text and code on a slide in pixels, as CSS: the largest with which all of it fits."
    blocks, texts = [], []
    for part in slide.parts:
        blocks += [part.text] if part.kind in ("code", "output") else []
        if part.kind == "markdown":
            blocks += FENCE.findall(part.text)
            texts.append(FENCE.sub("", part.text))
    lines = [line for block in blocks for line in block.splitlines()]
    room = (540 if len(plain(slide.title)) < 60 else 494) - 38 * len(blocks)
    room -= FIGURE_BESIDE * any(part.kind == "figure" for part in slide.parts)
    widest = 1110 / (0.605 * max(map(len, lines), default=1))
    for text in TEXT_SIZES:
        left = room - sum(text_height(one, text) for one in texts)
        code = min(26, widest, left / (1.3 * len(lines))) if lines else 26
        if left >= 0 and code >= 20:
            break
    return f"--text: {text}px; --code: {max(18, code):.1f}px"


def text_height(text: str, size: int) -> float:
    "About how many pixels a text without code takes at a size of its letters."
    height = 0.0
    for line in re.sub(r"\$\$.*?\$\$", "FORMULA", text, flags=re.S).splitlines():
        if "FORMULA" in line:
            height += 3 * size
        elif re.match(r"\s*\|[\s|:-]+$", line) or not line.strip():
            continue
        else:
            letters_in_a_line = 1120 / (0.47 * size)
            seen = re.sub(r"[{}$*`^_]", "", re.sub(r"\\[a-zA-Z]+|\\.", "x", line))   # a command: a letter
            height += 1.3 * size * -(-len(seen) // letters_in_a_line) + 14
    return height


# ---- what a deck needs beside it

def library(target: Path) -> None:
    "Put reveal.js, MathJax, fonts, style sheet and script into a folder; npm fetches what the cache lacks."
    target.mkdir(parents=True, exist_ok=True)
    for package, files in LIBRARY.items():
        folder = npm.fetch(*package)
        for inside, name in files.items():
            shutil.copyfile(folder / inside, target / name)
    for name in ("deck.css", "deck.js"):
        shutil.copyfile(STYLE / name, target / name)


def sharp(name: str) -> dict:
    "A lesson executed from a copy with figures of a higher resolution; the committed notebook stays."
    first = ("%config InlineBackend.print_figure_kwargs = "
             f"{{'bbox_inches': 'tight', 'dpi': {SHARP_DPI}}}")
    notebook = copy.deepcopy(notebooks.read(name))
    notebook["cells"].insert(0, {"cell_type": "code", "id": "sharp", "metadata": {}, "outputs": [],
                                 "execution_count": None, "source": first})
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{name}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
        executed = notebooks.execute(name, data=notebooks.real_images(), folder=Path(folder))
    return executed | {"cells": executed["cells"][1:]}


if __name__ == "__main__":
    sys.exit(main())
