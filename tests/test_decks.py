"Decks of slides: what the builder makes of cells, and what the lessons say about theirs."
import base64
import io
import json
import re
import tarfile

import pytest
from PIL import Image

from tests.tools import decks, lab, notebooks, npm, prose

FINISHED = ["03_quantizer", "06_head", "09_generation"]   # by hand, 20 to 30 slides
BUILT = ["00_tour", "02_vae", "05_backbone", "11_evaluation", "12_cifar", "15_full_size"]
TITLE = "# 03 · Title\n\n> One line. Contains parts.\n\n| | |\n| --- | --- |\n| **Goal** | see *slides* |"


def picture(width: int = 6, height: int = 4) -> str:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def cell(source: str, kind: str = "code", figure: bool = False, printed: str = "", **metadata) -> dict:
    "A cell; `slide_type` is short for the slideshow dictionary."
    if "slide_type" in metadata:
        metadata["slideshow"] = {"slide_type": metadata.pop("slide_type")}
    made = {"cell_type": kind, "id": "abc", "metadata": metadata, "source": source}
    outputs = [{"output_type": "stream", "name": "stdout", "text": printed}] if printed else []
    outputs += [{"output_type": "display_data", "data": {"image/png": picture()}}] if figure else []
    return made | ({"outputs": outputs, "execution_count": None} if kind == "code" else {})


def text(source: str, **metadata) -> dict:
    return cell(source, "markdown", **metadata)


def only(source: str, **metadata) -> dict:
    return text(f"<!-- for the slides\n\n{source}\n\n-->", tags=["slide-only"], **metadata)


def deck_of(*cells: dict) -> list[decks.Slide]:
    return decks.slides({"cells": [text(TITLE), *cells]}, "03_tiny")


# ---- the builder

def test_a_lesson_becomes_slides():
    deck = deck_of(text("Prose of the title."), cell("import this"),
                   text("## A section\n\nProse of the section."),
                   cell("draw()", figure=True, slide={"takeaway": "Four levels are enough"}),
                   text("What it shows."), cell("other()", figure=True),
                   text("## Second\n\nMore prose."),
                   only("## Three points\n\n- one\n- two"),
                   cell("#| export\nx = 1\nprint(x)", printed="1\n", slide_type="slide"))
    titles = ["03 · Title", "Four levels are enough", "Three points", "Second"]
    assert [slide.title for slide in deck] == titles
    assert [slide.section for slide in deck] == ["", "A section", "Second", ""]
    assert [slide.kinds for slide in deck] == ["opening", "figure", "markdown", "code output"]
    assert [part.text for part in deck[0].parts] == ["> One line.", "**Goal:** see *slides*"]
    assert [part.text for part in deck[3].parts] == ["x = 1\nprint(x)", "1"]
    assert deck[0].notes[1:] == ["Prose of the title."] and "**Goal**" in deck[0].notes[0]
    assert deck[1].notes == ["Prose of the section.", "What it shows."]
    assert deck[2].notes == ["More prose."]


def test_prose_of_a_section_without_slides_goes_to_the_slide_before():
    deck = deck_of(text("## First\n\nLost?"), text("## Second\n\nHere."),
                   cell("draw()", figure=True, slide={"takeaway": "It is here"}),
                   text("## Last\n\nAt the end."))
    assert deck[0].notes[1:] == ["**First**", "Lost?"]
    assert deck[1].notes == ["Here.", "At the end."]


def test_a_section_can_be_a_slide_itself():
    deck = deck_of(text("## Map\n\nA long table."), text("## What we learned\n\n- this", slide_type="slide"))
    assert deck[0].notes[1:] == ["**Map**", "A long table."]
    assert (deck[1].title, deck[1].section, deck[1].notes) == ("What we learned", "", [])


def test_slide_types_of_jupyter():
    deck = deck_of(text("Skipped.", slide_type="skip"), text("## A slide\n\nof prose", slide_type="subslide"),
                   only("then this", slide_type="fragment"), text("and this", slide_type="-"),
                   text("## Said, not shown", slide_type="notes"),
                   cell("draw()", figure=True, slide={"takeaway": "Not wanted"}, slide_type="skip"),
                   cell("draw()", figure=True, slide_type="fragment"))
    assert len(deck) == 2 and "Skipped." not in deck[0].notes
    assert [(part.kind, part.fragment) for part in deck[1].parts] == [
        ("markdown", False), ("markdown", True), ("markdown", False), ("figure", True)]
    assert deck[1].notes == ["## Said, not shown"]


