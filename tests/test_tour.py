"The pages that a newcomer opens first lead everywhere: no lesson is left out, every link ends at a file."
import re

import pytest

from tests.tools import compare, notebooks

LINK = re.compile(r"\]\((?![a-z]+:|#)([^)\s]+)\)")


def links(name):
    "The local targets of a notebook's links, in its prose and in the Markdown that its cells make."
    text = ""
    for cell in notebooks.read(name)["cells"]:
        text += cell["source"] if cell["cell_type"] == "markdown" else ""
        shown = compare.shown(cell.get("outputs", []))
        text += "".join(content for kind, content in shown if kind == "text/markdown")
    return set(LINK.findall(text))


@pytest.mark.parametrize("name", ["00_tour", "index"])
def test_every_link_ends_at_a_file(name):
    missing = sorted(target for target in links(name) if not (notebooks.NBS / target.split("#")[0]).is_file())
    assert not missing, missing


@pytest.mark.parametrize("name", ["00_tour", "index"])
def test_no_lesson_is_left_out(name):
    others = {f"{other}.ipynb" for other in notebooks.names() if other not in (name, "index")}
    assert others <= links(name), others - links(name)
