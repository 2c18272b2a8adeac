"The tools of the tests: they must see what they are there to see."
import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.tools import compare, lessons, notebooks, readme, ship
from tests.tools import prose as prose_tool
from tests.tools.tiny import save_tiny
from tokenbridge.pipeline import TokenBridge, load_example_tokens
from tokenbridge.recipes import load_run, round_weights_


def png(array) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(array, dtype=np.uint8)).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def printed(text: str) -> dict:
    return {"output_type": "stream", "name": "stdout", "text": text}


def shown(kind: str, content: str) -> dict:
    return {"output_type": "display_data", "data": {kind: content}, "metadata": {}}


def code(source: str, *outputs: dict, tags=()) -> dict:
    return {"cell_type": "code", "id": f"c{abs(hash(source)) % 10**7}", "metadata": {"tags": list(tags)},
            "source": source,
            "outputs": list(outputs), "execution_count": None}


def prose(source: str) -> dict:
    return {"cell_type": "markdown", "id": "m", "metadata": {}, "source": source}


def book(*cells: dict) -> dict:
    return {"cells": list(cells),
            "metadata": {"kernelspec": {"name": "python3", "language": "python", "display_name": "python3"}},
            "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    "A checkout of its own, with a folder nbs."
    nbs = tmp_path / "nbs"
    nbs.mkdir()
    (tmp_path / "settings.ini").write_text((notebooks.ROOT / "settings.ini").read_text())
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(notebooks, "NBS", nbs)
    monkeypatch.setattr(notebooks, "RECORD", nbs / "outputs.json")
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    monkeypatch.setattr(readme, "IMAGES", nbs / "images")
    return nbs


def save(folder, name: str, *cells: dict) -> None:
    (folder / f"{name}.ipynb").write_text(json.dumps(book(*cells)))


# ---- sizes

@pytest.mark.parametrize("source, lines", [
    ("#| export\nimport os\n\n# why\nx = 1  # what\n", 2),
    ('def f(\n    a: int,  # first\n    b: int,  # second\n) -> int:  # sum\n    "Add."\n    return a + b\n',
     2),
    ('"""A cell\nthat only says something."""\n', 0),
    ("text = '''a\nb'''\n", 2),
    ("class A:\n    'Doc.'\n\n    def f(self):\n        return 1\n", 3),
    ("!tokenbridge info\n%matplotlib inline\nx = 1", 3),
    ("%%bash\nls |\n# not this\ndone)", 3),
])
def test_code_lines(source, lines):
    assert notebooks.code_lines(source) == lines


def test_longest_run():
    cells = [code("a = 1"), code("# only a comment"), code("b = 1"), prose("words"), code("c = 1")]
    assert notebooks.longest_run(book(*cells)) == 2


# ---- comparing

@pytest.mark.parametrize("old, new, same", [
    ("loss 1.234 after 10 steps", "loss 1.236 after 10 steps", True),
    ("loss 1.234 after 10 steps", "loss 1.334 after 10 steps", False),
    ("loss 1.234 after 10 steps", "loss 1.234 after 11 steps", False),
    ("loss 1.234", "cost 1.234", False),
    ("0.01", "0.02", True),          # one unit of the last digit
    ("0.01", "0.03", False),
    ("1,234 parameters", "1,235 parameters", True),
    ("1e-05", "1e-3", False),
    ("tensor([1.0, 2.0])", "tensor([1.0,\n        2.0])", False),
    ("<Thing at 0x7f8a12345678>", "<Thing>", True),
    ("one", "one\ntwo", False),
    ("x1 = 3", "x2 = 3", False),     # digits within a name are words
])
def test_text_difference(old, new, same):
    assert (compare.text_difference(old, new) == "") == same


def test_picture_difference():
    white = np.full((40, 60, 3), 255)
    line, other = white.copy(), white.copy()
    line[20], other[10] = 0, 0
    noise = line + np.random.default_rng(0).integers(0, 4, line.shape) * (line == 0)
    assert compare.picture_difference(png(line), png(line)) == ""
    assert compare.picture_difference(png(line), png(noise)) == ""
    assert "differ" in compare.picture_difference(png(line), png(other))  # one line moved in a white picture
    assert "pixels" in compare.picture_difference(png(line), png(line[:30]))


def test_volatile_and_progress_are_exempt():
    bar = {"output_type": "stream", "name": "stderr", "text": "10%"}
    old = book(code("time()", printed("1 s"), tags=["volatile"]), code("x", printed("a\n"), printed("b\n")))
    new = book(code("time()", printed("2 s"), tags=["volatile"]), code("x", bar, printed("a\nb\n")))
    assert compare.differences(old, new) == []
    new["cells"][1]["outputs"] = [printed("a\nc\n")]
    assert len(compare.differences(old, new)) == 1


# ---- executing, hashes

def test_a_changed_cell_is_stale(folder):
    save(folder, "01_a", code("x = 1", printed("1")), code("y = 2"))
    assert notebooks.stale_cells("01_a") == ["01_a.ipynb has no entry in nbs/outputs.json"]
    assert lessons.main(["hash"]) == 0 and notebooks.stale_cells("01_a") == []
    save(folder, "01_a", code("x = 1  ", printed("1")), code("y = 3"))
    assert notebooks.stale_cells("01_a") == ["code cell 1: 'y = 3'"] and lessons.main(["stale"]) == 1
    save(folder, "01_a", code("y = 2"), code("x = 1", printed("1")))
    assert notebooks.stale_cells("01_a") == ["code cells were removed, doubled or moved"]


def test_run_writes_and_check_compares(folder, monkeypatch, capsys):
    monkeypatch.delenv("TOKENBRIDGE_DATA", raising=False)
    save(folder, "01_a", code("import os; print('fast', os.environ.get('TOKENBRIDGE_FAST'))"),
         code("print('runtime 1 s of a budget of 2 s')", tags=["volatile"]))
    assert lessons.main(["run"]) == 2 and "real images" in capsys.readouterr().err
    assert lessons.main(["run", "--any-data", "01_a"]) == 0
    written = notebooks.read("01_a")
    assert written["cells"][0]["outputs"][0]["text"] == ["fast None\n"]
    hashes = [notebooks.source_hash(cell) for cell in written["cells"]]
    assert notebooks.read_record()["01_a"] == {"cells": hashes, "seconds": 1, "budget": 2}
    images = folder / "cifar-10-batches-bin"
    images.mkdir()
    (images / "data_batch_1.bin").touch()
    monkeypatch.setenv("TOKENBRIDGE_DATA", str(folder))
    assert lessons.main(["check", "nbs/01_a.ipynb"]) == 0
    written["cells"][0]["outputs"][0]["text"] = ["fast 1\n"]
    (folder / "01_a.ipynb").write_text(json.dumps(written))
    assert lessons.main(["check"]) == 1 and "committed 'fast 1', new 'fast None'" in capsys.readouterr().out


def test_a_failing_cell_is_shown(folder):
    save(folder, "01_a", prose("# A"), code("x = 1"), code("assert x == 2, 'x is not two'"))
    with pytest.raises(notebooks.LessonFailed, match=r"(?s)01_a.ipynb, cell 2:.*assert x == 2.*x is not two"):
        notebooks.execute("01_a")


# ---- README

def test_readme(folder):
    picture = png(np.zeros((4, 4, 3)))
    save(folder, "index",
         prose("# Title\n\n[a lesson](03_q.ipynb), [licence](../LICENSE), [web](https://a.b/c), [up](#top)"),
         code("x = 1", printed("hidden")),
         code("#| label: way\n#| alt: the way\ndraw()", shown("image/png", picture)),
         code("#| echo: true\nimport tokenbridge", printed("shown\n")),
         code("table()", shown("text/markdown", "| a |\n| - |\n| [b](images/x.png) |")),
         prose("```\n[left](alone)\n```"))
    assert readme.main(["--no-run"]) == 0
    text = (folder.parent / "README.md").read_text()
    for part in ("[a lesson](nbs/03_q.ipynb), [licence](LICENSE), [web](https://a.b/c), [up](#top)",
                 "![the way](nbs/images/way.png)", "```python\nimport tokenbridge\n```\n\n```\nshown\n```",
                 "| [b](nbs/images/x.png) |", "[left](alone)"):
        assert part in text
    assert "hidden" not in text and "#|" not in text
    assert [path.name for path in (folder / "images").iterdir()] == ["way.png"]
    assert readme.main(["--no-run", "--check"]) == 0
    (folder.parent / "README.md").write_text(text.replace("Title", "Another"))
    assert readme.main(["--no-run", "--check"]) == 1


def test_a_progress_bar_leaves_its_last_state():
    bar = [{"output_type": "stream", "name": "stderr", "text": text}
           for text in ("\r 0%", "\r 50%", "\r100%\n")]
    words = {"output_type": "stream", "name": "stdout", "text": "done\n"}
    assert [output["text"] for output in lessons.settled([*bar, words, words])] == ["100%\n", "done\ndone\n"]
    picture = {"output_type": "display_data", "data": {"image/png": "x"}}
    assert lessons.settled([words, picture, words]) == [words, picture, words]


@pytest.mark.parametrize("alpha, mode", [(255, "P"), (254, "RGBA")])   # 64 colours need no more than 256
def test_pictures_shrink_and_keep_their_pixels(alpha, mode):
    pixels = np.random.default_rng(0).integers(0, 4, (20, 30, 4), dtype=np.uint8)
    pixels[..., 3] = alpha
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png", compress_level=0)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    small = lessons.small_png(encoded)
    image = Image.open(io.BytesIO(base64.b64decode(small)))
    assert len(small) < len(encoded) and image.mode == mode
    assert (np.asarray(image.convert("RGBA")) == pixels).all()
    assert lessons.small_png(small) == small and lessons.small_png([small]) == small


# ---- two commits
def test_two_commits_name_what_differs():
    from tests.tools.two_commits import differences
    assert differences({"a": "1", "b": "2"}, {"a": "1", "b": "2"}) == []
    assert differences({"a": "1", "b": "2"}, {"b": "3", "c": "4"}) == ["a", "b", "c"]


BAD_PROSE = [   # a cell, and what must be said of it
    (prose("# One\n\ntext\n\n## Two"), "heading inside the cell: '## Two'"),
    (prose("word " * 121), "paragraph of 121 words"),
    (prose("It costs 2 nats a symbol."), "write 'per'"),
    (prose("The latents are no Gaussians."), "write 'is not a'"),
    (prose("Its width stands in its record."), "write 'is in'"),
    (prose("So it is. The loss fell."), "say what was seen"),
    (prose("Whoever wants it reads on."), "write you, we"),
    (prose("We get other numbers than the paper."), "write 'different from'"),
    (prose("A VQGAN in small."), "write 'at small scale'"),
    (prose("It is right on the average."), "write 'on average'"),
    (prose("Attention is dear."), "write 'expensive'"),
    (prose("Measured: 3 s."), "subject and verb"),
    (prose("We see two: one: and two."), "two colons"),
    (prose("It holds. (This is a whole sentence in parentheses.)"), "a whole sentence in parentheses"),
    (code("assert 1 + 1 == 2"), "assert without a message: 'assert 1 + 1 == 2'"),
    (code("x = '" + "y" * 110 + "'"), "line 1 has 116 columns"),
    (code("def f():\n    'Nobody may look.'"), "write you, we"),
    (code("x = 1  # on the average"), "write 'on average'"),
]
GOOD_PROSE = [
    prose("## One\n\nThere is no way to know more than `nobody` does (see below): 2 nats per symbol,"
          " $a: b: c$."),
    prose("```\n# nobody: nothing: none\n```"),
    prose("| **Goal** | a row: one |\n| --- | --- |\n| x | y |"),
    code("assert 1 + 1 == 2, 'sums are exact'"),
    code("%%bash\nnobody: is: here"),
]


@pytest.mark.parametrize("cell, words", BAD_PROSE, ids=[words[:20] for _, words in BAD_PROSE])
def test_prose_finds(cell, words):
    found = prose_tool.findings(book(cell))
    assert len(found) == 1 and words in found[0], found


def test_prose_leaves_good_sentences_alone():
    assert not prose_tool.findings(book(*GOOD_PROSE))
    long = code("\n".join(f"x{i} = {i}" for i in range(9)))
    assert prose_tool.findings(book(long)) == ["median of 9 code lines a cell, aim 8"]
    assert not prose_tool.findings(book(long), lesson=False)


@pytest.mark.parametrize("stated, said", [("budget 3 minutes on 2 CPU cores", "about 45 s"),
                                          ("about 300 s, measured", "about 45 s"),
                                          ("about 50 s, measured there", "about 50 s")])
def test_the_table_states_the_measured_runtime(stated, said):
    "Unless what stands there is about right, so that no execution changes it for nothing."
    notebook = {"cells": [{"source": f"# A lesson\n\n| | |\n| --- | --- |\n| **Runtime** | {stated} |\n"}]}
    lessons.state_runtime(notebook, (44, 150))
    text = notebooks.joined(notebook["cells"][0]["source"])
    assert f"| **Runtime** | {said}" in text and text.endswith(" |\n")
    lessons.state_runtime(notebook, None)
    assert notebooks.joined(notebook["cells"][0]["source"]) == text


@pytest.mark.parametrize("name", notebooks.names())
def test_runtimes_are_measured(name):
    notebook = notebooks.read(name)
    before = notebooks.joined(notebook["cells"][0]["source"])
    lessons.state_runtime(notebook, notebooks.runtime(notebook))
    assert notebooks.joined(notebook["cells"][0]["source"]) == before


@pytest.mark.parametrize("generator", [True, False])
def test_a_finished_run_is_shipped(tmp_path, capsys, generator):
    run = save_tiny(tmp_path / "run", generator, classes=10)
    model = load_run(run)
    round_weights_(model.vae)
    if generator:
        round_weights_(model.ar)
        model.ar.trained_on = None
    TokenBridge(model.vae, model.quantizer, model.ar, classes=model.classes).save_pretrained(run)
    words = [str(run), "mine", "--cfg-scale", "4", "--out", str(tmp_path / "models"), "--data", "drawn"]
    assert ship.main(words) == 0
    assert "the same images" in capsys.readouterr().out
    shipped = TokenBridge.from_pretrained(tmp_path / "models" / "mine")
    assert shipped.name == "mine" and shipped.sampling.cfg_scale == 4
    indices, labels = load_example_tokens(tmp_path / "models" / "mine")
    assert indices.shape == (64, 16, 5) and len(labels) == 64


def test_a_run_that_draws_other_images_is_not_shipped(tmp_path):
    run = save_tiny(tmp_path / "run", classes=10)   # its weights do not fit into 16 bits
    with pytest.raises(ValueError):
        ship.ship(run, "mine", {}, tmp_path / "models", "drawn")


# ---- pictures in outputs

@pytest.mark.parametrize("pixels, mode", [
    (np.repeat(np.arange(12, dtype=np.uint8), 400).reshape(40, 40, 3), "P"),   # a plot: few colours
    (np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8), "RGB")])   # 256 would be seen
def test_pictures_keep_256_colours_where_they_suffice(pixels, mode):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png", compress_level=0)
    smaller = lessons.small_png(base64.b64encode(buffer.getvalue()).decode())
    found = Image.open(io.BytesIO(base64.b64decode(smaller)))
    error = np.square(np.asarray(found.convert("RGB"), dtype=float) - pixels).mean()
    assert found.mode == mode and error <= lessons.FEW_COLOURS
