"Every code cell of every lesson, in fast mode, from a fresh kernel, offline, on drawn images."
import pytest

from tests.tools import notebooks


@pytest.mark.parametrize("name", notebooks.names())
def test_lesson(name):
    try:
        executed = notebooks.execute(name, fast=True, data=None, timeout=600)
    except notebooks.LessonFailed as error:
        pytest.fail(str(error), pytrace=False)
    cells = notebooks.code_cells(executed)
    assert all(cell["execution_count"] for cell in cells), "a code cell was not executed"
