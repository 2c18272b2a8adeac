"Fixtures that several test files use, and one deterministic profile for hypothesis."
import os
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]
hypothesis.settings.register_profile("tokenbridge", deadline=None, derandomize=True, database=None,
                                     max_examples=30,
                                     suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tokenbridge")


@pytest.fixture(scope="session")
def golden() -> Path:
    "The folder with the official model's golden files; tests that need it are skipped where it is absent."
    folder = Path(os.environ.get("TOKENBRIDGE_GOLDEN", ROOT.parent / "shared" / "golden"))
    if not (folder / "tokenbridge-small.safetensors").exists():
        pytest.skip("the golden files of the official model are not here (TOKENBRIDGE_GOLDEN)")
    return folder


@pytest.fixture(scope="session")
def real_images() -> Path:
    "The folder of the real CIFAR-10; tests that need it are skipped where it is absent."
    from tests.tools.notebooks import real_images
    folder = real_images()
    if folder is None:
        pytest.skip("CIFAR-10 is not here (TOKENBRIDGE_DATA)")
    return folder


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    "The built wheel in an environment of its own, with a copy of the lessons: made once for all workers."
    from filelock import FileLock

    from tests.tools import installed
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "installed"
    with FileLock(f"{home}.lock"):
        if not (home / "made").exists():
            installed.installed_place(home, installed.build_wheel(home))
            (home / "made").touch()
    return installed.Place(home)


@pytest.fixture
def without_settings(monkeypatch) -> None:
    "No TOKENBRIDGE_* variable of the developer's shell reaches the test."
    for name in [name for name in os.environ if name.startswith("TOKENBRIDGE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(params=["masked", "causal"])
def tiny_model(request):
    "An ARModel of each kind: 6 tokens, 5 dimensions, 7 levels, 3 classes."
    from tests.tools import tiny
    return tiny.tiny_model(request.param)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    "A saved TokenBridge of 32 x 32 pixels, 4 x 4 tokens, 5 dimensions, 7 levels, 3 classes."
    from tests.tools import tiny
    return tiny.save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory) -> Path:
    "The same without a generator."
    from tests.tools import tiny
    return tiny.save_tiny(tmp_path_factory.mktemp("tiny-tokenizer"), generator=False)