def test_source_and_figure_together():
    figure = {"figure": True, "slide": {"takeaway": "Both are shown"}}
    both, = deck_of(cell("draw()", tags=["show-input"], slide_type="slide", **figure))[1:]
    alone, = deck_of(cell("draw()", tags=["show-input"], **figure))[1:]
    assert (both.kinds, alone.kinds) == ("code figure", "figure")


def test_what_was_printed_can_be_shown_alone():
    slide, = deck_of(cell("x = " + "1" * 99, printed="levels  loss\n", slide_type="slide",
                          slide={"title": "A table", "show": "output"}))[1:]
    assert [(part.kind, part.text) for part in slide.parts] == [("output", "levels  loss")]


def test_titles_and_sections_can_be_said():
    deck = deck_of(text("## Section"), cell("x = 1", slide_type="slide", slide={"title": "Said"}),
                   only("## Heading", slide={"section": ""}))
    assert [(slide.title, slide.section) for slide in deck[1:]] == [("Said", "Section"), ("Heading", "")]


@pytest.mark.parametrize("wrong, words", [
    (cell("\n".join("x" * 17), slide_type="slide"), "source of 17 lines, a slide has room for 16"),
    (cell("x = " + "1" * 77, slide_type="slide"), "source of 81 columns, a slide has room for 80"),
    (cell("x", printed="x\n" * 17, slide_type="slide"), "output of 17 lines"),
    (cell("x", printed="x" * 101, slide_type="slide"), "output of 101 columns"),
    (cell("\n".join("x" * 12), printed="x\n" * 9, slide_type="slide"), "21 lines, a slide has room for 20"),
    (cell("x", figure=True, slide={"takeaway": "one " * 13}), "at most 12 words, this one 13"),
    (cell("x", slide={"takeaway": "No figure here"}), "a takeaway and no figure"),
    (cell("x", slide_type="slide", slide={"show": "output"}), "printed nothing"),
    (cell("x", slide_type="page"), "slide_type: expected one of slide, "),
    (only("No heading"), "a slide needs a title"),
    (only("## Title\n\n```python\n" + "x\n" * 17 + "```"), "code block of 17 lines"),
    (only("## Title\n\n```python\n" + "x" * 81 + "\n```"), "code block of 81 columns"),
    (only("## Title\n\n![words](images/missing.png)"), "there is no picture nbs/images/missing.png"),
    (only("More\n\n```python\n" + "x" * 81 + "\n```", slide_type="fragment"), "code block of 81 columns"),
])
def test_what_does_not_fit_is_named(wrong, words):
    with pytest.raises(decks.DeckError) as error:
        deck_of(text("fine"), wrong)
    assert str(error.value).startswith("03_tiny.ipynb, cell 2 (abc): ") and words in str(error.value)


def test_every_cell_that_does_not_fit_is_named():
    with pytest.raises(decks.DeckError, match=r"(?s)cell 1 .*\n.*cell 2 "):
        deck_of(only("No heading"), only("Nor here"))
    with pytest.raises(decks.DeckError, match="no title cell"):
        decks.slides({"cells": []})
    with pytest.raises(decks.DeckError, match="no slide before it"):
        decks.slides({"cells": [text("x", slide_type="fragment"), text(TITLE)]})


def test_longer_slides_get_smaller_letters():
    def size(which, *parts):
        css = decks.letters(decks.Slide("Title", parts=[*parts]))
        return float(re.search(rf"--{which}: ([\d.]+)px", css)[1])

    few, many = (decks.Part("markdown", "- a point of some words\n" * number) for number in (3, 10))
    assert size("text", few) > size("text", many) >= 24
    short, long = (decks.Part("code", "\n".join(["x = 1"] * number)) for number in (4, 16))
    assert size("code", short) >= size("code", long) >= 18
    assert size("code", decks.Part("code", "x" * 80)) * 0.605 * 80 <= 1160 - 32


