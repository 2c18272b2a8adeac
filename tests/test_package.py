"The package as a whole: what it imports, in which order, what that costs, and what no file may hold."
import ast
import subprocess
import sys

import pytest

from tests.tools.notebooks import ROOT

ORDER = ["data", "vae", "quantizer", "transformer", "backbone", "head", "model", "optim", "training",
         "generation", "folders", "pipeline", "latents", "blocks", "evaluation", "recipes", "full_size",
         "official", "cli"]
APPENDICES = ["checks", "files", "drawn", "cifar10", "pictures", "plots", "classifier", "checkpoints", "kl16",
              "processes",
              "fid", "options", "course", "drawings"]
LATE = ["benchmark", "demo", "experiments", "shell"]   # appendices that stand on everything
ALLOWED = {"torch", "numpy", "einops", "PIL", "tqdm", "safetensors", "filelock", "matplotlib", "accelerate",
           "tyro", "huggingface_hub", "torch_fidelity",
           "tokenbridge"}
AT_THE_TOP = {"matplotlib": {"plots", "drawings"}, "filelock": set(), "accelerate": set(),
              "tyro": {"options"},
              "huggingface_hub": set(), "torch_fidelity": set()}
MODULES = [path.stem for path in sorted((ROOT / "tokenbridge").glob("*.py")) if not path.stem.startswith("_")]


def imports(module: str) -> list[tuple[str, bool]]:
    "All names that a module imports, as dotted paths, and whether it does so at its top."
    tree = ast.parse((ROOT / "tokenbridge" / f"{module}.py").read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = f"tokenbridge.{node.module or ''}".rstrip(".") if node.level else node.module
            if source == "tokenbridge":
                found += [(f"tokenbridge.{alias.name}", id(node) in top) for alias in node.names]
            else:
                found.append((source, id(node) in top))
    return found


def local(name: str) -> str | None:
    "The module of the package that an imported path names."
    parts = name.split(".")
    return parts[1] if parts[0] == "tokenbridge" and len(parts) > 1 and parts[1] in MODULES else None


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_from_above(module):
    assert module in ORDER + APPENDICES + LATE, f"{module}: which place has it in the order of the modules?"
    if module in [*LATE, "cli"]:  # these may use everything
        return
    above = ORDER[:ORDER.index(module)] + APPENDICES if module in ORDER else [
        "checks", "files", "data", "pictures", "processes"]
    wrong = sorted({found for name, _ in imports(module) if (found := local(name)) and found not in above})
    assert not wrong, f"{module} imports {wrong}"


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_what_is_required(module):
    roots = {name.split(".")[0] for name, _ in imports(module)}
    outside = roots - set(sys.stdlib_module_names) - {"__future__"}
    assert not (outside - ALLOWED), f"{module} imports {sorted(outside - ALLOWED)}"
    early = {name.split(".")[0] for name, top in imports(module) if top}
    heavy = [name for name, where in AT_THE_TOP.items() if name in early and module not in where]
    assert not heavy, f"{module} imports {heavy} at its top; that belongs into the function that needs it"


def loaded_after(statement: str, names: list[str]) -> list[str]:
    "Which of the modules are loaded in a fresh interpreter after the statement."
    code = f"import sys\n{statement}\nprint(*[name for name in {names!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.split()


def test_import_costs_nothing():
    assert loaded_after("import tokenbridge", ["torch", "numpy", "matplotlib"]) == []


def test_the_three_nouns():
    late = ["matplotlib", "accelerate", "tyro", "huggingface_hub", "nbdev", "fastcore"]
    assert loaded_after("from tokenbridge import VAE, Quantizer, TokenBridge", late) == []
    import tokenbridge
    with pytest.raises(AttributeError, match="no attribute 'Unknown'"):
        tokenbridge.Unknown


# Absolute paths of somebody's machine and hosts of registries; put together here: this file is no hit.
NEVER = ["/wo" + "rk/", "/home" + "/", "/ro" + "ot/", "/opt/" + "py", "/opt/" + "wheels",
         "files.pythonhosted" + ".org",
         "pypi" + ".org", "registry.npmjs" + ".org", "deb.debian" + ".org"]
OUTSIDE_TESTS = ["../sha" + "red", "shared/" + "design"]
SKIP = {".git", ".mypy_cache", ".ruff_cache", ".venv", "runs", "build", "_build", "dist", "__pycache__",
        ".pytest_cache", ".hypothesis", ".ipynb_checkpoints", "cifar10"}


def committed_texts():
    "The text files of the checkout, by their path."
    for path in sorted(ROOT.rglob("*")):
        relative = path.relative_to(ROOT)
        hidden = any(part in SKIP or part.endswith(".egg-info") for part in relative.parts)
        if path.is_file() and not hidden and path.suffix not in (".safetensors", ".png", ".npz"):
            yield relative, path.read_text(encoding="utf-8", errors="ignore")


def test_nothing_names_a_machine():
    found = []
    for path, text in committed_texts():
        words = NEVER + ([] if path.parts[0] == "tests" else OUTSIDE_TESTS)
        found += [f"{path}: {word}" for word in words if word in text]
    assert not found, found


def test_constraints_cover_the_requirements():
    import configparser
    import re
    settings = configparser.ConfigParser(delimiters=["="])
    settings.read(ROOT / "settings.ini", encoding="utf-8")
    wanted = " ".join(settings["DEFAULT"][key] for key in ("requirements", "dev_requirements")).split()
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line.split("==")[0] for line in lines if line and not line.startswith("#")]
    plain = [re.sub(r"[-_.]+", "-", name).lower() for name in pinned]
    missing = [name for word in wanted
               if (name := re.split(r"[<>=!~]", word)[0].replace("_", "-").lower()) not in plain]
    assert not missing, f"no tested version in constraints.txt: {missing}"
    assert all("==" in line for line in lines if line and not line.startswith("#")), "versions only, no paths"
