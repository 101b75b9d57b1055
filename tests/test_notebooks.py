"""Notebooks say what is there: every name of gm exists, every cell runs, the pictures are in."""

import ast
import pathlib
import re
import runpy
import types

import jax
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture
def notebook(path):
    nbformat = pytest.importorskip("nbformat")
    with open(path, encoding="utf-8") as file:
        return nbformat.read(file, as_version=4)


def pictures(notebook):
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    return sum("image/png" in o.get("data", {}) for o in outputs)


@every_notebook
def test_a_notebook_names_what_gm_has_and_was_run(path, notebook):
    """`data.load` is an attribute of gm.data, and so on for all that is imported from gm."""
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    tree = ast.parse("\n".join(c.source.replace("%matplotlib", "#") for c in cells))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names: dict = {}
    exec("\n".join(ast.unparse(node) for node in imports if node.module.startswith("gm")), names)
    assert len(names) >= 5
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = names.get(node.value.id)
            if isinstance(owner, types.ModuleType | type):
                assert hasattr(owner, node.attr), f"{node.value.id}.{node.attr}"
    assert [c.execution_count for c in cells] == [*range(1, len(cells) + 1)]
    assert pictures(notebook) >= 1


@pytest.mark.matrix
@every_notebook
@pytest.mark.filterwarnings("default")  # of the notebook machinery, not of gm
def test_a_notebook_runs(path, notebook, monkeypatch):
    """From its first cell to its last, with short trainings; its programs are cached like ours."""
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    for cell in notebook.cells:
        for name in re.findall(r"^import (\w+)", cell.source, re.MULTILINE):
            pytest.importorskip(name, reason=f"the notebook needs {name}")
    shown = pictures(notebook)
    for cell in notebook.cells:
        shorter = cell.source.replace("SCALE = 1.0", "SCALE = 0.01")
        cell.source = shorter.replace("num_steps=300", "num_steps=3")
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    assert pictures(notebook) == shown


def test_the_first_notebook_is_the_first_page():
    """`python docs/notebook.py` makes it: the same prose and code, and what it printed."""
    nbformat = pytest.importorskip("nbformat")
    (path,) = (p for p in NOTEBOOKS if p.stem == "00_start")
    page = (ROOT / "docs" / "index.md").read_text("utf-8")
    made = nbformat.read(path, as_version=4)
    maker = runpy.run_path(str(ROOT / "docs" / "notebook.py"))
    assert [(c.cell_type, c.source) for c in made.cells] == maker["cells"](page)
    printed = [
        o["text"] for c in made.cells if c.cell_type == "code" for o in c.outputs if "text" in o
    ]
    (score,) = re.findall(r"It prints `(.*?)`", page)
    assert score in "".join(printed)
