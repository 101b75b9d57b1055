"""The room a file lives in says what it may import: the table of the project, held here."""

import ast
import pathlib

import pytest

import gm

ROOT = pathlib.Path(__file__).resolve().parent.parent
EVERYTHING = None
BASE = {"core", "numerics"}
USERS = BASE | {"distributions", "bijections", "sampling", "losses", "codecs"}
TABLE = {
    "core": set(),
    "numerics": {"core"},
    "plot": set(),
    "commands": set(),  # what the command can be told, without JAX
    "distributions": BASE,
    "networks": BASE,
    "data": BASE,
    "train": BASE | {"commands"},
    "bijections": BASE | {"distributions", "networks", "sampling"},
    "sampling": BASE | {"distributions"},
    "codecs": BASE | {"distributions"},
    "losses": BASE | {"distributions", "sampling"},
    "models": BASE | {"distributions", "networks", "bijections", "sampling"},
    "laws": USERS | {"commands"},
    "metrics": USERS | {"commands"},
    "tasks": USERS,
    "recipes": EVERYTHING,  # and no room imports it
    "__main__": {"commands", "laws", "train", "metrics"},  # the command, which no room imports
}
LIBRARIES = {"flax.linen": "networks", "matplotlib": "plot", "orbax": "train"}  # in one room only


def modules():
    return sorted(p for p in (ROOT / "gm").rglob("*.py") if p != ROOT / "gm" / "__init__.py")


def room_of(path: pathlib.Path) -> str:
    return path.relative_to(ROOT / "gm").parts[0].removesuffix(".py")


def imports(tree: ast.Module):
    """Every dotted name a file imports, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_what_the_table_allows(path):
    room = room_of(path)
    assert room in TABLE, f"{room} is not in the table: name what it may import"
    for name in imports(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] in ("experiments", "benchmarks", "tests"):
            pytest.fail(f"{path} imports {name}: the library does not know its users")
        if parts[0] == "gm":
            if room in ("__main__", "recipes") and len(parts) == 1:
                continue  # for its version, or its folder
            assert len(parts) > 1, f"{path} imports gm as a whole"
            may = TABLE[room] is EVERYTHING or parts[1] in TABLE[room] | {room}
            assert may, f"{room} may not import gm.{parts[1]}"
        for library, home in LIBRARIES.items():
            if name == library or name.startswith(library + "."):
                assert room == home, f"{library} is imported in {home} only"


def test_gm_itself_names_every_room_and_imports_none():
    """Its rooms are those of the folder, for a type checker and for whoever runs it alike."""
    rooms = sorted({room_of(path) for path in modules()} - {"__main__"})
    tree = ast.parse((ROOT / "gm" / "__init__.py").read_text())
    (branch,) = (node for node in tree.body if isinstance(node, ast.If))
    (shown,) = branch.body
    assert ast.unparse(branch.test) == "TYPE_CHECKING"
    assert [alias.name for alias in shown.names] == rooms
    assert gm.__all__ == ["__version__", *rooms]
    assert set(rooms) <= set(dir(gm))
    tree.body.remove(branch)
    assert {name.split(".")[0] for name in imports(tree)} == {"importlib", "types", "typing"}


def test_there_is_no_utils():
    names = {p.stem for p in modules()}
    assert not names & {"utils", "util", "helpers", "misc", "common"}


@pytest.mark.parametrize("folder", ["gm", "experiments", "benchmarks"])
def test_files_stay_small_enough_to_read(folder):
    limit = 120 if folder == "experiments" else 400
    sizes = {p: len(p.read_text().splitlines()) for p in (ROOT / folder).rglob("*.py")}
    assert not {str(p): n for p, n in sizes.items() if n > limit}