# ---- the page

def test_a_page_asks_for_nothing_outside_lib():
    deck = deck_of(only("## Links\n\n[lesson](04_other.ipynb), [paper](https://arxiv.org)"),
                   cell("draw()", figure=True, slide={"takeaway": "A <figure>"}), text("[Here](#there)."))
    page = decks.page("03_tiny", deck)
    loaded = re.findall(r'(?:src|<link[^>]*href)="([^"]*)"', page)
    assert loaded and all(re.match(r"lib/[\w.-]+$|data:", address) for address in loaded), loaded
    script = (decks.STYLE / "deck.js").read_text(encoding="utf-8")
    style = (decks.STYLE / "deck.css").read_text(encoding="utf-8")
    assert not re.findall(r"https?:|//cdn|@import", script + style)
    known = {name for files in decks.LIBRARY.values() for name in files.values()}
    used = {name.removeprefix("lib/") for name in loaded if name.startswith("lib/")} | set(
        re.findall(r"url\(([\w.-]+)\)", style)) | set(re.findall(r"lib/([\w.-]+)", script))
    assert used <= known | {"deck.css", "deck.js"}, used - known


def test_a_page_holds_titles_figures_notes_and_formulas():
    page = decks.page("03_tiny", deck_of(
        only("## On $a < b$ & `code`\n\n$$x_1$$\n\n[lesson](04_other.ipynb)"),
        cell("draw()", figure=True, slide={"takeaway": "Sixteen levels are enough"}), text("Said **here**.")))
    assert page.count("<section>") == page.count("</section>") == 3
    assert re.findall(r'class="corner">([^<]*)<', page) == ["03 · 1/3", "03 · 2/3", "03 · 3/3"]
    assert "<h2>Sixteen levels are enough</h2>" in page and 'alt="Sixteen levels are enough"' in page
    assert re.search(r'<aside class="notes">\s*<p>Said <strong>here</strong>', page)
    assert "$$x_1$$" in page and "$a &lt; b$ &amp; <code>code</code></h2>" in page
    assert "ipynb" not in page, "a link to another notebook leads nowhere from a deck"


def test_a_picture_travels_with_the_deck():
    file = next((notebooks.NBS / "images").glob("*.png")).name
    page = decks.page("03_tiny", deck_of(only(f"## A picture\n\n![words](images/{file})")))
    assert 'src="data:image/png;base64,' in page and file not in page


def test_index_lists_the_decks():
    page = decks.index([("03_tiny", deck_of())])
    assert '<a href="03_tiny.html">03 · Title</a>' in page and "1 slides" in page and "print-pdf" in page


# ---- npm and the command

def archives(folder) -> None:
    "Stand-ins for what npm fetches, as small files of the same names."
    folder.mkdir()
    for package, files in decks.LIBRARY.items():
        with tarfile.open(folder / f"{'-'.join(package)}.tgz", "w:gz") as archive:
            for name in files:
                entry = tarfile.TarInfo(f"package/{name}")
                entry.size = len(name)
                archive.addfile(entry, io.BytesIO(name.encode()))


def test_the_library_comes_from_the_cache(tmp_path, monkeypatch):
    archives(tmp_path / "npm")
    monkeypatch.setattr(npm, "CACHE", tmp_path / "npm")
    monkeypatch.setenv("PATH", "")
    decks.library(tmp_path / "lib")
    names = [name for files in decks.LIBRARY.values() for name in files.values()]
    assert {path.name for path in (tmp_path / "lib").iterdir()} == {*names, "deck.css", "deck.js"}
    assert (tmp_path / "lib" / "reveal.js").read_text() == "dist/reveal.js"


