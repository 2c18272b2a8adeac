"""The site: every notebook with its committed outputs, the reference of the package, and a start page.

    python -m tests.tools.site           build _build/site (make site); nothing is executed
    python -m tests.tools.site --check   look through a built site: links, anchors, nothing from elsewhere

Decks are written to _build/decks if they are missing or old, then the pages' sources to _build/site-source:
notebooks without directives and slide-only cells, with anchors at exported cells and links to the reference,
and the pages of tests/tools/api.py. Sphinx turns them into HTML with the settings in nbs/site/conf.py. Decks,
notebooks and exercise books are copied beside the pages.
"""
import argparse
import contextlib
import functools
import html
import html.parser
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.tools import api, decks, notebooks, npm

HOME = notebooks.NBS / "site"
BUILD = notebooks.ROOT / "_build"
NEEDED = ("sphinx", "furo", "myst_nb")
MATHJAX = ("mathjax", "3.2.2")
FOLD_FROM = 17   # lines: longer cells that export something can be folded
# what the side bar calls a notebook, where neither its title nor its name serve
SHORT = {"index": "Manual",
         "08_optim": "08 · Training, the weights", "08_training": "08 · Training, the loop",
         "benchmark": "Speed", "blocks": "Many images, in blocks", "checks": "Checks of arguments",
         "cifar10": "CIFAR-10", "classifier": "Classifiers", "course": "Exercises' functions", "fid": "FID",
         "drawn": "Drawn images", "experiments": "Recorded runs", "folders": "A model's folder",
         "kl16": "KL-16", "latents": "Latents on disk", "options": "Options of the command",
         "pictures": "Image files",
         "shell": "What commands share", "solutions": "Solutions", "teaching": "Teaching with it"}
# the start page's groups of lessons
PARTS = {"Begin": ["00"], "Images and tokens": ["01", "02", "03"], "The generator": ["04", "05", "06", "07"],
         "Training": ["08"], "Writing pictures": ["09", "10", "11"],
         "All together, and larger": ["12", "13", "14", "15", "16", "17"]}
LISTED = ("contributing.md", "changelog.md")             # texts of the checkout in the side bar
PROSE_PAGES = ("glossary", "teaching")                   # their code makes tables: it is not shown
# what tokenbridge.course prints where it gives the answer of an exercise away
ANSWER = re.compile(r"^\d\d[emh](-\d)?: (the answer is|right \(yours)", re.M)
APART = ("index", "glossary", "teaching", "solutions")   # neither lessons nor appendices


class Missing(Exception):
    "The site cannot be built; the message is one line."


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.site", description="Build the site.")
    parser.add_argument("--check", action="store_true", help="look through the built site instead")
    options = parser.parse_args(arguments)
    out = BUILD / "site"
    if options.check:
        problems = look_through(out)
        print("\n".join(problems) or f"{out.relative_to(notebooks.ROOT)}: every link leads somewhere")
        return 1 if problems else 0
    started = time.time()
    try:
        build(out, BUILD / "site-source")
    except (Missing, npm.NoPackage) as error:
        print(f"site: {error}", file=sys.stderr)
        return 1
    print(f"_build/site/index.html: open it in a browser ({time.time() - started:.0f} s)")
    return 0


def missing() -> str:
    "What keeps the site from being built here, in one line, or nothing."
    absent = [name.replace("_", "-") for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        return f"needs {', '.join(absent)}: pip install -c constraints.txt -e '.[dev]'"
    if not (npm.cached(*MATHJAX) or npm.by_hand(*MATHJAX).is_file() or shutil.which("npm")):
        return "needs npm once, to fetch MathJax"
    return ""


def build(out: Path, source: Path) -> None:
    "Write the sources and let Sphinx make pages of them; a warning is an error."
    if reason := missing():
        raise Missing(reason)
    mathjax = npm.fetch(*MATHJAX)
    write_decks()
    write_sources(source)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-c", str(HOME),
               "-d", str(out.parent / f"{out.name}-doctrees"), str(source), str(out)]
    done = subprocess.run(command, cwd=notebooks.ROOT, capture_output=True, text=True)
    if done.returncode:
        raise Missing("Sphinx has complaints\n" + done.stderr[-6000:])
    (out / "_static" / "mathjax").mkdir(exist_ok=True)
    for name in ("es5/tex-svg-full.js", "LICENSE"):
        shutil.copyfile(mathjax / name, out / "_static" / "mathjax" / Path(name).name)
    (out / "_static" / "texts.js").write_text(search_texts(out), encoding="utf-8")
    copies(out)


