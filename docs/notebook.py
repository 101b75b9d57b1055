"""Makes a notebook of the documentation's first page, and runs it.

    python docs/notebook.py                 # writes notebooks/00_start.ipynb

Every Python block of `index.md` becomes a code cell, and the prose between them Markdown cells
whose links lead to the same places from `notebooks/`.
"""

import pathlib
import re

import nbclient
import nbformat

DOCS = pathlib.Path(__file__).resolve().parent
NOTEBOOK = DOCS.parent / "notebooks" / "00_start.ipynb"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)]+)\)")


def cells(page: str) -> list[tuple[str, str]]:
    """("markdown" or "code", its source) of the parts of a page, in order."""
    parts = BLOCK.split(LINK.sub(r"](../docs/\1)", page))  # prose, code, prose, code, ...
    kinds = ["code" if i % 2 else "markdown" for i in range(len(parts))]
    found = [(kind, part.strip()) for kind, part in zip(kinds, parts, strict=True) if part.strip()]
    return [found[0], ("code", "%matplotlib inline"), *found[1:]]


def notebook(page: str) -> nbformat.NotebookNode:
    """The notebook of a page, without outputs."""
    make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    made = nbformat.v4.new_notebook(
        cells=[make[kind](source, id=f"part-{i}") for i, (kind, source) in enumerate(cells(page))]
    )
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    return made


if __name__ == "__main__":
    made = notebook((DOCS / "index.md").read_text("utf-8"))
    nbclient.NotebookClient(made, timeout=600, kernel_name="python3").execute()
    for cell in made.cells:
        cell.metadata.pop("execution", None)  # times of the run, which change each time
    nbformat.write(made, NOTEBOOK)
    print(NOTEBOOK)
