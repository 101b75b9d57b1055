"""`import gm` is quick and has every room; the command `gm` hands on what it is given."""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

import gm
from gm import __main__ as command
from gm.laws import __main__ as laws
from gm.metrics import results
from gm.train import hosts, inspect

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def python(code):
    """What a process of its own prints."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_rooms_are_imported_when_they_are_used_and_not_before():
    said = python(
        "import sys, gm\n"
        "print(gm.__version__, 'jax' in sys.modules, 'train' in dir(gm))\n"
        "gm.numerics.log1mexp\n"
        "print('gm.numerics' in sys.modules, 'gm.train' in sys.modules)\n"
        "print(gm.models.flows.Flow, gm.losses.variational.negative_elbo)\n"
    ).splitlines()
    assert said[:2] == [f"{gm.__version__} False True", "True False"]
    assert "flows.flow.Flow" in said[2]
    name = "trane"
    with pytest.raises(
        AttributeError, match=r"gm has no trane; its rooms are bijections, commands, core"
    ):
        getattr(gm, name)


def test_help_says_all_commands_and_theirs_without_jax():
    """So that it answers at once: JAX takes seconds to import."""
    said = python(
        "import sys, gm.__main__ as command\n"
        "for line in [['--help'], *([name, '--help'] for name in command.COMMANDS), ['inspect']]:\n"
        "    try:\n"
        "        command.main(line)\n"
        "    except SystemExit as stop:\n"
        "        print(stop.code, 'jax' in sys.modules, 'numpy' in sys.modules)\n"
    )
    assert said.count("0 False False\n") == 5
    assert said.endswith("2 False False\n")
    for name in command.COMMANDS:
        assert f"\n    gm {name} " in said
        assert f"usage: gm {name} " in said


@pytest.mark.parametrize(
    ("name", "module", "line"),
    [
        ("laws", laws, "--seed 3 FILE.py"),
        ("inspect", inspect, "runs/a runs/b"),
        ("hosts", hosts, "-m --local 2 -- script --help"),
        ("results", results, "results README.md --check"),
    ],
)
def test_a_command_gets_its_arguments_and_gives_its_status(name, module, line, monkeypatch, capsys):
    got = []
    monkeypatch.setattr(module, "main", lambda *given: got.append(given) or 3)
    rest = line.split()
    assert command.main([name, *rest]) == 3
    assert got == [(rest, f"gm {name}")]
    monkeypatch.undo()
    with pytest.raises(SystemExit) as stop:
        command.main([name, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: gm {name} ")


@pytest.mark.parametrize("given", [[], ["train"], ["--local", "hosts"], ["--seed", "laws"]])
def test_what_is_no_command_is_refused(given, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(given)
    assert stop.value.code == 2
    assert "usage: gm" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit):
        command.main(["--version"])
    assert capsys.readouterr().out == f"gm {gm.__version__}\n"
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "gm.__version__"}


def test_the_distribution_has_a_name_of_its_own_and_the_command():
    """`gm` on PyPI is another project's."""
    assert PROJECT["project"]["name"] == "gm-jax"
    assert PROJECT["project"]["scripts"] == {"gm": "gm.__main__:main"}


def test_every_folder_of_code_is_a_package():
    """Else a wheel would go without it."""
    folders = {path.parent for path in (ROOT / "gm").rglob("*.py")}
    assert all((folder / "__init__.py").exists() for folder in folders)


@pytest.mark.parametrize(
    ("line", "flags"),
    [
        ("python -u -W error -m gm.train.hosts --local 2 -m script", ["-u", "-W", "error"]),
        ("python -u /bin/gm hosts --local 2 -m script", ["-u"]),
        ("python -m gm hosts script -m x", []),
        ("python /bin/gm hosts", []),
    ],
)
def test_hosts_start_python_as_they_were_started(line, flags, monkeypatch):
    words = line.split()
    place = next(i for i, word in enumerate(words) if word in ("/bin/gm", "gm", "gm.train.hosts"))
    monkeypatch.setattr(sys, "orig_argv", words)
    monkeypatch.setattr(sys, "argv", words[place:])
    assert hosts._interpreter_flags() == flags


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("build") is None,
    reason='needs build, which pip install -e ".[test]" brings',
)
def test_a_wheel_made_of_an_sdist_works_far_from_the_checkout(tmp_path):
    """All modules are in it, typed, and its command runs; setuptools comes from the index."""
    source, site = tmp_path / "source", tmp_path / "site"
    shutil.copytree(ROOT / "gm", source / "gm", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "build", "--outdir", str(tmp_path), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("gm_jax-*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if name.startswith("gm/")}
        file.extractall(site)
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "gm").rglob("*.py")}
    assert names == {*modules, "gm/py.typed"}
    (entry,) = site.glob("gm_jax-*.dist-info/entry_points.txt")
    assert "gm = gm.__main__:main" in entry.read_text()
    line = [sys.executable, "-W", "error", "-m", "gm", "laws", "gm.models.classical:coin"]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        line, cwd=site, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 1 models keep the laws" in done.stdout