def write_decks() -> None:
    "Write the decks unless all are newer than the lessons; a site that must do without them says why."
    names = decks.chosen([])
    sources = [notebooks.NBS / f"{name}.ipynb" for name in names]
    sources += [Path(decks.__file__), *decks.STYLE.iterdir()]
    written = [BUILD / "decks" / f"{name}.html" for name in [*names, "index"]]
    age = lambda path: path.stat().st_mtime if path.is_file() else 0
    if min(map(age, written)) > max(map(age, sources)):
        return
    try:
        decks.build(BUILD / "decks")
    except (decks.DeckError, npm.NoPackage) as error:
        print(f"site: slides are left out: {error}", file=sys.stderr)


def with_deck() -> list[str]:
    "The lessons whose slides were built."
    return [name for name in notebooks.names() if (BUILD / "decks" / f"{name}.html").is_file()]


def copies(out: Path) -> None:
    "Put beside the pages what they offer: notebooks, exercise books, decks; folders as in a checkout."
    from tests.tools import lab  # it imports the package, which nothing else here needs
    for name in ("nbs", "lab", "decks"):
        shutil.rmtree(out / name, ignore_errors=True)
    (out / "nbs").mkdir()
    for name in notebooks.names():
        shutil.copyfile(notebooks.NBS / f"{name}.ipynb", out / "nbs" / f"{name}.ipynb")
    with contextlib.redirect_stdout(None):
        lab.main(["--lab", str(out / "lab")])
    if with_deck():
        shutil.copytree(BUILD / "decks", out / "decks")


# ---- sources

def write_sources(folder: Path) -> None:
    "All pages as Sphinx reads them; what did not change is left alone, so that a second build is short."
    books = book_pages()
    files = {**books, **reference_pages(), **text_pages(books)}
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name, content in files.items():
        path = folder / name
        data = content.encode() if isinstance(content, str) else content
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


@functools.cache
def book(name: str) -> dict:
    return notebooks.read(name)


def title(name: str) -> str:
    "A notebook's first heading, without `Appendix`."
    heading = book(name)["cells"][0]["source"].splitlines()[0].removeprefix("# ")
    text = re.sub(r"^Appendix\W+", "", heading)
    return re.sub(r"^(\d\d) (?!·)", r"\1 · ", text[:1].upper() + text[1:])


def short(name: str) -> str:
    "What the side bar calls a notebook: a few words."
    if name in SHORT:
        return SHORT[name]
    return re.split(r"[:,] ", title(name))[0] if name[0].isdigit() else name.capitalize()


def table_row(name: str, key: str) -> str:
    "A row of the table that opens a notebook, such as Goal or Runtime."
    match = re.search(rf"^\| \*\*{key}\*\* \| (.*?) \|$", book(name)["cells"][0]["source"], re.M)
    return match[1] if match else ""


def lessons() -> list[str]:
    return [name for name in notebooks.names() if name[0].isdigit()]


def appendices() -> list[str]:
    return [name for name in notebooks.names() if not name[0].isdigit() and name not in APART]


def book_pages() -> dict[str, str]:
    "The notebooks as pages; the README's notebook becomes `manual`."
    links = names_to_link()
    pages = {}
    for name in notebooks.names():
        cells = index_cells(book(name)) if name == "index" else lesson_cells(name, links)
        if name == "glossary":
            cells = [with_terms(cell) for cell in cells]
        if name != "index":
            cells.insert(1, markdown(to_take(name)))
        cells = [{**cell, "id": f"cell{number}"} for number, cell in enumerate(cells)]
        page = {"cells": cells, "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3",
                                                            "language": "python"},
                                             "language_info": {"name": "python", "pygments_lexer": "python"}},
                "nbformat": 4, "nbformat_minor": 5}
        pages[f"{'manual' if name == 'index' else name}.ipynb"] = json.dumps(page)
    return pages


@functools.cache
def names_to_link() -> dict[str, dict[str, str]]:
    "For each module what exported names mean; a name of several modules means something only in these."
    homes: dict[str, list[str]] = {}
    for module in api.modules():
        for name in module.exported:
            homes.setdefault(name, []).append(module.name)
    common = {name: f"tokenbridge.{found[0]}.{name}" for name, found in homes.items() if len(found) == 1}
    return {module.name: common | {name: f"tokenbridge.{module.name}.{name}" for name in module.exported}
            for module in api.modules()} | {"": common}


