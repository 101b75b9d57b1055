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

from gm.data import named, sources, toy
from gm.recipes import after, command, loading, options

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path.relative_to(ROOT) for path in (ROOT / "experiments").rglob("*.py"))
HELP = """
import contextlib, io, runpy, sys
for path in sys.argv[1:]:
    sys.argv = [path, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        runpy.run_path(path, run_name="__main__")
    slow = {"jax", "numpy", "flax", "optax"} & set(sys.modules)
    assert not slow, f"{path} --help imports {slow}"
    print(text.getvalue(), end="\\0")
"""


@pytest.fixture(scope="module")
def helps():
    """What `--help` prints of every experiment, on one line each, found without jax."""
    line, environment = [sys.executable, "-c", HELP, *map(str, SCRIPTS)], dict(os.environ)
    paths = [str(ROOT), environment.get("PYTHONPATH", "")]
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "100"}
    run = {"capture_output": True, "text": True, "cwd": ROOT, "env": environment}
    done = subprocess.run(line, **run)
    assert done.returncode == 0, done.stderr
    return dict(zip(SCRIPTS, done.stdout.split("\0"), strict=False))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_help_names_the_model_its_presets_and_every_option(path, helps, experiment):
    """Each option with a sentence of its own and its default; --seed is one of all."""
    module, text = experiment(path.stem), " ".join(re.sub("[│╭╮╰╯─]", " ", helps[path]).split())
    assert " ".join(module.__doc__.split()) in text
    assert "seed" in {field.name for field in dataclasses.fields(module.Config)}
    text = text.partition("show this help message and exit")[2]
    for field in dataclasses.fields(module.Config):
        option = field.name.replace("_", "-")
        explained = re.search(rf"--{option}[ ,](.*?)\(default: ", text)[1]
        assert re.search(r"[a-z].*[.)] $", explained), option  # sentences, after what it takes
        assert "--" not in explained.replace("--no-", ""), option


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_docstring_has_every_preset_and_its_commands_are_understood(path, experiment):
    module = experiment(path.stem)
    doc = module.__doc__
    commands = re.findall(rf"^python {path.as_posix()}(.*)$", doc, re.MULTILINE)
    assert "" in commands, "without a preset"
    for arguments in commands:
        asked = command.parse(module.PRESETS, shlex.split(arguments))
        assert type(asked) is module.Config
    first, *others = module.PRESETS
    for preset in others:
        assert re.search(rf"\b{preset}\b", doc), preset
        assert module.PRESETS[preset] != module.PRESETS[first]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_preset_names_data_that_anybody_can_load(path, experiment):
    """Built in, sampled from a density, or downloaded once; with the transforms of its name."""
    for preset, config in experiment(path.stem).PRESETS.items():
        name = getattr(config, "dataset", "digits")
        for transform in 2 * sources.NAMED:
            name = name.removesuffix(transform.suffix)
        assert name in {"digits", "python_docs", *toy.DENSITIES, *named.SETS}, preset


def test_a_preset_is_a_start_that_options_change(experiment):
    made = experiment("made")
    asked = command.parse(made.PRESETS, ["mnist", "--hidden", "7", "--folder", "~/x"])
    want = dataclasses.replace(made.PRESETS["mnist"], hidden=(7,))
    assert asked == dataclasses.replace(want, folder=pathlib.Path.home() / "x")
    assert command.parse(made.PRESETS, []) == made.Config()
    asked = command.parse(made.PRESETS, ["sample", "runs/a", "--num", "3"])
    assert (type(asked), asked.folder, asked.num) == (after.Sample, pathlib.Path("runs/a"), 3)
    with pytest.raises(
        SystemExit, match=r"no preset 'mnits'\. Presets: digits, mnist, .*: sample, "
    ):
        command.parse(made.PRESETS, ["mnits"])


@pytest.mark.parametrize(
    ("name", "dataset", "said"),
    [
        ("pixelcnn", "claw", r"needs images, \[H, W\] or \[H, W, C\]; got claw.* digits and mnist"),
        ("pixelrnn", "python_docs", "needs images"),
        ("pixelcnnpp", "claw", "PixelModel needs an event of integers"),
        ("tabular", "claw", "needs integers; got claw"),
        ("rnade", "digits", "needs vectors of real numbers; got digits"),
        ("char_rnn", "digits", "needs a text; got digits"),
        ("wavenet", "claw", "needs labels, which claw does not have; digits"),
        ("made", "nothing.npz", "no file"),
        ("made", "digit", "unknown dataset 'digit'; did you mean 'digits'"),
        ("gan", "mnist_corrupted/none", "not prepared"),
    ],
)
def test_data_that_do_not_fit_are_refused_in_one_sentence(
    name, dataset, said, experiment, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    module = experiment(name)
    monkeypatch.setattr(sys, "argv", [f"experiments/{name}.py"])
    with pytest.raises(SystemExit, match=f"(?s)^{name}.py: .*{said}") as error:
        command.run(module.Config(dataset), module.build)
    assert error.value.__suppress_context__


def test_faults_of_the_program_keep_their_traceback():
    """Errors that a library raises, or that Python itself does, are not the user's."""
    for fault in (lambda c: np.zeros(3).reshape(2), lambda c: int("x"), lambda c: len(3)):
        with pytest.raises((ValueError, TypeError)):
            command.with_sentences(fault, None)


def test_a_run_that_ctrl_c_has_stopped_ends_a_shell_loop_over_runs():
    """It goes on after any exit status, 130 too; it ends where what it runs died of SIGINT."""
    program = "from gm.recipes import command; command.with_sentences(exit, 130)"
    line = [sys.executable, "-c", program]
    done = subprocess.run(line, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == -signal.SIGINT


def test_options_of_files_reach_the_loader(tmp_path):
    """Zeros and ones of float32 are real numbers until --binary says what they are."""
    np.savez(tmp_path / "bits.npz", train=np.eye(8, dtype=np.float32))
    bits = loading.load(options.Data(str(tmp_path / "bits.npz"), binary=True))
    assert bits.event.num_values == 2
    (tmp_path / "table.csv").write_text("a,b,kind\n" + "0.5,1.5,0\n2.5,0.25,1\n" * 10)
    table = loading.load(options.Data(str(tmp_path / "table.csv"), label="kind", standardize=True))
    assert (table.event.shape, table.num_labels) == ((2,), 2)
    np.testing.assert_allclose(table.train.x.std(0), 1.0, rtol=1e-5)
