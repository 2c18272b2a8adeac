"What `make browser` finds in decks and pages with faults, and what it says where a browser is missing."
import sys

import pytest

from tests.tools import browser, lab, learner, notebooks, pages

REVEAL = """<div class="reveal"><div class="slides" style="position: absolute; width: 1280px; height: 720px">
%s</div></div><script>
const all = [...document.querySelectorAll("section")];
window.Reveal = {isReady: () => true, configure() {}, getSlides: () => all,
    getIndices: slide => ({h: all.indexOf(slide)}), getCurrentSlide: () => all.find(slide => !slide.hidden),
    slide(h) {all.forEach((slide, at) => {slide.hidden = at !== h})}};
</script>"""   # as much of reveal.js as the check uses
FORMULA = "<mjx-container><svg width='9' height='9'>%s</svg></mjx-container>"
NOTES = "<aside class='notes'>spoken</aside>"
PICTURE = "<img alt='blue' style='width: %dpx; height: 90px' src='data:image/svg+xml," \
          "<svg xmlns=\"http://www.w3.org/2000/svg\"/>'>"
GOOD = ["<h2>Title</h2><p>It costs $3, and <code>$x$</code> is code.</p>",
        FORMULA % "<g data-mml-node='mi'/>" + PICTURE % 900, "<pre>x = 1</pre>"]
ON_SLIDE = {   # a slide, and what must be said of it
    "<p>word</p>" * 40: "runs off at the bottom by",
    PICTURE % 1400: "runs off at the right by",
    "<p style='margin-left: -99px'>word</p>": "runs off at the left by",
    "<pre style='overflow: auto; width: 500px'>" + "x + " * 90 + "</pre>": "px wider than its box: x + x",
    "<pre style='overflow: hidden; height: 30px'>" + "x<br>" * 9 + "</pre>": "px higher than its box: ",
    "<p>one</p><p style='margin-top: -34px'>two</p>": "one and two overlap",
    "<p>so $x_1$ is</p>": "a formula is not rendered: $x_1$ is",
    FORMULA % "<g data-mml-node='merror' data-mjx-error='no brace'/>": "a formula is wrong: no brace",
    FORMULA % "<g data-mml-node='mtext' fill='red'/>": "a formula is wrong",
    "<img alt='plot' src='nowhere.png'><p>x</p>": "a picture is missing: plot",
    "<p hidden>x</p>": "is empty",
}
ON_PAGE = {   # a part of a slide, and what must be said of the deck
    "<img alt='plot' src='nowhere.png'>": "a file is missing: nowhere.png",
    "<script src='https://cdn.example.org/x.js'></script>": "reaches out to https://cdn.example.org/x.js",
    "<script>nothing.at()</script>": "error in a script: nothing is not defined",
    "<script>console.error('oh')</script>": "error on the console: oh",
}


@pytest.fixture(scope="module")
def chromium():
    try:
        with pages.chromium() as started:
            yield started
    except pages.Missing as error:
        pytest.skip(str(error))


def write(folder, slides, notes: str = NOTES):
    "A deck with these slides."
    sections = "".join(f"<section>{slide}{notes}</section>" for slide in slides)
    (folder / "deck.html").write_text(
        f"<!doctype html><meta charset='utf-8'><body style='margin: 0'>{REVEAL % sections}", encoding="utf-8")
    return folder / "deck.html"


def test_a_good_deck_has_no_findings(chromium, tmp_path):
    assert pages.check_deck(write(tmp_path, GOOD), chromium, tmp_path / "shots") == []
    assert [path.name for path in sorted((tmp_path / "shots").iterdir())] == ["01.png", "02.png", "03.png"]
    assert pages.check_deck(write(tmp_path, GOOD, notes=""), chromium) == ["no slide has speaker notes"]


def test_each_fault_of_a_slide_is_found(chromium, tmp_path):
    found = pages.check_deck(write(tmp_path, [*ON_SLIDE, *GOOD]), chromium)
    for number, (slide, words) in enumerate(ON_SLIDE.items(), 1):
        mine = [said for said in found if said.startswith(f"slide {number}: ")]
        assert any(words in said for said in mine), (slide[:60], words, found)
    assert not [said for said in found if said.startswith(f"slide {len(ON_SLIDE) + 1}: ")]


def test_each_fault_of_a_page_is_found(chromium, tmp_path):
    found = pages.check_deck(write(tmp_path, [*ON_PAGE, *GOOD]), chromium)
    assert [words for words in ON_PAGE.values() if words not in found] == [], found


def test_a_page_without_slides(chromium, tmp_path, monkeypatch):
    (tmp_path / "deck.html").write_text("<p>nothing")
    monkeypatch.setattr(pages, "BEGIN", 500)
    assert pages.check_deck(tmp_path / "deck.html", chromium) == ["Reveal does not start"]


def test_a_site(chromium, tmp_path):
    results = "<div id='search-results'>%s</div>"
    (tmp_path / "search.html").write_text(results % "<ul><li><a href='a.html'>a</a></ul>")
    form = "<form action='search.html'><input name='q'></form>"
    (tmp_path / "index.html").write_text(f"<!doctype html><body>{form}{FORMULA % ''}<pre>$x$</pre>")
    assert pages.look_at_site(tmp_path, chromium) == ([], "2 pages, 1 formulas, 1 pages with 'quantizer'")
    (tmp_path / "search.html").write_text(results % "Your search did not match any documents")
    (tmp_path / "wide.html").write_text("<p>$x$<p style='width: 500px'>wide"
                                        "<script src='http://cdn.example.org/x.js'></script>")
    found, _ = pages.look_at_site(tmp_path, chromium)
    for words in ("the search for 'quantizer' finds nothing", "wide.html: a formula is not rendered: $x$",
                  "wide.html: scrolls 118 px to the right on a telephone",
                  "wide.html: reaches out to http://cdn.example.org/x.js"):
        assert words in found, found


