"The appendix for those who teach: its map, its sums, its references, and what it says of the tools."
import contextlib
import io
import json
import re

import matplotlib
import pytest
import torch
import yaml

from tests.tools import grade, lab, notebooks
from tokenbridge.files import read_json, results_folder
from tokenbridge.generation import cosine_schedule
from tokenbridge.quantizer import quantize

matplotlib.use("Agg")
NOTEBOOK = notebooks.read("teaching")
MARKDOWN = [cell["source"] for cell in NOTEBOOK["cells"] if cell["cell_type"] == "markdown"]
TEXT = "\n".join(MARKDOWN)
LESSONS = [name for name in notebooks.names() if name[0].isdigit()]
VERBS = ("assemble choose compute construct count criticize draw estimate explain fill find fit implement "
         "load map measure name order predict read say tell test train turn walk").split()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    "What the notebook's cells define, up to the projects; the figure of the map with it."
    import matplotlib.pyplot as plt
    cells = NOTEBOOK["cells"]
    end = next(number for number, cell in enumerate(cells) if cell["source"].startswith("## Three projects"))
    known: dict = {}
    with contextlib.chdir(notebooks.NBS), contextlib.redirect_stdout(io.StringIO()):
        for cell in cells[:end]:
            if cell["cell_type"] == "code":
                exec(compile(cell["source"], "teaching.ipynb", "exec"), known)
    figure = plt.gcf()
    yield known | {"figure": figure}
    plt.close(figure)


def head(name: str, row: str) -> str:
    found = re.search(rf"\| \*\*{row}\*\* \| (.*) \|", notebooks.read(name)["cells"][0]["source"])
    return found[1] if found else ""


def shown(heading: str) -> str:
    "The Markdown and the text that the cells of a section have as committed output."
    begin = next(i for i, cell in enumerate(NOTEBOOK["cells"]) if cell["source"].startswith(heading))
    parts = []
    for cell in NOTEBOOK["cells"][begin:]:
        if cell["source"].startswith("## ") and not cell["source"].startswith(heading):
            break
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            parts.append(notebooks.joined(data.get("text/markdown", output.get("text", ""))))
    return "\n".join(parts)


# ---- the tables of the lessons

@pytest.mark.parametrize("name", LESSONS)
def test_each_lesson_says_what_you_can_do_after_it(name):
    can, need = head(name, "After this you can"), head(name, "You need")
    assert need and can, "rows 'After this you can' and 'You need'"
    abilities = [part.strip() for part in can.split(";")]
    assert 2 <= len(abilities) <= 4, abilities
    assert all(part.split()[0].strip(",") in VERBS for part in abilities), abilities
    assert shown("## After this you can").count(f"| {can} |") == 1, "execute teaching.ipynb again"


@pytest.mark.parametrize("name", LESSONS)
def test_stated_minutes_follow_from_words_and_code(name, page):
    counted, stated = sum(map(page["counted"], page["lessons"][name])), page["stated"](name)
    assert 0.75 <= counted / stated <= 1.25, f"counted {counted:.0f} minutes, stated {stated}"
    tasks = re.search(r"exercises about (\d+)", head(name, "To read"))
    assert abs(page["todo"](page["asked"](name)) - int(tasks[1] if tasks else 0)) <= 5


def test_all_exercises_are_asked(page):
    asked = [one for name in LESSONS for one in page["asked"](name)]
    assert sorted(asked) == sorted(page["exercises"]())


# ---- the map

def test_needs_are_read_as_they_are_meant(page):
    needs = lambda name: {other[:2] for other in page["needs"](name)}
    assert needs("06_head") == {"03", "04"} and needs("05_backbone") == {"02", "03", "04"}
    assert needs("04_transformer") == needs("08_optim") == needs("00_tour") == set()
    assert page["needs"]("08_training") == {"07_model", "08_optim"}
    assert needs("15_full_size") == {"03", "05", "06", "07", "08", "10", "11"}
    assert needs("12_cifar") == {f"{number:02}" for number in range(1, 12)}


