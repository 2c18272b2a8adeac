"""What a browser shows of the decks and of the site: Chromium opens them as files and measures.

Nothing here may leave the machine: what is neither a file nor at 127.0.0.1 is blocked and is a finding.
"""
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.tools.notebooks import ROOT

DECKS, SITE = ROOT / "_build" / "decks", ROOT / "_build" / "site"
SEEN = Path(__file__).with_name("seen.js").read_text(encoding="utf-8")
SIZE, PHONE = {"width": 1280, "height": 720}, {"width": 390, "height": 844}
WORD = "quantizer"   # what is searched for in the site
SLACK = 2   # pixels by which a box may leave the slide: glyphs are a little narrower than their boxes
PATIENCE, BEGIN = 300_000, 100_000   # milliseconds for anything, for a deck to begin (a busy machine)
HERE = re.compile(r"(file|data|blob|about|chrome|devtools):|(http|ws)://(127\.0\.0\.1|localhost)[:/]")
STILL = "*, *::before, *::after {transition: none !important; animation: none !important}"


class Missing(Exception):
    "Something that the browser needs is not here; the message says what and how to get it."


# ---- Chromium

def chromium_path() -> str | None:
    "The program that CHROMIUM names, else the first found in PATH, else None: Playwright has its own."
    if named := os.environ.get("CHROMIUM"):
        if not (found := shutil.which(named)):
            raise Missing(f"CHROMIUM: {named} is not a program")
        return found
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for name in names if (found := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator:
    "A browser of Playwright's, closed at the end."
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise Missing('playwright is missing: pip install -c constraints.txt -e ".[browser]"') from None
    path = chromium_path()
    with sync_playwright() as playwright:
        if not path and not Path(playwright.chromium.executable_path).exists():
            raise Missing("Chromium is missing: apt-get install chromium, or python -m playwright install "
                          "chromium, or say where it is: CHROMIUM=/path/to/chromium")
        try:
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except Error as error:
            raise Missing(f"Chromium does not start: {str(error).splitlines()[0]}") from None
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser, size: dict[str, int] = SIZE) -> Iterator[tuple]:
    "A page, and a list that fills with what it should not do: requests to elsewhere, errors, missing files."
    context = browser.new_context(viewport=size)
    context.set_default_timeout(PATIENCE)
    page, said = context.new_page(), Said()
    context.route(lambda address: not HERE.match(address), lambda route: route.abort())
    context.on("request", said.request)
    context.on("requestfailed", said.failed)
    page.on("console", said.console)
    page.on("pageerror", lambda error: said.add(f"error in a script: {str(error).splitlines()[0]}"))
    page.on("websocket", lambda socket: HERE.match(socket.url) or said.add(f"reaches out to {socket.url}"))
    try:
        yield page, said
    finally:
        context.close()


class Said(list):
    "Findings in the order in which they came, each once."

    def add(self, finding: str) -> None:
        if finding not in self:
            self.append(finding)

    def request(self, request) -> None:
        if not HERE.match(request.url):
            self.add(f"reaches out to {request.url[:100]}")

    def failed(self, request) -> None:
        if request.url.startswith("file:"):
            self.add(f"a file is missing: {request.url.rsplit('/', 1)[-1]}")

    def console(self, message) -> None:
        if message.type == "error" and "net::ERR_F" not in message.text:   # blocked or missing: said above
            self.add(f"error on the console: {message.text[:150]}")


def settle(page) -> None:
    "Wait until fonts and formulas are there."
    page.evaluate("""async () => {
        for (let tries = 0; window.MathJax && !MathJax.startup?.promise && tries < 100; tries++)
            await new Promise(done => setTimeout(done, 50));
        await window.MathJax?.startup?.promise;
        await document.fonts.ready;
    }""")


# ---- decks

def check_deck(path: Path, browser=None, shots: Path | None = None) -> list[str]:
    """What is wrong with a deck, slide by slide at 1280 x 720, in words; empty if nothing is.

    `browser` None starts one; `shots` is a folder for a picture of every slide.
    """
    with nullcontext(browser) if browser else chromium() as browser:
        return look_at_deck(path, browser, shots)[0]


