"The site and what it is built from: packages of npm, the pages' sources, the reference, links."
import ast
import io
import os
import re
import tarfile

import pytest

from tests.test_tools import book, code, prose, shown
from tests.tools import api, decks, notebooks, npm, site


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(npm, "CACHE", tmp_path / "npm")
    return tmp_path


def stand_in(folder, package: str | None):
    "A program that does what `npm pack` does: writes one packed file, or fails."
    if package:
        with tarfile.open(folder / "packed.tgz", "w:gz") as archive:
            entry = tarfile.TarInfo("package/es5/main.js")
            entry.size = len(package)
            archive.addfile(entry, io.BytesIO(package.encode()))
    program = folder / "npm-stand-in"
    program.write_text(f"#!/bin/sh\ncp {folder}/packed.tgz x-1.tgz 2>/dev/null || "
                       "{ echo 'npm error code E404' >&2; echo 'npm error No match found' >&2; exit 1; }\n")
    program.chmod(0o755)
    return str(program)


def test_npm_fetches_once(folder, monkeypatch):
    monkeypatch.setattr(npm.shutil, "which", lambda name: stand_in(folder, "hello"))
    found = npm.fetch("@a/x", "1")
    assert (found / "es5" / "main.js").read_text() == "hello" and npm.cached("@a/x", "1") == found
    assert [path.name for path in npm.CACHE.iterdir()] == ["@a_x-1"], "no left-overs"
    monkeypatch.setattr(npm.shutil, "which", lambda name: None)
    assert npm.fetch("@a/x", "1") == found, "the second call needs no npm"


@pytest.mark.parametrize("there, message", [(False, "npm, which would fetch it, is not installed"),
                                            (True, "npm could not fetch x 1: No match found")])
def test_npm_says_in_one_line_what_is_missing(folder, monkeypatch, there, message):
    monkeypatch.setattr(npm.shutil, "which", lambda name: stand_in(folder, None) if there else None)
    with pytest.raises(npm.NoPackage, match=message) as error:
        npm.fetch("x", "1")
    assert "\n" not in str(error.value) and not npm.cached("x", "1")


def test_an_archive_can_be_put_there_by_hand(folder, monkeypatch):
    monkeypatch.setattr(npm.shutil, "which", lambda name: None)
    stand_in(folder, "hello")
    npm.CACHE.mkdir()
    (folder / "packed.tgz").rename(npm.CACHE / "a-x-1.tgz")
    (npm.CACHE / "y-2.tgz").write_text("torn")
    assert (npm.fetch("@a/x", "1") / "es5" / "main.js").read_text() == "hello"
    with pytest.raises(npm.NoPackage, match="y-2.tgz: not the file of npm pack y@2"):
        npm.fetch("y", "2")


# ---- sources of the pages

@pytest.fixture
def lesson(monkeypatch):
    "The page that a lesson of these cells becomes."
    def page(*cells: dict) -> list[dict]:
        first = code("#| default_exp quantizer")
        monkeypatch.setattr(site, "book", lambda name: book(prose("# 03 · Short: and long"), first, *cells))
        return site.lesson_cells("03_quantizer", site.names_to_link())[1:]
    return page


def test_directives_and_cells_for_slides_are_not_shown(lesson):
    slide = {**prose("## A slide"), "metadata": {"tags": ["slide-only"]}}
    cells = lesson(prose("## Rounding"), slide, code("#| exporti\nx = 1"), code("#| hide"))
    assert [cell["source"] for cell in cells if cell["cell_type"] == "code"] == ["x = 1"]
    assert not any("A slide" in cell["source"] for cell in cells)


def test_exported_cells_have_an_anchor_and_lead_to_the_reference(lesson):
    cell = code("#| export\ndef quantize(x):\n    return x")
    anchor, page, words = lesson(cell)
    assert anchor["source"] == f"(cell-{cell['id']})=" and page["metadata"]["tags"] == []
    assert "{py:obj}`quantize <tokenbridge.quantizer.quantize>`" in words["source"]


def test_folds(lesson):
    long = "#| export\ndef quantize(x):\n" + "    x += 1\n" * 20
    imports = "".join(f"import m{number}\n" for number in range(6))
    _, exported, _, imported, solved = lesson(code(long), code(imports), code("y = 2", tags=["solution"]))
    assert exported["metadata"]["tags"] == ["hide-input", "opened"]
    assert imported["metadata"]["tags"] == ["hide-input"] == solved["metadata"]["tags"]
    assert solved["metadata"]["mystnb"]["code_prompt_show"] == "Show the solution"


def printed(text: str) -> dict:
    return {"output_type": "stream", "name": "stdout", "text": text}