# ---- what needs no browser

def test_an_executed_notebook():
    picture = {"output_type": "display_data", "data": {"image/png": "x"}}
    error = {"output_type": "error", "ename": "ValueError", "evalue": "levels: no"}
    good = {"cell_type": "code", "source": "plot()", "execution_count": 1, "outputs": [picture]}
    empty = {"cell_type": "code", "source": "", "execution_count": None, "outputs": []}
    assert learner.findings_in({"cells": [good, empty]}, 1) == []
    bad = {"cells": [good | {"outputs": [error]}, good | {"execution_count": None}]}
    assert learner.findings_in(bad, 2) == ["ValueError in plot(): levels: no", "not executed: plot()",
                                           "1 figures instead of 2"]


class Book:
    "As much of a notebook on the screen as choosing the attempts needs."

    def __init__(self, notebook: dict):
        self.sources, self.path = [cell["source"] for cell in notebook["cells"]], notebooks.NBS

    index = learner.Notebook.index


def test_the_attempts_belong_to_the_lesson():
    book = Book(lab.exercise_book(notebooks.read(learner.LESSON), lab.lessons()))
    tries = learner.attempts(book)
    assert [attempt.name[:3] for attempt in tries] == ["03e", "03e", "03m", "03m", "03h", "03h"]
    for attempt in tries:
        compile(attempt.source, "attempt", "exec")
        assert attempt.source != book.sources[attempt.cell] and attempt.expected
    assert "def quantize(" in tries[2].source and "return torch.zeros_like" in tries[2].source
    assert "borders" in tries[3].source and "check(" not in tries[3].source
    with pytest.raises(learner.Wrong, match="0 cells hold 'no such text', not one"):
        book.index("no such text")


def test_a_learner_has_no_settings_of_others(monkeypatch, tmp_path):
    monkeypatch.setenv("TOKENBRIDGE_FAST", "1")
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", "elsewhere")
    env = learner.environment(tmp_path)
    assert "TOKENBRIDGE_FAST" not in env and "TOKENBRIDGE_STRICT" not in env
    assert env["JUPYTER_CONFIG_DIR"] == str(tmp_path / "config")
    assert env["PYTHONPATH"].startswith(str(pages.ROOT))


def test_jupyterlab_that_does_not_start(monkeypatch, tmp_path):
    monkeypatch.setattr(learner.sys, "executable", "/bin/false")
    with pytest.raises(pages.Missing, match="JupyterLab does not start .*: nothing was printed"):
        with learner.jupyterlab(tmp_path, tmp_path, 60):
            raise AssertionError("it must not come so far")


def test_the_table(capsys):
    table = browser.Table()
    table.row("tour", lambda: ([], "3 cells"))
    table.row("site", lambda: (["one", "two"], ""))
    table.skipped("decks", "no decks")

    def breaks():
        raise learner.Wrong("the kernel is not idle")
    table.row("exercises", breaks)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["tour", "right"], ["site", "2"], ["one"], ["two"], ["decks", "skipped"], ["exercises", "1"],
        ["the", "kernel"]]
    assert table.findings == ["one", "two", "the kernel is not idle"]


def test_what_stays_on_this_machine():
    for address in ("file:///x.html", "data:image/png;base64,", "http://127.0.0.1:8888/lab", "ws://localhost:1/"):
        assert pages.HERE.match(address), address
    for address in ("https://127.0.0.1.example.org/", "http://example.org/file:", "http://127.0.0.11/",
                    "https://cdn.example.org", "wss://example.org"):
        assert not pages.HERE.match(address), address


def test_which_chromium(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    assert pages.chromium_path() is None
    for name in ("google-chrome", "chromium"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
        assert pages.chromium_path() == str(tmp_path / name)
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "google-chrome"))
    assert pages.chromium_path() == str(tmp_path / "google-chrome")
    monkeypatch.setenv("CHROMIUM", "nowhere")
    with pytest.raises(pages.Missing, match="CHROMIUM: nowhere is not a program"):
        pages.chromium_path()


def test_without_playwright_it_says_so_in_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    assert browser.main(["--decks"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("browser: playwright is missing: pip install") and said.count("\n") == 1


def test_decks_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "DECKS", tmp_path)
    with pytest.raises(pages.Missing, match="no decks in .*make decks"):
        browser.decks(None)
    for name in ("03_quantizer.html", "06_head.html", "index.html"):
        (tmp_path / name).touch()
    assert [path.stem for path in browser.decks([])] == ["03_quantizer", "06_head"]
    assert [path.stem for path in browser.decks(["06_head"])] == ["06_head"]
    with pytest.raises(pages.Missing, match="no deck 07_model"):
        browser.decks(["07_model"])


def test_the_extra_has_tested_versions():
    settings = (pages.ROOT / "settings.ini").read_text(encoding="utf-8")
    pinned = (pages.ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "\nbrowser_requirements = playwright>=" in settings
    assert "\nplaywright==" in pinned and "\ngreenlet==" in pinned   # Playwright needs greenlet
    assert '"browser"' in (pages.ROOT / "setup.py").read_text(encoding="utf-8")