@pytest.mark.parametrize("program, words", [("", "apt-get install npm"), ("exit 1", "npm could not fetch")])
def test_without_npm_or_network_it_says_so_in_one_line(program, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(npm, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PATH", str(tmp_path))
    if program:
        (tmp_path / "npm").write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / "npm").chmod(0o755)
    assert decks.main(["09", "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "reveal.js 5.2.1" in said and words in said


def test_unknown_lesson(capsys):
    assert decks.main(["99"]) == 1
    assert capsys.readouterr().err.startswith("no lesson begins with '99'; there are 00_tour, ")


def test_the_command_writes_decks_and_index(tmp_path, monkeypatch, capsys):
    archives(tmp_path / "npm")
    monkeypatch.setattr(npm, "CACHE", tmp_path / "npm")
    assert decks.main(["--out", str(tmp_path / "out")]) == 0
    written = {path.stem for path in (tmp_path / "out").glob("*.html")}
    assert written == {"index", *decks.chosen([])} and "09_generation.html: " in capsys.readouterr().out


def test_sharp_figures_come_from_a_copy(monkeypatch):
    def execute(name, folder, data):
        copied = json.loads((folder / f"{name}.ipynb").read_text(encoding="utf-8"))
        assert f"'dpi': {decks.SHARP_DPI}" in copied["cells"][0]["source"]
        return copied
    before = (notebooks.NBS / "09_generation.ipynb").read_bytes()
    monkeypatch.setattr(notebooks, "execute", execute)
    assert decks.sharp("09_generation")["cells"] == notebooks.read("09_generation")["cells"]
    assert (notebooks.NBS / "09_generation.ipynb").read_bytes() == before


# ---- readers, exercise books and checks of prose do not see slides

def test_exercise_books_and_prose_leave_slides_out():
    cells = [text(TITLE), only("## Slide\n\nMeasured: so it is. They are."),
             cell("draw()", figure=True, slide={"takeaway": "Seen"}, slide_type="slide", tags=["volatile"])]
    book = lab.exercise_book({"cells": cells}, [])
    assert [(part["cell_type"], part["metadata"]) for part in book["cells"]] == [
        ("markdown", {}), ("code", {"tags": ["volatile"]})]
    assert cells[2]["metadata"]["slide"], "the lesson itself stays as it is"
    assert not prose.findings({"cells": cells[:2]}) and prose.findings({"cells": [text(cells[1]["source"])]})


def test_slides_do_not_count_as_prose_between_code():
    code = [cell(f"x = {number}") for number in range(4)]
    assert notebooks.longest_run({"cells": [*code[:2], only("## Slide"), *code[2:]]}) == 4
    assert notebooks.longest_run({"cells": [*code[:2], text("Prose."), *code[2:]]}) == 2


# ---- the lessons

LESSONS = [name for name in notebooks.names() if name[0].isdigit()]


@pytest.mark.parametrize("name", LESSONS)
def test_slide_only_cells_are_markdown_with_a_heading_and_covered(name):
    for number, found in enumerate(notebooks.read(name)["cells"]):
        if notebooks.for_decks_only(found):
            where = f"cell {number}: {found['source'][:40]!r}"
            assert found["cell_type"] == "markdown", where
            shown = notebooks.uncovered(found)["source"]
            assert shown != found["source"] and "-->" not in shown, f"{where} is not inside <!-- -->"
            begins = decks.slide_type(found) not in ("fragment", "-", "notes", "skip")
            assert not begins or shown.startswith("## "), where


@pytest.mark.parametrize("name", FINISHED + BUILT)
def test_each_figure_is_on_a_slide_or_left_out_on_purpose(name):
    notebook = notebooks.read(name)
    forgotten = [f"cell {number}: {found['source'][:60]!r}" for number, found in enumerate(notebook["cells"])
                 if found["cell_type"] == "code" and decks.images(found)
                 and not found["metadata"].get("slide", {}).get("takeaway")
                 and decks.slide_type(found) not in ("skip", "fragment", "-")]
    assert not forgotten, forgotten


@pytest.mark.parametrize("name", FINISHED + BUILT)
def test_the_deck_of_a_lesson_builds(name):
    deck = decks.slides(notebooks.read(name), name)
    page = decks.page(name, deck)
    assert page.count("<section>") == len(deck) >= 5
    assert [slide.title for slide in deck if not slide.parts] == [], "a slide with a title alone"
    titles = [slide.title for slide in deck]
    assert len(set(titles)) == len(titles), "no two slides have the same title"
    if name in FINISHED:
        assert 20 <= len(deck) <= 30, f"{len(deck)} slides"
