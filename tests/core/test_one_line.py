"""Scripts end a user's mistake with one line, and let what nobody expected through."""

from pathlib import Path

import pytest

from motionkit.errors import Cancelled, UserError, in_one_line
from motionkit.training import recipes


def _raising(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [(UserError("give a folder"), 2, "error: give a folder"), (Cancelled("stopped"), 130, "stopped")],
)
def test_a_mistake_or_a_stop_is_one_line(error, code, line, capsys):
    with pytest.raises(SystemExit) as ended:
        in_one_line(_raising(error))
    assert ended.value.code == code
    assert capsys.readouterr().err == f"motionkit: {line}\n"


def test_a_fault_of_the_program_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        in_one_line(_raising(ZeroDivisionError("one")))
    assert in_one_line(lambda: 3) is None


def test_every_script_of_the_recipes_ends_so():
    scripts = [p for p in Path(recipes.__path__[0]).glob("*.py") if "__main__" in p.read_text()]
    assert len(scripts) > 15
    assert not [p.name for p in scripts if "    in_one_line(main)" not in p.read_text()]
