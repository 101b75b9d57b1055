"""The site: its code runs, its commands exist, its tables hold every result."""

import os
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"(?:<!-- (slow|needs: \w+) -->\n)?```python\n(.*?)```", re.DOTALL)
SHORT = 3  # updates of a training
QUICK = {
    "docs/own-model.md",
    "docs/own-data.md",
    "docs/concepts.md",
}  # the rest run with the matrix


def blocks(page, slow):
    """The code of a page in its order, with short trainings; all of it, or without what is slow."""
    found = BLOCK.findall(page.read_text("utf-8"))
    short = [(mark, re.sub(r"num_steps=\d{3,}", f"num_steps={SHORT}", x)) for mark, x in found]
    return [(mark, code) for mark, code in short if slow or mark != "slow"]


def run(page, slow, monkeypatch):
    """All blocks of a page one after the other, in one namespace."""
    monkeypatch.chdir(ROOT)
    names = {"__name__": "page"}
    for mark, code in blocks(page, slow):
        if mark.startswith("needs: "):
            pytest.importorskip(mark.removeprefix("needs: "))
        exec(compile(code, str(page.relative_to(ROOT)), "exec"), names)
    return names


def pages(slow):
    kept = [page for page in PAGES if blocks(page, slow)]
    if slow:
        kept = [page for page in kept if "<!-- slow -->" in page.read_text("utf-8")]
    names = [str(page.relative_to(ROOT)) for page in kept]
    rest = [[pytest.mark.matrix] if not slow and name not in QUICK else [] for name in names]
    cases = [pytest.param(p, marks=m, id=n) for p, m, n in zip(kept, rest, names, strict=True)]
    return pytest.mark.parametrize("page", cases)


@pages(slow=False)
def test_the_code_of_a_page_runs(page, monkeypatch):
    assert run(page, False, monkeypatch)


@pytest.mark.matrix
@pages(slow=True)
def test_the_slow_code_of_a_page_runs(page, monkeypatch):
    assert run(page, True, monkeypatch)


def test_files_and_options_of_commands_exist():
    pages = [*PAGES, ROOT / "README.md"]
    text = "\n".join(page.read_text("utf-8") for page in pages)
    commands = re.findall(r"^(?:srun )?python (\S+\.py)((?: [^#\n]*)?)", text, re.MULTILINE)
    assert len(commands) > 8
    for path, _ in commands:
        assert (ROOT / path).exists(), path


def test_every_package_has_a_page_in_the_reference():
    packages = {p.name for p in (ROOT / "gm").iterdir() if (p / "__init__.py").exists()}
    pages = {page.stem for page in (ROOT / "docs" / "api").glob("*.md")}
    assert packages | {"plot"} <= pages
    for page in (ROOT / "docs" / "api").glob("*.md"):
        for module in re.findall(r"^::: ([\w.]+)", page.read_text(), re.MULTILINE):
            path = ROOT / module.replace(".", os.sep)
            assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), module


def test_every_model_and_principle_is_in_the_reference():
    pages = "".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.md"))
    listed = set(re.findall(r"^::: ([\w.]+)", pages, re.MULTILINE))
    for package in ("models", "losses", "bijections", "sampling", "tasks"):
        for path in (ROOT / "gm" / package).rglob("*.py"):
            module = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            helper = path.name == "__init__.py" or module == "gm.losses.batches"
            assert helper or module in listed, module


def test_tables_of_the_site_are_made_of_every_result(monkeypatch):
    pytest.importorskip("mkdocs")
    monkeypatch.syspath_prepend(ROOT / "docs")
    import hooks

    results = sorted((ROOT / "experiments" / "results").glob("*/result.json"))
    rows = [line for line in hooks.results().splitlines() if line.startswith("| ")]
    assert len(rows) >= len(results)
    assert "MADE 500, MNIST" in hooks.sampling()
    assert "Transformer" in hooks.training()