def markdown(text: str) -> dict:
    return {"cell_type": "markdown", "id": "0", "metadata": {}, "source": text}


def lesson_cells(name: str, links: dict[str, dict[str, str]]) -> list[dict]:
    "The cells of a notebook as the site shows them."
    match = next((found for cell in book(name)["cells"]
                  if (found := re.search(r"^#\| default_exp (\w+)", cell["source"], re.M))), None)
    module = match[1] if match else ""
    names, seen, cells = links[module], set(), []
    for cell in book(name)["cells"]:
        if notebooks.for_decks_only(cell) or cell["cell_type"] not in ("markdown", "code"):
            continue
        if cell["cell_type"] == "markdown":
            seen = set() if cell["source"].startswith("#") else seen
            text = re.sub(r"^# .*", lambda match: f"# {title(name)}", cell["source"], count=1)
            text = linked(repository_links(text), names, seen)
            cells.append(markdown(text))
        else:
            cells += code_cell(cell, names, prose=name in PROSE_PAGES)
    return cells


def to_take(name: str) -> str:
    "A line with a notebook's files; no links of Sphinx's, for they are copied when the pages are there."
    found = [f'<a href="nbs/{name}.ipynb" download>notebook</a>']
    if name in lessons():
        found.append(f'<a href="lab/{name}.ipynb" download>exercise book</a>')
    if name in with_deck():
        found.append(f'<a href="decks/{name}.html">slides</a>')
    return f'<p class="in-reference">This page as: {" · ".join(found)}</p>'


def code_cell(cell: dict, names: dict[str, str], prose: bool = False) -> list[dict]:
    "A code cell without directives, with folds, an anchor and links where it exports; `prose`: its outputs."
    source = re.sub(r"^#\|.*\n?", "", cell["source"], flags=re.M).strip("\n")
    exported = re.search(r"^#\| exporti?$", cell["source"], re.M)
    tags = notebooks.tags(cell)
    hidden = prose and "show-input" not in tags
    if not source.strip() or "remove-cell" in tags or hidden and not cell["outputs"]:
        return []
    metadata = {"tags": ["remove-input"]} if hidden else folds(cell, source, exported is not None)
    if words := alternative(cell):
        metadata["mystnb"] = {**metadata.get("mystnb", {}), "image": {"alt": words}}
    page = [{"cell_type": "code", "id": cell["id"], "metadata": metadata, "source": source,
             "outputs": cell["outputs"], "execution_count": None}]
    if exported and (shown := [name for name in definitions(source) if name in names]):
        words = ", ".join(f"{{py:obj}}`{name} <{names[name]}>`" for name in shown)
        page.append(markdown(f"{{.in-reference}}\nIn the reference: {words}"))
    return ([markdown(f"(cell-{cell['id']})=")] if exported else []) + page


def folds(cell: dict, source: str, exported: bool) -> dict:
    "Metadata that let MyST-NB fold a cell's source or what it printed: long code, answers, solutions."
    lines, tags = len(source.splitlines()), notebooks.tags(cell)
    answers = any(ANSWER.search(notebooks.joined(output.get("text", ""))) for output in cell["outputs"])
    if "solution" in tags:
        part = "hide-cell" if cell["outputs"] else "hide-input"
        return fold(part, "Show the solution", "Hide the solution")
    if answers:
        return fold("hide-output", "Show the answer", "Hide the answer")
    if "exercise" in tags:
        return fold("hide-input", "One way to write it", "One way to write it")
    if imports_only(source) and lines > 5:
        return fold("hide-input", f"Show {lines} lines of imports", f"Hide {lines} lines of imports")
    if exported and lines >= FOLD_FROM:
        words = f"{defined(source)} · {lines} lines"
        return fold("hide-input", words, words, "opened")
    return {"tags": []}


def fold(part: str, closed: str, opened: str, *more: str) -> dict:
    "A part of a cell in a fold with these words; the tag `opened` is read by nbs/site/conf.py."
    return {"tags": [part, *more], "mystnb": {"code_prompt_show": closed, "code_prompt_hide": opened}}


def imports_only(source: str) -> bool:
    "Whether a cell does nothing but import."
    return all(isinstance(node, api.ast.Import | api.ast.ImportFrom) for node in tree(source))


