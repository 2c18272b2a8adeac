"""Every exported name has a row in tests/bad_inputs/MODULE.py, and every row's call fails as it says.

ROWS = {"name": [(call, error, "part of the message"), ...], "other": "internal: why it needs none"}
"""
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(path.stem for path in (ROOT / "tokenbridge").glob("*.py") if not path.stem.startswith("_"))
LONGEST = 300  # characters of a message


def table(module: str) -> dict | Exception:
    try:
        return importlib.import_module(f"tests.bad_inputs.{module}").ROWS
    except Exception as error:  # shown by the test of that module
        return error


TABLES = {module: table(module) for module in MODULES}
CALLS = [pytest.param(*row, id=f"{module}.{name}[{number}]")
         for module, rows in TABLES.items() if isinstance(rows, dict)
         for name, entry in rows.items() if not isinstance(entry, str)
         for number, row in enumerate(entry)]


@pytest.mark.parametrize("module", MODULES)
def test_every_exported_name_has_a_row(module):
    rows = TABLES[module]
    assert isinstance(rows, dict), f"tests/bad_inputs/{module}.py: {type(rows).__name__}: {rows}"
    exported = importlib.import_module(f"tokenbridge.{module}").__all__
    assert not (missing := sorted(set(exported) - set(rows))), f"no row for {', '.join(missing)}"
    commands = {f"command {name}" for name in COMMANDS}
    unknown = sorted({name.split(".")[0] for name in rows} - set(exported) - commands)
    assert not unknown, f"rows for names that {module} does not export: {', '.join(unknown)}"


@pytest.mark.parametrize("module", MODULES)
def test_rows_say_something(module):
    rows = TABLES[module] if isinstance(TABLES[module], dict) else {}
    for name, entry in rows.items():
        if isinstance(entry, str):
            said = ":" in entry and len(entry.split()) >= 3
            assert said, f"{name}: say why no row is needed, as 'internal: why'"
        else:
            assert len(entry) > 0, f"{name}: an empty list checks nothing"


@pytest.mark.parametrize("call, error, part", CALLS)
def test_bad_input(call, error, part):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert part in message, f"expected {part!r} in the message, got {message!r}"
    assert 0 < len(message) < LONGEST, f"a message of {len(message)} characters: {message!r}"
    assert "\n" not in message, f"the message has more than one line: {message!r}"


def commands() -> list[str]:
    try:
        from tokenbridge.cli import COMMANDS
    except ImportError:
        return []
    return list(COMMANDS)


COMMANDS = commands()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_row(command):
    assert f"command {command}" in TABLES["cli"], f"no row 'command {command}' in tests/bad_inputs/cli.py"
