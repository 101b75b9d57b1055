"""`gm laws` takes what a person names, from anywhere, and says what became of each model."""

import re
import sys

import jax
import pytest

from gm import laws
from gm.laws import __main__ as command

MINE = """
from __future__ import annotations
import dataclasses
import sibling

@dataclasses.dataclass(frozen=True)
class Mine:
    size: int = sibling.SIZE
    def init(self, key):
        return {}

MODELS = {"mine": Mine(), "wider": Mine(3)}
one = Mine(4)

def made():
    return {"given": one}

def sized(size):
    return Mine(size)
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A file with models in a folder of its own, far from any checkout."""
    (tmp_path / "sibling.py").write_text("SIZE = 2\n")
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in ("mine", "sibling"):
        sys.modules.pop(name, None)
    monkeypatch.setattr("sys.path", list(sys.path))
    return str(tmp_path / "mine.py")


@pytest.fixture
def checked(monkeypatch):
    """Sizes and seeds of what was checked; one of size 3 breaks a law, one of size 4 fails."""
    seen = []

    def check(model, key):
        seen.append((model.size, int(jax.random.key_data(key)[-1])))
        if model.size == 3:
            raise laws.LawBroken("Mine breaks the law 'a density sums to one': 0.9")
        if model.size == 4:
            raise TypeError("no event")
        return {"first": "holds", "second": "holds: nearly", "third": "not checked: too large"}

    monkeypatch.setattr(command.laws, "check", check)
    return seen


def test_a_file_a_name_in_it_and_a_name_in_a_module_are_found(mine, tmp_path, monkeypatch):
    sizes = {name: model.size for name, model in command.models_of(mine).items()}
    assert sizes == {"mine": 2, "wider": 3}
    for what, name, size in ((f"{mine}:one", "one", 4), (f"{mine}:made", "given", 4)):
        ((found, model),) = command.models_of(what).items()
        assert (found, model.size) == (name, size)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(tmp_path)])
    sys.modules.pop("sibling")
    monkeypatch.chdir(tmp_path)
    ((name, model),) = command.models_of("mine:Mine").items()  # from the folder one is in
    assert (name, model.size) == ("Mine", 2)


def test_every_model_has_its_line_whatever_becomes_of_another(mine, checked, capsys):
    assert command.main([f"{mine}:one", mine, "--seed", "7"]) == 1
    assert checked == [(4, 7), (2, 7), (3, 7)]
    said = capsys.readouterr()
    assert all(f"  {law.sentence}\n" in said.out for law in laws.LAWS)
    failed, ok, broken, total = said.out.splitlines()[-4:]
    assert re.fullmatch(r"  1 of 3  one +FAILED  TypeError: no event", failed)
    assert re.fullmatch(
        r"  2 of 3  mine +ok      2 laws hold in \d+\.\d s; third not checked: too large", ok
    )
    assert re.fullmatch(r"  3 of 3  wider +BROKEN  Mine breaks .*: 0\.9", broken)
    assert re.fullmatch(r"1 of 3 models keep the laws; \d+\.\d s", total)
    assert "Traceback" in said.err
    assert command.main([f"{mine}:Mine"]) == 0


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ([], "nothing to check: give FILE.py with MODELS = {name: model}"),
        (["none.py"], "No file none.py. Give FILE.py with MODELS = {name: model}"),
        (["../sibling.py"], "sibling.py has no MODELS"),
        (["../mine.py:none"], "mine.py has no none"),
        (["../mine.py:sized"], "mine.py:sized needs arguments"),
        (["no_such_module:x"], "no_such_module needs the module no_such_module"),
    ],
)
def test_what_is_not_there_is_said(mine, checked, what, words, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(what)
    assert stop.value.code == 2
    assert words in capsys.readouterr().err
    assert not checked


def test_an_error_in_a_file_of_ones_own_is_shown_as_it_is(mine):
    with open(mine, "a") as file:
        file.write("{}['lost']\n")
    with pytest.raises(KeyError, match="lost"):
        command.main([mine])


def test_its_help_says_what_to_give_and_the_name_is_that_of_the_caller(capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["--help"], "gm laws")
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: gm laws ")
    assert "FILE.py, FILE.py:NAME or MODULE:NAME" in said


def test_a_real_model_is_checked(mine, capsys):
    assert command.main(["gm.models.classical:coin"]) == 0
    line, total = capsys.readouterr().out.splitlines()[-2:]
    assert re.match(r"  1 of 1  coin +ok      \d laws hold in", line)
    assert total.startswith("1 of 1 models keep the laws; ")
