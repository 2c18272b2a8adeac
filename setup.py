"Package metadata comes from settings.ini; the shipped weights in data/pretrained travel in the wheel."
import configparser
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
SETTINGS = configparser.ConfigParser(delimiters=["="])
SETTINGS.read(HERE / "settings.ini", encoding="utf-8")
CONFIG = SETTINGS["DEFAULT"]


class BuildWithWeights(build_py):
    "Copies data/pretrained into the built package, where `from_pretrained` finds it (an editable install reads the checkout)."

    def run(self):
        super().run()
        source = HERE / "data" / "pretrained"
        if source.is_dir() and not self.editable_mode:
            shutil.copytree(source, Path(self.build_lib) / "tokenbridge" / "pretrained", dirs_exist_ok=True)


def words(key: str) -> list[str]:
    return CONFIG.get(key, "").split()


setup(
    name=CONFIG["lib_name"],
    version=CONFIG["version"],
    description=CONFIG["description"],
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    author=CONFIG["author"],
    keywords=CONFIG["keywords"],
    packages=["tokenbridge"],
    package_data={"tokenbridge": ["py.typed"]},
    python_requires=f">={CONFIG['min_python']}",
    install_requires=words("requirements"),
    extras_require={extra: words(f"{extra}_requirements") for extra in ("dev", "hub", "eval", "diffusers", "browser")},
    entry_points={"console_scripts": words("console_scripts"),
                  "nbdev": ["tokenbridge=tokenbridge._modidx:d"]},
    cmdclass={"build_py": BuildWithWeights},
    zip_safe=False,
)
