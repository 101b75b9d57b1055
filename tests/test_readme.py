"""What the README shows is true: its program runs, its commands exist."""

import os
import pathlib
import re
import subprocess
import sys

import jax

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_the_program_of_the_first_screen_runs_and_learns():
    """As a user runs it: in a process of its own, with XLA as it is; then the site's first page."""
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(program.strip().splitlines()) <= 16
    environment = {name: x for name, x in os.environ.items() if name != "XLA_FLAGS"}
    environment["JAX_COMPILATION_CACHE_DIR"] = jax.config.jax_compilation_cache_dir
    page = re.findall(r"```python\n(.*?)```", (ROOT / "docs/index.md").read_text(), re.DOTALL)
    assert page[0] == program
    code = "\n".join([*page, "digits.event.check(x)"])
    line = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[0]) < 95.0  # nats; independent pixels: 107.4


def test_the_two_commands_are_there_and_ci_runs_the_second():
    commands = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)[0].strip().splitlines()
    assert len(commands) == 2
    prefix = 'pip install -e ".[test]" && '
    assert commands[1].startswith(prefix)
    assert "README.md" in (ROOT / ".ci" / "run").read_text()


def test_every_file_that_is_linked_exists():
    for page in (README, (ROOT / "experiments" / "README.md").read_text()):
        for link in re.findall(r"\]\(([^)#]+)\)", page):
            assert (ROOT / link).exists(), link