@pytest.mark.parametrize("text, tags, seen, words", [
    ("03e: the answer is 94.05; no guess was made\n", [], "hide-output", "Show the answer"),
    ("{'a': 1}\n08e-2: the answer is [1, 2]; no guess was made\n", [], "hide-output", "Show the answer"),
    ("03h: right (yours: 0.18)\n", ["solution"], "hide-cell", "Show the solution"),
    ("", ["exercise", "03m"], "hide-input", "One way to write it"),
    ("03e: no guess yet. Write yours as guess=...\n", [], None, None),
    ("the answer is yes\n", [], None, None)])
def test_what_gives_an_exercise_away_begins_folded(lesson, text, tags, seen, words):
    page, = lesson(code("x = 1", *[printed(text)] * bool(text), tags=tags))
    assert page["metadata"]["tags"] == [seen] * bool(seen)
    assert page["metadata"].get("mystnb", {}).get("code_prompt_show") == words


def test_every_answer_of_a_lesson_is_folded():
    names = site.names_to_link()
    open_ones = [f"{name}: {text[:60]}" for name in site.lessons() for cell in site.lesson_cells(name, names)
                 for output in cell.get("outputs", []) if cell["metadata"]["tags"] != ["hide-output"]
                 and "the answer is" in (text := notebooks.joined(output.get("text", "")))]
    assert not open_ones


def test_pages_for_instructors_show_results_without_code(monkeypatch):
    cells = [prose("# Appendix: teaching"), code("def table():\n    ..."),
             code("table()", printed("a table")), code("def project():\n    ...", tags=["show-input"])]
    monkeypatch.setattr(site, "book", lambda name: book(*cells))
    cells.append(code("print(1)", printed("1"), tags=["remove-cell"]))
    _, table, project = site.lesson_cells("teaching", {"": {}})
    assert table["source"] == "table()" and table["metadata"]["tags"] == ["remove-input"]
    assert project["source"].startswith("def project") and project["metadata"]["tags"] == []


def test_a_figure_has_its_words(lesson):
    own = {**shown("image/png", ""), "metadata": {"image/png": {"alt": "a drawing"}}}
    first, second = code("draw()", own), code("plot()", shown("image/png", ""))
    second["metadata"]["slide"] = {"takeaway": "Few levels cost little"}
    words = [cell["metadata"]["mystnb"]["image"]["alt"] for cell in lesson(first, second)]
    assert words == ["a drawing", "Few levels cost little"]


def test_the_first_mention_in_a_section_is_a_link(lesson):
    text = ("## `quantize`\n\n`quantize` and `quantize`, $`quantize`$, [`quantize`](03_quantizer.ipynb),\n"
            "`no name`\n\n```python\n`midpoints`\n```")
    found, = (cell["source"] for cell in lesson(prose(text)))
    assert found == text.replace("\n\n`quantize`", "\n\n{py:obj}`quantize <tokenbridge.quantizer.quantize>`")


def test_links_out_of_the_notebooks_folder():
    text = ("[a](index.ipynb#x) [b](../data/README.md#y) [c](../data/results/vae-mse.json) "
            "[d](../data) [e](#z)")
    assert site.repository_links(text) == ("[a](manual.ipynb#x) [b](data-readme.md#y) "
                                           "[c](files/data/results/vae-mse.json) d [e](#z)")
    assert site.repository_links("[f](nbs/03_quantizer.ipynb)", notebooks.ROOT) == "[f](03_quantizer.ipynb)"


def test_decks_are_linked_where_they_were_built(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "BUILD", tmp_path)
    assert "`make decks`" in site.deck_list() and "decks/" not in site.to_take("03_quantizer")
    (tmp_path / "decks").mkdir()
    (tmp_path / "decks" / "03_quantizer.html").write_text("a deck")
    assert '<a href="decks/03_quantizer.html">' in site.deck_list()
    assert '<a href="decks/03_quantizer.html">' in site.to_take("03_quantizer")


def test_decks_are_written_when_a_lesson_is_newer(tmp_path, monkeypatch):
    def build(folder) -> None:
        calls.append(folder)
        folder.mkdir(exist_ok=True)
        for name in [*decks.chosen([]), "index"]:
            (folder / f"{name}.html").write_text("a deck")
    calls: list = []
    monkeypatch.setattr(site, "BUILD", tmp_path)
    monkeypatch.setattr(decks, "build", build)
    site.write_decks()
    site.write_decks()
    assert calls == [tmp_path / "decks"], "what is new stays"
    os.utime(tmp_path / "decks" / "03_quantizer.html", (0, 0))
    site.write_decks()
    assert len(calls) == 2


def test_a_site_can_do_without_decks(tmp_path, monkeypatch, capsys):
    def build(folder) -> None:
        raise npm.NoPackage("no npm")
    monkeypatch.setattr(site, "BUILD", tmp_path)
    monkeypatch.setattr(decks, "build", build)
    site.write_decks()
    assert capsys.readouterr().err == "site: slides are left out: no npm\n" and not site.with_deck()


