"""The list of mutants fits the sources, and the runner tells the killed from the survivors."""

import importlib.util
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def mutation():
    path = ROOT / "benchmarks" / "mutation.py"
    spec = importlib.util.spec_from_file_location("mutation", path)
    module = sys.modules["mutation"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_mutant_changes_one_place_and_names_tests_that_exist(mutation):
    mutants = mutation.read(sorted((ROOT / "benchmarks" / "mutants").glob("*.toml")), "")
    for mutant in mutants:
        for test in mutant.tests:
            assert (ROOT / test.partition("::")[0]).exists(), mutant
    assert len({(m.file, m.old, m.new) for m in mutants}) == len(mutants)


def test_a_mutant_of_text_that_is_not_there_is_refused(mutation):
    mutant = mutation.Mutant("gm/numerics.py", "nothing", "none", "no such text", "", ())
    with pytest.raises(ValueError, match="exactly once"):
        mutant.source(ROOT)


def test_the_score_leaves_out_what_no_test_can_see(mutation):
    mutant = mutation.Mutant("gm/numerics.py", "a fault", "none", "a", "b", ())
    fates = ("killed", "killed", "killed", "survived", "equivalent")
    outcomes = [mutation.Outcome(mutant, fate, "", 0.0) for fate in fates]
    assert mutation.score(outcomes) == 0.75
    assert "| none | 4 | 3 | 1 |" in mutation.table(outcomes)
