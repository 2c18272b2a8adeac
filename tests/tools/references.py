"""Reference answers that depend on weights or images: what the solutions compute is written into the table.

`make run ARGS=solutions` executes nbs/solutions.ipynb with CIFAR-10 and again with drawn images, and rewrites
data/pretrained/exercises.json. An answer that depends on nothing is not rewritten: it must come out as it is.
"""
import json
import re

from tests.tools import notebooks
from tokenbridge.course import exercises, fits

TABLE = notebooks.ROOT / "data" / "pretrained" / "exercises.json"
SAID = re.compile(r"^(\d\d[emh](?:-\d)?): (.*)$", re.M)
YOURS = re.compile(r"\(yours: (.*)\)")


def verdicts(executed: dict) -> dict[str, str]:
    "By exercise: what `check` printed in an executed notebook."
    texts = [notebooks.joined(output["text"]) for cell in notebooks.code_cells(executed)
             for output in cell["outputs"] if output["output_type"] == "stream"]
    return dict(SAID.findall("\n".join(texts)))


def answers(executed: dict) -> dict[str, object]:
    "By exercise: the value that was handed to `check`, functions aside."
    found = {exercise: YOURS.search(said) for exercise, said in verdicts(executed).items()}
    return {exercise: rounded(json.loads(match[1])) for exercise, match in found.items() if match}


def rounded(value):
    "Six digits: more would change with the machine."
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def wrong(executed: dict, judged: bool = True) -> list[str]:
    "The exercises whose solution is not right; `judged`: functions must have been judged, too."
    said = verdicts(executed)
    missing = [f"{exercise}: no solution" for exercise in exercises() if exercise not in said]
    allowed = "right" if judged else ("right", "the tests come with a checkout")
    return missing + [f"{exercise}: {text}" for exercise, text in said.items()
                      if not text.startswith(allowed)]


def updated(real: dict, drawn: dict) -> dict[str, dict]:
    "The table with the answers of two executions: with CIFAR-10 and with drawn images."
    table, first, second = exercises(), answers(real), answers(drawn)
    for exercise, row in table.items():
        if row.get("depends", "nothing") == "nothing" or exercise not in first:
            continue
        row["reference"] = first[exercise]
        row.pop("reference_drawn", None)
        if exercise in second and not fits(exercise, second[exercise], first[exercise]):
            row["reference_drawn"] = second[exercise]
    return table


def write(table: dict[str, dict]) -> bool:
    "Write the table, a line for each exercise; True if anything has changed."
    lines = [f" {json.dumps(exercise)}: {json.dumps(table[exercise], ensure_ascii=False)}"
             for exercise in sorted(table, key=lambda name: (name[:2], "emh".index(name[2]), name))]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    changed = text != TABLE.read_text(encoding="utf-8")
    TABLE.write_text(text, encoding="utf-8")
    return changed