def look_at_deck(path: Path, browser, shots: Path | None = None) -> tuple[list[str], str]:
    "What is wrong with a deck, and what was seen in a few words."
    with opened(browser) as (page, said):
        page.goto(Path(path).resolve().as_uri())
        try:
            page.wait_for_function("window.Reveal && Reveal.isReady()", timeout=BEGIN)
        except Exception:
            return [*said, "Reveal does not start"], ""
        settle(page)
        page.add_style_tag(content=STILL)
        page.evaluate("Reveal.configure({transition: 'none', backgroundTransition: 'none'})")
        slides = page.evaluate("Reveal.getSlides().map(slide => { const at = Reveal.getIndices(slide);"
                               " return [at.h, at.v || 0] })")
        findings, notes, formulas = [], 0, 0
        for number, (h, v) in enumerate(slides, 1):
            found = check_slide(page, h, v)
            findings += [f"slide {number}: {words}" for words in found["findings"]]
            notes += bool(found["notes"])
            formulas += found["formulas"]
            if shots:
                shots.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=shots / f"{number:02}.png")
    if not notes:
        findings.append("no slide has speaker notes")
    return [*findings, *said], f"{len(slides)} slides, {notes} with notes, {formulas} formulas"


def check_slide(page, h: int, v: int) -> dict:
    "What seen.js says of one slide, all its fragments shown, and its speaker notes."
    page.evaluate("([h, v]) => Reveal.slide(h, v, 1000)", [h, v])
    page.evaluate("""async () => {
        const images = [...Reveal.getCurrentSlide().querySelectorAll("img")];
        await Promise.all(images.map(image => image.decode().catch(() => 0)));
        document.querySelectorAll("[data-seen]").forEach(slide => slide.removeAttribute("data-seen"));
        Reveal.getCurrentSlide().setAttribute("data-seen", "");
        await new Promise(requestAnimationFrame);
    }""")
    found = page.evaluate(SEEN, {"root": "[data-seen]", "box": ".slides", "slack": SLACK})
    found["notes"] = page.evaluate(
        "document.querySelector('[data-seen] aside.notes')?.textContent.trim() || ''")
    if not found["things"]:
        found["findings"].append("is empty")
    return found


def look_at_speaker(path: Path, browser) -> tuple[list[str], str]:
    "What is wrong with the window that the key S opens, and what was seen in a few words."
    with opened(browser) as (page, said):
        page.goto(Path(path).resolve().as_uri())
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        with_notes = page.evaluate("Reveal.getSlides().findIndex(s => s.querySelector('aside.notes'))")
        page.evaluate("at => Reveal.slide(at)", with_notes)
        with page.expect_popup() as window:
            page.keyboard.press("s")
        try:
            window.value.wait_for_function(
                "(document.querySelector('.speaker-controls-notes .value')?.innerText || '').trim()")
        except Exception:
            return [*said, f"the speaker's window shows no notes of slide {with_notes + 1}"], ""
        notes = window.value.locator(".speaker-controls-notes .value").inner_text().split()
    return [*said], f"slide {with_notes + 1}: {len(notes)} words of notes"


# ---- the site

def look_at_site(folder: Path, browser) -> tuple[list[str], str]:
    "What is wrong with the site, opened as files, and what was seen in a few words."
    findings, formulas, hits = [], 0, 0
    paths = [path for path in sorted(folder.rglob("*.html"))   # decks are looked at by themselves
             if not {"_static", "decks"} & set(path.relative_to(folder).parts)]
    with opened(browser) as (page, said):
        hits = search(page, folder, WORD)
        if not hits:
            findings.append(f"the search for {WORD!r} finds nothing")
        findings += [f"search: {words}" for words in said]
    with opened(browser, PHONE) as (page, said):
        for path in paths:
            said.clear()
            page.goto(path.resolve().as_uri())
            settle(page)
            found = page.evaluate(SEEN, {"root": "body", "box": "", "slack": SLACK})
            wide = page.evaluate("document.documentElement.scrollWidth") - PHONE["width"]
            if wide > 0:
                said.add(f"scrolls {wide} px to the right on a telephone")
            findings += [f"{path.relative_to(folder)}: {words}" for words in [*found["findings"], *said]]
            formulas += found["formulas"]
    return findings, f"{len(paths)} pages, {formulas} formulas, {hits} pages with {WORD!r}"


def search(page, folder: Path, word: str) -> int:
    "How many results the site's search shows for a word."
    page.goto((folder / "index.html").resolve().as_uri())
    page.locator("input[name=q]").first.fill(word)
    page.keyboard.press("Enter")
    page.wait_for_function("""() => {
        const results = document.querySelector("#search-results");
        return results?.querySelector("li a") || results?.innerText.includes("did not match");
    }""")
    page.wait_for_timeout(1000)
    return page.locator("#search-results > ul > li").count()