def tree(source: str) -> list:
    try:
        return api.ast.parse(source).body
    except SyntaxError:   # a cell of another language
        return [None]


def definitions(source: str) -> list[str]:
    "The names that a cell defines."
    return [name for node in tree(source) if node is not None for name in api.names_of(node)]


def defined(source: str) -> str:
    "What a cell defines, in few words."
    names = definitions(source)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "Code"


def alternative(cell: dict) -> str:
    "Words for a cell's figure: its own, or the slide's statement; double quotes would end the attribute."
    found = [output.get("metadata", {}).get("image/png", {}) for output in cell["outputs"]]
    own = [words["alt"] for words in found if isinstance(words, dict) and "alt" in words]
    option = re.search(r"^#\| alt: (.*)$", cell["source"], re.M)
    takeaway = cell["metadata"].get("slide", {}).get("takeaway", "")
    has_image = any("image/png" in output.get("data", {}) for output in cell["outputs"])
    return (" ".join(own) or (option[1] if option else "") or takeaway or "Figure") if has_image else ""


# headings, blocks of code, formulas and links stay; a name in backticks is looked up
PROSE = re.compile(r"^#.*$|^```[\s\S]*?^```|\$[^$\n]*\$|\[[^\]\n]*\]\([^)\n]*\)|`(\w+)`|`[^`\n]*`", re.M)


def linked(text: str, names: dict[str, str], seen: set[str]) -> str:
    "Prose in which the first mention of an exported name in each section leads to the reference."
    def replaced(match: re.Match) -> str:
        name = match[1]
        if name is None or name in seen or name not in names:
            return match[0]
        seen.add(name)
        return f"{{py:obj}}`{name} <{names[name]}>`"
    return PROSE.sub(replaced, text)