def test_the_arrows_say_all_that_is_needed_and_nothing_twice(page):
    def reached(name):
        return page["direct"](name).union(*map(reached, page["direct"](name)))
    for name in LESSONS:
        assert reached(name) == page["before"](name)
        for other in page["direct"](name):
            assert not any(other in reached(third) for third in page["direct"](name)), (name, other)


def test_the_map_can_be_read(page):
    figure = page["figure"]
    figure.canvas.draw()
    ax, = figure.axes
    words = [(text.get_text(), text.get_window_extent()) for text in ax.texts]
    sheet = ax.get_window_extent()
    for i, (word, box) in enumerate(words):
        assert box.x0 >= sheet.x0 and box.x1 <= sheet.x1 and box.y0 >= sheet.y0 and box.y1 <= sheet.y1, word
        assert not any(box.overlaps(other) for _, other in words[:i]), word
    assert min(text.get_fontsize() for text in ax.texts) >= 7
    spots = page["places"]()
    assert sorted(spots) == LESSONS and len(set(spots.values())) == len(LESSONS)
    assert all(spots[other][0] < spots[name][0] for name in LESSONS for other in page["direct"](name))
    colours = {patch.get_facecolor()[:3] for patch in ax.patches}
    assert all(len(set(colour)) == 1 or sum(colour) < 0.6 for colour in colours), "grey or ink only"


def test_the_map_is_told_in_words(page):
    outputs = [output for cell in notebooks.code_cells(NOTEBOOK) for output in cell["outputs"]]
    alternatives = [output["metadata"]["image/png"]["alt"] for output in outputs
                    if "image/png" in output.get("data", {})]
    assert alternatives == [page["in_words"]()]
    assert all(name[:2] in alternatives[0] for name in LESSONS)


# ---- the plans

def plans(page) -> dict[str, list]:
    return {"day": page["DAY"]} | page["WEEK"]


def at(clock: str) -> int:
    hours, minutes = clock.split(":")
    return 60 * int(hours) + int(minutes)


def test_the_sums_are_right(page):
    "Clock and last row of each table, from its own rows."
    for name, plan in plans(page).items():
        lines = page["syllabus"](plan).splitlines()[2:]
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
        *body, last = rows
        for column in (-3, -2, -1):
            assert sum(int(row[column] or 0) for row in body) == int(last[column]), name
        clocks = [at(row[0]) for row in rows]
        for session, row, begin, end in zip(plan, body, clocks[:-1], clocks[1:], strict=True):
            assert end - begin == sum(int(cell or 0) for cell in row[-3:]) + session.pause, (name, row)


def test_the_minutes_of_a_session_come_from_the_tables(page):
    whole = page["Session"]("04_transformer", 5, None, ("04e", "04m"))
    assert whole.minutes == (page["stated"]("04_transformer"), 2 + 15, 5)
    parts = page["sections"]("03_quantizer")
    assert sum(parts.values()) == pytest.approx(page["stated"]("03_quantizer"))
    two = ("One number by hand", "And back")
    assert page["reading"]("03_quantizer", two) == round(sum(parts[name] for name in two))
    with pytest.raises(ValueError, match="expected one section that begins with 'No such'"):
        page["reading"]("03_quantizer", ("No such",))


def test_the_plans_can_be_kept(page):
    for name, plan in plans(page).items():
        minutes = sum(sum(session.minutes) + session.pause for session in plan)
        assert minutes <= 7.5 * 60, f"{name}: {minutes} minutes"
    for plan in [page["DAY"], *page["WEEK"].values()]:
        stretch = 0
        for session in plan:
            stretch = 0 if session.pause else stretch + sum(session.minutes)
            assert stretch <= 150, f"{session.lesson}: {stretch} minutes without a pause"