def test_terms_of_the_glossary_can_be_linked():
    table = "| our term | usual words |\n| --- | --- |\n| index, `Set` | code |"
    row = site.with_terms(prose(table))["source"].splitlines()[2]
    assert '<span id="term-index">' in row and '<span id="term-set">' in row and 'href="#term-index"' in row


def test_reference_of_a_module():
    text = '''"""First. Contains a few."""
__all__ = ["f", "A"]

# %% ../nbs/03_quantizer.ipynb #0a0a
def f(
    a: int,           # how many, in [0, k)
    b: str = "# no",  # a `word|pair`
) -> float:           # the sum
    "Add."


class A(Base):
    "A thing."
    size: int = 3  # in pixels

    @classmethod
    def make(cls, n: int) -> "A":
        "Make one."

    def _hidden(self):
        "Not shown."
'''
    module = api.Module("m", text.splitlines(), ast.parse(text), ["f", "A"])
    page = api.page(module, {"03_quantizer": "03 · Quantizer"}, {"0a0a": "03 · Quantizer: Levels"})
    assert "| `a` | `int` |   | how many, in \\[0, k) |" in page
    assert r"| `b` | `str` | `'# no'` | a `word\|pair` |" in page
    assert "| *returns* | `float` |   | the sum |" in page and "| `size` | `int` | `3` | in pixels |" in page
    assert "[03 · Quantizer: Levels](#cell-0a0a)" in page and "Contains a few" in page
    assert "{py:method} make(n: int) -> 'A'\n:classmethod:" in page and "_hidden" not in page


def test_the_reference_has_every_exported_name():
    for module in api.modules():
        assert set(module.definitions()) == set(module.exported), module.name


# ---- the site

def test_a_broken_site_is_noticed(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="x">A</h1><a href="#x"></a><a href="#y"></a><a href="b.html"></a><a href="a.html#z"></a>'
        '<a href="https://elsewhere.example/"></a><script src="https://elsewhere.example/x.js"></script>'
        '<img src="no.png">')
    (tmp_path / "s.css").write_text("@font-face { src: url(//elsewhere.example/f.woff) }")
    assert site.look_through(tmp_path) == [
        "a.html: loads https://elsewhere.example/x.js", "a.html: #y: no such anchor",
        "a.html: b.html: no such file", "a.html: a.html#z: no such anchor", "a.html: no.png: no such file",
        "s.css: loads //elsewhere.example/f.woff"]
    assert site.look_through(tmp_path / "empty") == ["empty: no pages"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    "The whole site, built as `make site` does."
    if reason := site.missing():
        pytest.skip(f"the site {reason}")
    folder = tmp_path_factory.mktemp("site")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(site, "BUILD", folder)
            site.build(folder / "site", folder / "source")
    except npm.NoPackage as error:
        pytest.skip(str(error))
    return folder / "site"


def test_links_lead_somewhere_and_nothing_comes_from_elsewhere(built):
    assert not (found := site.look_through(built)), found[:20]


def test_pages_are_complete(built):
    pages = {path.relative_to(built).as_posix(): path.read_text(encoding="utf-8")
             for path in built.rglob("*.html")}
    for name in notebooks.names():
        assert f"{'manual' if name == 'index' else name}.html" in pages, name
    for module in api.modules():
        anchors = site.Page(pages[f"api/{module.name}.html"]).anchors
        wanted = {f"tokenbridge.{module.name}.{name}" for name in module.exported}
        assert wanted <= anchors, wanted - anchors
    assert not [name for name, text in pages.items() if re.search(r'<span class="c1">#\|', text)]
    from_lessons = sum(text.count('href="api/') for name, text in pages.items() if name[0].isdigit())
    assert from_lessons > 400 and 'id="term-level"' in pages["glossary.html"]


def test_notebooks_exercise_books_and_slides_come_along(built):
    for name in site.lessons():
        page, file = (built / f"{name}.html").read_text(encoding="utf-8"), f"{name}.ipynb"
        assert f'href="nbs/{file}" download' in page and f'href="lab/{file}" download' in page
        assert (built / "nbs" / file).read_bytes() == (notebooks.NBS / file).read_bytes()
        assert '"outputs": []' in (built / "lab" / file).read_text(encoding="utf-8")
    if (built / "decks").is_dir():   # reveal.js may be missing where MathJax is at hand
        assert 'href="decks/03_quantizer.html"' in (built / "03_quantizer.html").read_text(encoding="utf-8")
        assert (built / "decks" / "lib" / "reveal.js").is_file()


def test_search_and_formulas_work_from_a_file(built):
    assert "temperature" in (built / "searchindex.js").read_text(encoding="utf-8")
    page = (built / "03_quantizer.html").read_text(encoding="utf-8")
    assert "_static/mathjax/tex-svg-full.js" in page and (built / "_static/mathjax/tex-svg-full.js").is_file()
