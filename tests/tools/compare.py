"""Do two executions of a notebook show the same? The tolerances of the project, in one place.

- Cells tagged `volatile` and what goes to stderr (progress, warnings) are exempt.
- Words must agree. Numbers may differ by RELATIVE of the larger one, or by one unit of the last digit printed
  after a point: enough for another processor's order of summation, too little for another result. Whole
  numbers below 50 must agree.
- Pictures must have the same size (SLACK pixels aside) and differ by at most PICTURE of the full range, on
  average over the pixels; the part of the picture that is not background counts, so that a line in a white
  plot is not lost.
"""
import base64
import io
import re

from tests.tools.notebooks import code_cells, joined, tags

RELATIVE = 2e-2
PICTURE = 4e-2
SLACK = 2
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][-+]?\d+)?")
ADDRESS = re.compile(r"( at)? 0x[0-9a-fA-F]{6,}")  # nbdev_clean takes them out of committed outputs


def differences(committed: dict, executed: dict) -> list[str]:
    "What differs between the outputs of the same cells, one line each."
    found = []
    pairs = zip(code_cells(committed), code_cells(executed), strict=True)
    for number, (old, new) in enumerate(pairs):
        if "volatile" in tags(old) or "volatile" in tags(new):
            continue
        found += [f"code cell {number} ({old['source'].splitlines()[0][:60]!r}): {words}"
                  for words in _outputs(old, new)]
    return found


def _outputs(old: dict, new: dict) -> list[str]:
    old, new = shown(old["outputs"]), shown(new["outputs"])
    if [kind for kind, _ in old] != [kind for kind, _ in new]:
        return [f"committed outputs are {[kind for kind, _ in old]}, new ones {[kind for kind, _ in new]}"]
    return [words for (kind, before), (_, after) in zip(old, new)
            if (words := picture_difference(before, after) if kind == "image/png"
                else text_difference(before, after))]


def shown(outputs: list[dict]) -> list[tuple[str, str]]:
    "What a reader sees of a cell's outputs, as (kind, content); text printed in pieces is one text."
    found = []
    for output in outputs:
        if output["output_type"] == "stream":
            if output["name"] == "stdout" and found and found[-1][0] == "stdout":
                found[-1] = ("stdout", found[-1][1] + joined(output["text"]))
            elif output["name"] == "stdout":
                found.append(("stdout", joined(output["text"])))
        elif output["output_type"] == "error":
            found.append(("error", f"{output['ename']}: {output['evalue']}"))
        else:
            data = output["data"]
            kinds = [kind for kind in ("image/png", "text/markdown", "text/html", "text/latex", "text/plain")
                     if kind in data]
            found += [(kind, joined(data[kind])) for kind in kinds[:1]]
    return found


def text_difference(old: str, new: str) -> str:
    "Empty if two texts agree within the tolerance, else where they first do not."
    old, new = (ADDRESS.sub("", text).split("\n") for text in (old.strip(), new.strip()))
    if len(old) != len(new):
        return f"committed text has {len(old)} lines, the new one {len(new)}"
    for before, after in zip(old, new):
        same_words = NUMBER.sub("#", before).split() == NUMBER.sub("#", after).split()
        if not same_words or not all(map(close, NUMBER.findall(before), NUMBER.findall(after))):
            return f"committed {before.strip()[:80]!r}, new {after.strip()[:80]!r}"
    return ""


def close(old: str, new: str) -> bool:
    "Do two printed numbers agree within the tolerance?"
    before, after = float(old.replace(",", "")), float(new.replace(",", ""))
    decimals = max(_decimals(old), _decimals(new))
    unit = 10.0 ** -decimals if decimals else 0.0
    return abs(before - after) <= max(RELATIVE * max(abs(before), abs(after)), unit) * (1 + 1e-9)


def _decimals(number: str) -> int:
    mantissa, _, exponent = number.lower().partition("e")
    return max(0, len(mantissa.partition(".")[2]) - int(exponent or 0))


def picture_difference(old: str | bytes, new: str | bytes) -> str:
    "Empty if two PNG pictures (base64 text or bytes) agree within the tolerance, else how much they differ."
    import numpy as np
    from PIL import Image
    old, new = (data if isinstance(data, bytes) else base64.b64decode(data) for data in (old, new))
    if old == new:
        return ""
    old, new = (np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=np.float32)
                for data in (old, new))
    if max(abs(old.shape[0] - new.shape[0]), abs(old.shape[1] - new.shape[1])) > SLACK:
        return (f"committed picture has {old.shape[1]}x{old.shape[0]} pixels, "
                f"the new one {new.shape[1]}x{new.shape[0]}")
    rows, columns = min(old.shape[0], new.shape[0]), min(old.shape[1], new.shape[1])
    old, new = old[:rows, :columns], new[:rows, :columns]
    drawn = ((old < 250) | (new < 250)).any(axis=2)
    mean = float(np.abs(old - new)[drawn].mean() / 255) if drawn.any() else 0.0
    return f"pictures differ by {mean:.3f} on average, {PICTURE} allowed" if mean > PICTURE else ""
