"README.md and its pictures are what index.ipynb says, from its committed outputs and executed afresh."
import re

from PIL import Image

from tests.tools import notebooks, readme
from tokenbridge.data import drawn_images


def test_readme_is_what_the_committed_index_says():
    text, pictures = readme.convert(notebooks.read("index"))
    assert readme.readme_differences(text, pictures, compare_pictures=True) == []


def test_readme_comes_out_the_same_again():
    data = notebooks.real_images()
    text, pictures = readme.convert(notebooks.execute("index", data=data))
    assert readme.readme_differences(text, pictures, compare_pictures=data is not None) == []


def test_the_fifteen_lines_of_the_readme_run(tmp_path, monkeypatch):
    "From a folder of pictures to a sheet of generated ones, as README says it, in fewer steps."
    blocks = re.findall(r"```python\n(.*?)```", readme.README.read_text(encoding="utf-8"), re.S)
    lines = next(block for block in blocks if "image_folder" in block)
    assert len([line for line in lines.splitlines() if line]) <= 15
    for number, (picture, label) in enumerate(drawn_images(6, size=64)):
        (place := tmp_path / "photos" / f"{label}").mkdir(parents=True)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(place / f"{number}.jpg")
    settings = re.compile(r"steps=\d+, batch_size=\d+(, warmup=\d+)?")
    short, count = settings.subn("steps=1, batch_size=2, warmup=0", lines)
    assert count == 2
    monkeypatch.chdir(tmp_path)
    exec(compile(short, "README.md", "exec"), {})
    assert min(Image.open("mine/samples.png").size) >= 2 * 64
