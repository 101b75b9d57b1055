"""What a user writes passes a type checker: the README's program, and a model of one's own."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.mark.skipif(
    importlib.util.find_spec("pyright") is None,
    reason='needs pyright, which pip install -e ".[test]" brings',
)
def test_the_readme_and_a_model_of_ones_own_pass_pyright(tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "readme.py").write_text(program)
    own = (ROOT / "tests" / "typing" / "own_model.py").read_text()
    (tmp_path / "own_model.py").write_text(own)
    # Fields that are not there, and a model without them, show that what passes was looked at.
    (tmp_path / "wrong.py").write_text(own.replace("    event: Event\n", "    space: Event\n", 1))
    (tmp_path / "pyrightconfig.json").write_text(f'{{"extraPaths": ["{ROOT}"]}}')
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "-p", str(tmp_path)]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    errors = re.findall(r"/(\w+)\.py:.* - error: (.*)", output)
    assert not [error for error in errors if error[0] != "wrong"], output
    assert any(name == "wrong" and '"Latent"' in error for name, error in errors), output


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "gm" / "py.typed").exists()
    assert 'gm = ["py.typed"]' in (ROOT / "pyproject.toml").read_text()