def test_the_week_has_every_lesson_and_every_exercise_once(page):
    sessions = [session for plan in page["WEEK"].values() for session in plan]
    tasks = [one for session in sessions for one in (*session.live, *session.home)]
    left = set(page["exercises"]()) - set(tasks)
    assert len(tasks) == len(set(tasks)) and left <= {"02h-2"}, left
    assert {session.lesson for session in sessions} >= {name for name in LESSONS if name < "13"}
    day = [one for session in page["DAY"] for one in (*session.live, *session.home)]
    assert len(day) == len(set(day)) and set(day) <= set(page["exercises"]())


def test_committed_plans_are_those_of_the_code(page):
    assert page["syllabus"](page["DAY"]) in shown("## One day"), "execute teaching.ipynb again"
    for plan in page["WEEK"].values():
        assert page["syllabus"](plan) in shown("## One week"), "execute teaching.ipynb again"


# ---- the ninety minutes

def section(heading: str) -> str:
    "The first cell of a section."
    return next(source for source in MARKDOWN if source.startswith(heading))


def rows(source: str) -> list[list[str]]:
    "The rows of a cell's table, without its head."
    table = [line for line in source.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[2:]]


def test_the_page_begins_with_what_is_needed_first():
    headings = [source.splitlines()[0] for source in MARKDOWN if source.startswith("## ")]
    wanted = ["## Monday's sheet", "## Monday's checklist", "## Ninety minutes",
              "## One day", "## Four weeks", "## One week"]
    assert headings[:3] == wanted[:3] and [one for one in headings if one in wanted] == wanted
    first_code = next(i for i, cell in enumerate(NOTEBOOK["cells"]) if cell["cell_type"] == "code")
    sheet, list_, lecture = (i for i, cell in enumerate(NOTEBOOK["cells"])
                             if cell["source"].splitlines()[0] in wanted[:3])
    assert sheet < list_ < lecture < first_code


def test_the_sheet_adds_up_and_leaves_slack():
    *body, last = rows(section("## Monday's sheet"))
    minutes = [int(row[1]) for row in body]
    assert sum(minutes) == int(last[1]) == 90
    clocks = [at(row[0]) for row in (*body, last)]
    assert [end - begin for begin, end in zip(clocks, clocks[1:])] == minutes
    kinds = {kind: sum(int(row[1]) for row in body if row[3].startswith(f"*{kind}"))
             for kind in ("talk", "exercise", "slack")}
    assert 65 <= kinds["talk"] <= 70 and kinds["exercise"] >= 10 and kinds["slack"] >= 10
    assert last[3] == f"{kinds['talk']} to talk, {kinds['exercise']} to do, {kinds['slack']} of slack"


def test_the_slides_are_those_of_the_sheet(page):
    sheet = rows(section("## Monday's sheet"))
    talks = [(int(row[1]), row[2]) for row in sheet if row[3].startswith("*talk")]
    assert [(minutes, lesson[:2]) for minutes, lesson, _ in page["PARTS"]] == talks
    last: dict[str, int] = {}
    for minutes, lesson, wanted in page["PARTS"]:
        numbers = [number for number, _, _ in page["picked"](lesson, wanted)]
        assert numbers == sorted(set(numbers)) and numbers[0] > last.get(lesson, 0), "as in the deck"
        last[lesson] = numbers[-1]
        assert 1.5 <= minutes / len(numbers) <= 4, f"{lesson}: {len(numbers)} slides in {minutes} minutes"
    with pytest.raises(ValueError, match="section 'No such' has 0 slides"):
        page["picked"]("03_quantizer", {"No such": ()})


def test_no_slide_is_shown_without_those_that_it_needs(page):
    shown_ = [(lesson, name) for _, lesson, wanted in page["PARTS"] for name in wanted]
    levels = {"The paper's levels", "Equally probable", "How dense"}
    chosen = {name for name in levels for lesson, one in shown_ if lesson[:2] == "03" and name in one}
    assert chosen in (set(), levels), "range map and cube root need each other"
    for first, then in (("How many in a step", "Dial 1"), ("Guidance as a formula", "Dial 2"),
                        ("Dial 2", "Guidance in numbers"), ("All dimensions at once?", "The parallel head"),
                        ("MAR's way", "One question"), ("Uniform levels", "Levels fitted to the data")):
        names = [name for _, name in shown_]
        assert names.index(first) < names.index(then)