RELATIVE = re.compile(r"(?<!!)\[([^\]]*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def repository_links(text: str, folder: Path = notebooks.NBS) -> str:
    "Links of a text in `folder` as links of the site: notebooks, pages made of other texts, copies of files."
    def turned(match: re.Match) -> str:
        target, anchor = (folder / match[2]).resolve(), match[3] or ""
        if target.parent == notebooks.NBS and target.suffix == ".ipynb":
            return f"[{match[1]}]({'manual' if target.stem == 'index' else target.stem}.ipynb{anchor})"
        if not target.is_file() or not target.is_relative_to(notebooks.ROOT):
            return match[1]   # a folder, or a file that another command writes
        path = target.relative_to(notebooks.ROOT).as_posix()
        return f"[{match[1]}]({text_name(path) + anchor if path.endswith('.md') else f'files/{path}'})"
    return RELATIVE.sub(turned, text)


def text_name(path: str) -> str:
    "The page that a text of the checkout becomes: data/README.md is data-readme.md."
    return path.lower().replace("/", "-")


def index_cells(notebook: dict) -> list[dict]:
    "The README's notebook: code only where it asks for it, as tests/tools/readme.py does."
    cells = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cells.append(markdown(repository_links(cell["source"])))
        elif cell["cell_type"] == "code" and cell["source"].strip():
            [page] = code_cell(cell, {}) or [None]
            if page is None:
                continue
            if "echo: true" not in cell["source"]:
                page["metadata"]["tags"] = ["remove-input", "remove-stdout", "remove-stderr"]
            for output in page["outputs"]:
                if text := output.get("data", {}).get("text/markdown"):
                    cells.append(markdown(repository_links(notebooks.joined(text))))
            page["outputs"] = [output for output in page["outputs"]
                               if "text/markdown" not in output.get("data", {})]
            cells.append(page)
    return cells


def term_id(term: str) -> str:
    return "term-" + re.sub(r"[^a-z0-9]+", "-", term.lower()).strip("-")


def with_terms(cell: dict) -> dict:
    "A cell of the glossary whose terms can be linked: `glossary.html#term-level`."
    if "| our term | usual words |" not in cell["source"]:
        return cell
    def anchored(match: re.Match) -> str:
        words = re.split(r", | \(", match[1].replace("`", ""))
        marks = "".join(f'<span id="{term_id(word)}"></span>' for word in words if word.strip(" )"))
        return (f'| {marks}{match[1]} <a class="headerlink" href="#{term_id(words[0])}" '
                f'title="Link to this term">#</a> |')
    rows = cell["source"].splitlines()
    head = next(at for at, row in enumerate(rows) if row.startswith("| our term"))
    rows[head + 2:] = [re.sub(r"^\| ([^|]+?) \|", anchored, row) for row in rows[head + 2:]]
    return {**cell, "source": "\n".join(rows)}


# ---- pages that are not notebooks

def reference_pages() -> dict[str, str]:
    "The pages of the API reference."
    titles = {name: short(name) for name in notebooks.names()}
    sections = {}
    for name in notebooks.names():
        heading = ""
        for cell in book(name)["cells"]:
            if cell["cell_type"] == "markdown" and not notebooks.for_decks_only(cell):
                heading = next(iter(reversed(re.findall(r"^##+ (.*)$", cell["source"], re.M))), heading)
            sections[cell["id"]] = titles[name] + (f": {heading}" if heading else "")
    modules = api.modules()
    pages = {f"api/{module.name}.md": api.page(module, titles, sections) for module in modules}
    return pages | {"api/index.md": api.overview(modules, titles)}


def text_pages(books: dict[str, str]) -> dict[str, str | bytes]:
    "Start page, lists, texts of the checkout, and copies of the files that pages link to."
    pages: dict[str, str | bytes] = {}
    for path in sorted(HOME.glob("*.md")):
        pages[path.name] = filled(path.read_text(encoding="utf-8"))
    for path in sorted((notebooks.NBS / "images").glob("*.png")):
        pages[f"images/{path.name}"] = path.read_bytes()
    texts = {text_name(path.relative_to(notebooks.ROOT).as_posix()): path for path in
             [*notebooks.ROOT.glob("*.md"), *(notebooks.ROOT / "data").rglob("*.md")]}
    todo = [*books.values(), *(page for page in pages.values() if isinstance(page, str))]
    todo += [f"](x)]({name})" for name in LISTED]
    while todo:   # what pages link to, and what these link to
        text = todo.pop()
        for target in re.findall(r"\]\(files/([^)#\s]+)\)", text):
            pages[f"files/{target}"] = (notebooks.ROOT / target).read_bytes()
        for target in re.findall(r"\]\(([\w.-]+\.md)", text):
            if target in texts and target not in pages:
                page = repository_links(texts[target].read_text(encoding="utf-8"), texts[target].parent)
                pages[target] = page if target in LISTED else f"---\norphan: true\n---\n\n{page}"
                todo.append(page)
    return pages


def filled(text: str) -> str:
    "A page of nbs/site whose marks {{...}} are replaced by lists made from the notebooks."
    makers = {"lessons": lesson_map, "teaching": teaching_door, "appendices": appendix_list,
              "decks": deck_list, "toctrees": toctrees}
    return re.sub(r"^\{\{(\w+)\}\}$", lambda match: makers[match[1]](), text, flags=re.M)


def lesson_map() -> str:
    "The lessons as cards in groups: name, motto, minutes."
    lines = []
    for part, numbers in PARTS.items():
        cards = [card(name) for name in lessons() if name[:2] in numbers]
        lines += ["{.part}", part, "", "::::{container} cards", "", *cards, "::::", ""] if cards else []
    return "\n".join(lines)


def card(name: str) -> str:
    "A lesson on the start page: its name, its motto, minutes to read and for the exercises."
    motto = re.search(r"^> (.*)$", book(name)["cells"][0]["source"], re.M)
    words = re.split(r"(?<=[.?!]) +Contains ", motto[1])[0] if motto else ""
    minutes = [found for found in re.findall(r"about (\d+)", table_row(name, "To read")) if int(found) > 4]
    time_needed = f"\n\n{{.minutes}}\n{' + '.join(minutes)} minutes" if minutes else ""
    return f":::{{container}} card\n[{short(name)}]({name}.ipynb)\n\n{words}{time_needed}\n:::\n"


def teaching_door() -> str:
    "What an instructor finds; the teaching page where there is one."
    first = ("[What you need on Monday](teaching.ipynb): a sheet for ninety minutes, plans for a day and "
             "a week, objectives, questions, exam, projects. " if "teaching" in notebooks.names() else "")
    return first + ("[Slides](slides.md) are built from the lessons (`make decks`). `make lab` writes "
                    "exercise books without solutions, `make grade` judges what comes back.")


def appendix_list() -> str:
    "The appendices: name and goal."
    rows = [f"| [{short(name)}]({name}.ipynb) | {table_row(name, 'Goal')} |" for name in appendices()]
    names = "\n".join(f"{short(name)} <{name}>" for name in appendices())
    return "\n".join(["| appendix | what it is for |", "| --- | --- |", *rows, "",
                      ":::{toctree}", ":hidden:", "", names, ":::"])


def deck_list() -> str:
    "The decks that were built, or how to build them."
    if not (built := with_deck()):
        return "The slides could not be built when this site was: `make decks` says why."
    return "\n".join(f'- <a href="decks/{name}.html">{short(name)}</a>' for name in built)


def toctrees() -> str:
    "What the side bar lists."
    def tree_of(caption: str, entries: list[str]) -> str:
        return "\n".join([":::{toctree}", ":hidden:", f":caption: {caption}", "", *entries, ":::", ""])
    of = lambda names: [f"{short(name)} <{name}>" for name in names]
    have = notebooks.names()
    return "\n".join([
        tree_of("Start", ["Manual <manual>", *of(["glossary"])]),
        tree_of("The course", of([*lessons(), "solutions"])),
        tree_of("For instructors", [*of([name for name in ["teaching"] if name in have]), "Slides <slides>"]),
        tree_of("Reference", ["API <api/index>", "Appendices <appendices>",
                              "Changing something <contributing>", "What has changed <changelog>"])])


# ---- search

class Text(html.parser.HTMLParser):
    "The text of a page inside its sections: what the search shows around a hit."

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.open: list[str] = []    # the elements around, from the article on
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        if tag == "article" and values.get("role") == "main" or self.open and tag not in VOID:
            skipped = tag in ("script", "style") or "headerlink" in (values.get("class") or "")
            self.open.append("skipped" if skipped else tag)
            if tag == "section":
                self.pieces.append(f'<section id="{values.get("id", "")}">')

    def handle_endtag(self, tag: str) -> None:
        if self.open and tag not in VOID:
            self.open.pop()
            self.pieces += ["</section>"] if tag == "section" else []

    def handle_data(self, data: str) -> None:
        if self.open and "skipped" not in self.open:
            text = re.sub(r"\\[()\[\]]", "", re.sub(r"\s+", " ", data))   # formulas without their marks
            self.pieces.append(html.escape(text, quote=False))


VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


def search_texts(site: Path) -> str:
    "The texts of all pages as JavaScript; see nbs/site/static/summaries.js."
    texts = {path.relative_to(site).with_suffix("").as_posix():
             f'<div role="main">{"".join(Text(path.read_text(encoding="utf-8")).pieces)}</div>'
             for path in sorted(site.rglob("*.html")) if "decks" not in path.relative_to(site).parts}
    return f"var SITE_TEXTS = {json.dumps(texts, ensure_ascii=False)};\n"


# ---- what a built site must hold

class Page(html.parser.HTMLParser):
    "The anchors of a page, its links, and what a browser would load for it."

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attributes}
        self.anchors |= {values[key] for key in ("id", "name") if key in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and "href" in values and values.get("rel") not in ("canonical",):
            self.loads.append(values["href"])
        self.loads += [values[key] for key in ("src", "srcset", "poster", "data") if key in values]


def look_through(site: Path) -> list[str]:
    "What is wrong with a built site: links to nowhere, anchors that are missing, loads from elsewhere."
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))
             if "decks" not in path.relative_to(site).parts}
    found = [f"{site.name}: no pages"] if not pages else []
    for path, page in pages.items():
        where = path.relative_to(site).as_posix()
        found += [f"{where}: loads {link}" for link in page.loads if urlsplit(link).netloc]
        for link in page.links + page.loads:
            if problem := broken(link, path, pages):
                found.append(f"{where}: {problem}")
    for sheet in sorted(site.rglob("*.css")):
        found += [f"{sheet.relative_to(site)}: loads {link}" for link in
                  re.findall(r"url\(['\"]?((?:https?:)?//[^)'\"]+)", sheet.read_text(encoding="utf-8"))]
    return found


def broken(link: str, path: Path, pages: dict[Path, Page]) -> str:
    "What is wrong with a link of a page, or nothing; addresses elsewhere are not asked."
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return ""
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    target = target / "index.html" if target.is_dir() else target
    if not target.exists():
        return f"{link}: no such file"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return f"{link}: no such anchor"
    return ""


if __name__ == "__main__":
    sys.exit(main())
