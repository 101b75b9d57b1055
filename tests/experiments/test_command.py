"""The command line of the experiments: help at once and of every option, errors in one sentence."""

import dataclasses
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "experiments"
SHARED = {"command", "options", "loading", "fitting", "maximum_likelihood", "conditional"}
SHARED |= {"texts", "rounds", "cells"}
SCRIPTS = sorted({path.stem for path in FOLDER.glob("*.py")} - SHARED)
HELP = """
import contextlib, io, runpy, sys
for name in sys.argv[1:]:
    sys.argv = [f"experiments/{name}.py", "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        runpy.run_path(f"{name}.py", run_name="__main__")
    slow = {"jax", "numpy", "flax", "optax"} & set(sys.modules)
    assert not slow, f"{name} --help imports {slow}"
    print(text.getvalue(), end="\\0")
"""


@pytest.fixture(scope="module")
def helps():
    """What `--help` prints of every experiment, on one line each, found without jax."""
    command, environment = [sys.executable, "-c", HELP, *SCRIPTS], dict(os.environ)
    paths = [str(FOLDER), str(FOLDER.parent), environment.get("PYTHONPATH", "")]
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "100"}
    run = {"capture_output": True, "text": True, "cwd": FOLDER, "env": environment}
    done = subprocess.run(command, **run)
    assert done.returncode == 0, done.stderr
    return dict(zip(SCRIPTS, done.stdout.split("\0"), strict=False))


def options_of(config, prefix=""):
    """The names of a configuration's options, those of its parts included."""
    for field in dataclasses.fields(config):
        if dataclasses.is_dataclass(field.type):
            yield from options_of(field.type, f"{field.name}.")
        else:
            yield prefix + field.name.replace("_", "-")


def test_every_file_is_an_experiment_or_says_that_it_is_none():
    for name in SCRIPTS:
        text = (FOLDER / f"{name}.py").read_text()
        assert text.endswith('if __name__ == "__main__":\n    command.run(main, CONFIG)\n'), name
    for name in SHARED:
        assert "This file is no script" in (FOLDER / f"{name}.py").read_text(), name


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_names_the_model_its_presets_and_every_option(name, helps, experiment):
    """Each option with a sentence of its own and its default; --seed is one of all."""
    module, text = experiment(name), " ".join(re.sub("[│╭╮╰╯─]", " ", helps[name]).split())
    assert " ".join(module.__doc__.split()) in text
    assert f"python experiments/{name}.py" in text
    assert "seed" in {field.name for field in dataclasses.fields(module.Config)}
    text = text.partition("show this help message and exit")[2]
    for option in options_of(module.Config):
        explained = re.search(rf"--{option}[ ,](.*?)\(default: ", text)[1]
        assert re.search(r"[a-z].*[.)] $", explained), option  # sentences, after what it takes
        assert "--" not in explained.replace("--no-", "").replace("--game.no-", ""), option


def test_every_command_in_a_docstring_is_understood(experiment):
    for name in SCRIPTS:
        module = experiment(name)
        doc = module.__doc__.replace("\\\n", " ")
        commands = re.findall(rf"python experiments/{name}.py(.*)", doc)
        assert commands, name
        for arguments in commands:
            words = shlex.split(arguments.partition("#")[0])
            experiment("command").parse(module.Config, words)


@pytest.mark.parametrize(
    ("name", "dataset", "said"),
    [
        ("pixelcnn", "claw", r"needs images, \[H, W\] or \[H, W, C\]; got claw.* digits and mnist"),
        ("pixelrnn", "python_docs", "needs images"),
        ("pixelcnnpp", "claw", "PixelModel needs an event of integers"),
        ("tabular", "claw", "needs integers; got claw"),
        ("rnade", "digits", "needs vectors of real numbers; got digits"),
        ("char_rnn", "digits", "needs a text; got digits"),
        ("wavenet", "claw", "needs labels, which claw has not; digits"),
        ("made", "nothing.npz", "no file"),
        ("made", "digit", "unknown dataset 'digit'; did you mean 'digits'"),
        ("gan", "mnist_corrupted/none", "not prepared"),
    ],
)
def test_data_that_do_not_fit_are_refused_in_one_sentence(
    name, dataset, said, experiment, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    module, command = experiment(name), experiment("command")
    monkeypatch.setattr(sys, "argv", [f"experiments/{name}.py"])
    with pytest.raises(SystemExit, match=f"(?s)^{name}.py: .*{said}") as error:
        command.run(module.main, module.Config(dataset))
    assert error.value.__suppress_context__


def test_faults_of_the_program_keep_their_traceback(experiment):
    """Errors that a library raises, or that Python itself does, are not the user's."""
    command = experiment("command")
    for fault in (lambda c: np.zeros(3).reshape(2), lambda c: int("x"), lambda c: len(3)):
        with pytest.raises((ValueError, TypeError)):
            command.run(fault, None)


def test_a_run_that_ctrl_c_has_stopped_ends_a_shell_loop_over_runs():
    """It goes on after any exit status, 130 too; it ends where what it runs died of SIGINT."""
    program = "import command; command.run(lambda c: exit(130), None)"
    paths = os.pathsep.join([str(FOLDER), str(FOLDER.parent)])
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths})
    assert done.returncode == -signal.SIGINT


def test_options_of_files_reach_the_loader(experiment, tmp_path):
    """Zeros and ones of float32 are real numbers until --binary says what they are."""
    loading, options = experiment("loading"), experiment("options")
    np.savez(tmp_path / "bits.npz", train=np.eye(8, dtype=np.float32))
    bits = loading.load(options.Data(str(tmp_path / "bits.npz"), binary=True))
    assert bits.event.num_values == 2
    (tmp_path / "table.csv").write_text("a,b,kind\n" + "0.5,1.5,0\n2.5,0.25,1\n" * 10)
    table = loading.load(options.Data(str(tmp_path / "table.csv"), label="kind", standardize=True))
    assert (table.event.shape, table.num_labels) == ((2,), 2)
    np.testing.assert_allclose(table.train.x.std(0), 1.0, rtol=1e-5)