def test_committed_slides_are_those_of_the_decks(page):
    assert page["slide_table"]() in shown("## Ninety minutes"), "execute teaching.ipynb again"


def test_the_effort_is_the_sum_of_the_checklist(page):
    *body, last = rows(section("## Monday's checklist"))
    sums = [sum(int(row[column]) for row in body) for column in (2, 3)]
    assert [int(cell) for cell in last[2:]] == sums
    assert f"{sums[0]} minutes for ninety minutes, {sums[1]} for the day" in MARKDOWN[0]
    aloud = next(row for row in body if "aloud" in row[1])
    talk = sum(session.talk for session in page["DAY"] if session.lesson != "discussion")
    assert abs(int(aloud[2]) - sum(part[0] for part in page["PARTS"])) <= 5 and abs(int(aloud[3]) - talk) <= 5
    assert not re.search(r"two evenings|half a day|an evening is", TEXT)


def test_the_exercise_on_paper_has_the_right_answers():
    exercise = section("### The exercise on paper")
    table = torch.tensor([[1.0, 1.0], [1.0, 0.0]], dtype=torch.float64) / 3
    product = table.sum(1)[:, None] * table.sum(0)[None]
    assert product[1, 1].item() == pytest.approx(1 / 9) and "1/9 of all draws" in exercise
    parallel, chain = (-torch.special.xlogy(table, part).sum().item() for part in (product, table))
    for number, words in ((parallel, "= {:.2f}, the chain"), (chain, "ln 3 = {:.2f}. The"),
                          (parallel - chain, "{:.2f} nats, is the mutual")):
        assert words.format(number) in exercise


def test_eight_misconceptions_each_with_the_right_idea():
    found = re.findall(r'^(\d)\. \*\*"[^"]+\."\*\* (.*\(\[\d\d\]\(\w+\.ipynb\)\)\.)$',
                       section("## Common misconceptions"), re.M)
    assert [number for number, _ in found] == list("12345678")
    assert all(8 <= len(idea.split()) <= 40 for _, idea in found)


def test_five_exam_questions_whose_points_and_answers_are_right():
    asked = [source for source in MARKDOWN if re.match(r"### E\d\. .*\? \(\d points\)\n", source)]
    assert [source[4:6] for source in asked] == ["E1", "E2", "E3", "E4", "E5"]
    points = [int(re.search(r"\((\d) points\)", source)[1]) for source in asked]
    assert sum(points) == 20
    for source, most in zip(asked, points, strict=True):
        answer = source.split("<summary>Short answer</summary>")[1].split("</details>")[0]
        given = [int(one) for one in re.findall(r"\((\d)\)", answer)]
        several = re.search(r"\(1 each, at most (\d)\)", answer)
        assert sum(given) + (int(several[1]) if several else 0) == most, source.splitlines()[0]
    levels, latents = torch.tensor([[-1.5, -0.5, 0.5, 1.5]]), torch.tensor([[-0.2], [0.0], [2.7]])
    assert quantize(latents, levels).flatten().tolist() == [1, 1, 3] and "Indices 1, 1, 3" in asked[1]
    assert cosine_schedule(16, 2) == [5, 11] and "5, then 11" in asked[3]


def test_nothing_is_left_to_be_filled_in():
    assert TEXT.count("the address where you found this") == 1
    assert not re.search(r"\bADDRESS\b|\bURL\b|\bTODO\b|example\.(com|org)", TEXT)


# ---- questions, projects, beginnings

def test_ten_questions_each_with_its_answer_behind_a_fold():
    asked = [source for source in MARKDOWN if re.match(r"### \d+\. .*\?", source)]
    assert [int(source[4:].split(".")[0]) for source in asked] == list(range(1, 11))
    for source in asked:
        for part in ("<details><summary>An answer</summary>\n\n", "\n\n</details>"):
            assert source.count(part) == 1, f"{source.splitlines()[0]}: {part!r}"
        answer = source.split("</summary>")[1]
        assert 90 <= len(answer.split()) <= 260, source.splitlines()[0]
        assert re.search(r"\]\(\w+\.ipynb\)", answer), "an answer leads to a lesson"


