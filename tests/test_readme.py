"README.md and its pictures are what index.ipynb says, from its committed outputs and executed afresh."
from tests.tools import notebooks, readme


def test_readme_is_what_the_committed_index_says():
    text, pictures = readme.convert(notebooks.read("index"))
    assert readme.readme_differences(text, pictures, compare_pictures=True) == []


def test_readme_comes_out_the_same_again():
    data = notebooks.real_images()
    text, pictures = readme.convert(notebooks.execute("index", data=data))
    assert readme.readme_differences(text, pictures, compare_pictures=data is not None) == []
