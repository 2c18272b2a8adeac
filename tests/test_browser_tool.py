"What `make browser` finds in a deck with faults, and what it says where a browser is missing."
import sys

import pytest

from tests.tools import browser, pages

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
BAD = {   # a slide, and what must be said of it
    "<p>word</p>" * 40: "slide 1: runs off at the bottom by",
    PICTURE % 1400: "slide 1: runs off at the right by",
    "<p style='margin-left: -99px'>word</p>": "slide 1: runs off at the left by",
    "<pre style='overflow: auto; width: 500px'>" + "x + " * 90 + "</pre>": "px wider than its box: x + x",
    "<pre style='overflow: hidden; height: 30px'>" + "x<br>" * 9 + "</pre>": "px higher than its box: ",
    "<p>one</p><p style='margin-top: -34px'>two</p>": "slide 1: one and two overlap",
    "<p>so $x_1$ is</p>": "slide 1: a formula is not rendered: $x_1$ is",
    FORMULA % "<g data-mml-node='merror' data-mjx-error='Missing brace'/>": "is wrong: Missing brace",
    FORMULA % "<g data-mml-node='mtext' fill='red'/>": "slide 1: a formula is wrong",
    "<img alt='plot' src='nowhere.png'><p>x</p>": "a file is missing: nowhere.png",
    "<p>x</p><script src='https://cdn.example.org/x.js'></script>": "reaches out to https://cdn.example.org",
    "<p>x</p><script>nothing.at()</script>": "error in a script: nothing is not defined",
    "<p>x</p><script>console.error('oh')</script>": "error on the console: oh",
    "<p hidden>x</p>": "slide 1: is empty",
}


@pytest.fixture(scope="module")
def chromium():
    try:
        with pages.chromium() as started:
            yield started
    except pages.Missing as error:
        pytest.skip(str(error))


@pytest.fixture
def write(tmp_path):
    def deck(slides: list[str], notes: str = NOTES):
        path = tmp_path / "deck.html"
        path.write_text("<!doctype html><meta charset='utf-8'><body style='margin: 0'>" + REVEAL % "".join(
            f"<section>{slide}{notes}</section>" for slide in slides), encoding="utf-8")
        return path
    return deck


def test_a_good_deck_has_no_findings(chromium, write, tmp_path):
    assert pages.check_deck(write(GOOD), chromium, tmp_path / "shots") == []
    assert [path.name for path in sorted((tmp_path / "shots").iterdir())] == ["01.png", "02.png", "03.png"]
    assert pages.check_deck(write(GOOD, notes=""), chromium) == ["no slide has speaker notes"]


@pytest.mark.parametrize("slide", BAD, ids=[words[-30:] for words in BAD.values()])
def test_a_fault_is_found(chromium, write, slide):
    found = pages.check_deck(write([slide, *GOOD]), chromium)
    assert any(BAD[slide] in words for words in found), found


def test_a_page_without_slides(chromium, tmp_path, monkeypatch):
    (tmp_path / "deck.html").write_text("<p>nothing")
    monkeypatch.setattr(pages, "PATIENCE", 500)
    assert pages.check_deck(tmp_path / "deck.html", chromium) == ["Reveal does not start"]


# ---- what needs no browser

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