def test_links_and_the_sections_they_name_exist():
    for target in re.findall(r"\]\(([\w/.]+)\)", TEXT):
        assert (notebooks.NBS / target).exists(), target
    for name, section in re.findall(r"\]\((\w+)\.ipynb\)[^()*\n]{0,3}, \*([^*]+)\*", TEXT):
        prose = [cell for cell in notebooks.read(name)["cells"] if cell["cell_type"] == "markdown"]
        headings = [line.lstrip("# ") for cell in prose for line in cell["source"].splitlines()
                    if line.startswith("#")]
        assert any(heading.startswith(section.rstrip("?.")) for heading in headings), (name, section)


def test_the_baselines_are_those_of_the_records():
    text = shown("## Three projects")
    demo, shipped = (read_json(results_folder() / f"{name}.json") for name in ("demo-cifar10", "cifar-tiny"))
    assert f"gain {demo['results']['generator']['gain']:.3f}" in text, "execute teaching.ipynb again"
    assert f"gain {shipped['results']['generator']['gain']:.3f}" in text, "execute teaching.ipynb again"
    assert f"at most {12 * demo['seconds'] / 3600:.1f} hours" in text


def test_a_class_can_begin_at_each_lesson():
    source = next(source for source in MARKDOWN if source.startswith("## Begin anywhere"))
    rows = dict(re.findall(r"^\| \[[^\]]+\]\((\w+)\.ipynb\) \| (.*) \|$", source, re.M))
    assert list(rows) == LESSONS and all(10 <= len(words.split()) <= 90 for words in rows.values())


# ---- what is said of tools and files

def test_the_table_of_a_class_is_what_grade_prints(tmp_path, capsys):
    for learner in ("ada", "bob"):
        lab.main(["03_quantizer", "--lab", str(tmp_path / learner)])
    path = tmp_path / "ada" / "03_quantizer.ipynb"
    book = path.read_text(encoding="utf-8")
    for old, new in (("guess=None", "guess=90"), ("value=None", "value=0.5")):
        assert old in book
        book = book.replace(old, new)
    path.write_text(book, encoding="utf-8")
    assert all(not cell.get("outputs") for cell in json.loads(book)["cells"]), "a lab has no outputs"
    capsys.readouterr()
    assert grade.main([str(tmp_path)]) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    block = next(part for kind, part in re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.M | re.S) if not kind)
    assert [line.rstrip() for line in block.splitlines()] == printed


def test_commands_exist():
    make = (notebooks.ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^|`)make ([a-z]+)", TEXT, re.M)):
        assert f"\n{target}:" in make, target
    for variable in ("ARGS", "LAB"):
        assert f"$({variable})" in make


def test_decks_that_are_called_finished_are(page):
    for number, kind in page["DECKS"].items():
        name, = [name for name in LESSONS if name.startswith(number)]
        marked = [cell for cell in notebooks.read(name)["cells"]
                  if "slide-only" in notebooks.tags(cell) or "slide" in cell["metadata"]]
        assert marked, f"{name} carries nothing for slides"
        assert kind == "by rule" or len(marked) >= 12, f"{name}: {len(marked)} cells were made for its deck"


def test_the_citation_is_that_of_the_project():
    citation = yaml.safe_load((notebooks.ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    cited = citation["preferred-citation"]
    entry = next(part for part in re.findall(r"```bibtex\n(.*?)```", TEXT, re.S))
    names = " and ".join(f"{one['family-names']}, {one['given-names']}" for one in cited["authors"])
    for part in (cited["title"], names, str(cited["year"]), cited["identifiers"][0]["value"]):
        assert part in entry, part
    assert "MIT" in TEXT and (notebooks.ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT")
