"""What the README shows is true: its program runs, its commands exist."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_the_program_of_the_first_screen_runs_and_learns(capsys):
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(program.strip().splitlines()) <= 16
    names: dict = {}
    exec(program, names)
    names["digits"].event.check(names["x"])
    nats = float(capsys.readouterr().out.split()[0])
    assert nats < 95.0  # independent pixels: 107.4


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
