import dataclasses
import json
import platform
import re
import subprocess
import sys

import jax
import pytest

from gm.metrics import Score, provenance, results

KEYS = re.findall(
    r"\w+",
    """
    experiment model principle dataset split preprocessing metric unit value standard_error
    count kind num_samples steps seconds hardware jax revision command published published_source
""",
)


@pytest.fixture
def result():
    return results.record(
        Score(89.931, 0.237, 10_000),
        experiment="made",
        model="MADE, 1 x 500",
        principle="maximum likelihood",
        dataset="binarized_mnist",
        split="test",
        preprocessing="none",
        metric="negative log-likelihood",
        steps=12_000,
        seconds=126.04,
        command="python experiments/made.py",
        published=88.4,
        published_source="Germain et al. 2015, 8,000 units",
    )


def test_the_keys_are_those_of_the_design(result):
    assert list(dataclasses.asdict(result)) == KEYS


def test_a_record_says_where_it_was_made(result):
    assert result.jax == jax.__version__
    assert "core" in result.hardware
    assert platform.node() not in result.hardware.split()
    assert result.score == Score(89.931, 0.237, 10_000)
    assert result.seconds == 126.0


@pytest.mark.parametrize("many", [False, True])
def test_what_is_written_is_read_back(tmp_path, result, many):
    bound = dataclasses.replace(result, kind="bound", num_samples=1, standard_error=None)
    path = results.write(tmp_path / "run", [result, bound] if many else result)
    assert path == tmp_path / "run" / "result.json"
    assert results.read(path) == ([result, bound] if many else [result])
    assert [p.name for p in path.parent.iterdir()] == ["result.json"]
    assert bound.score == Score(89.931, None, 10_000, "nats", "bound", 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": float("nan")}, "a finite float for value; got nan"),
        ({"standard_error": float("inf")}, "a finite float for standard_error; got inf"),
        ({"value": None}, "a finite float for value; got None"),
        ({"count": 3.0}, "an int for count"),
        ({"published": "88"}, "a finite float for published"),
        ({"model": None}, "a str for model"),
        ({"model": "x" * 1001}, r"got 'x+ \(printable, of at most 1,000 characters\)"),
        ({"model": "a\u202eb"}, r"got 'a\\u202eb' \(printable"),
        ({"value": 1e16}, r"got 1e\+16 \(of at most 1e\+15\)"),
        ({"count": 10**4000}, r"an int for count; got 10+ \(from 0 to"),
        ({"steps": -1}, "an int for steps; got -1"),
        ({"seconds": -1.0}, "seconds of at least 0"),
        ({"kind": "guess"}, "exact, bound, estimate; got 'guess'"),
    ],
)
def test_a_result_that_cannot_be_is_refused(result, change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(result, **change)


def test_a_damaged_file_says_what_is_wrong_and_where(tmp_path, result):
    entry = dataclasses.asdict(result)
    path = tmp_path / "result.json"
    for content, message in [
        ({k: v for k, v in entry.items() if k != "unit"}, "missing keys: unit; unknown keys: none"),
        ({**entry, "speed": 1}, "missing keys: none; unknown keys: speed"),
        ({**entry, "value": float("nan")}, "NaN is not JSON"),
        ([entry, 3], "an object of 21 keys; got 3"),
        ({**entry, "x" * 10**6: 1}, r"unknown keys: x{98}\."),
    ]:
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=rf"result\.json is not a result file: .*{message}"):
            results.read(path)
    for text in ("{", "[" * 10**5, '{"model": 1, "model": 2}', f'{{"count": 1{"0" * 5000}}}'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"result\.json is not a result file: .{1,500}$"):
            results.read(path)


def test_the_table_puts_published_beside_ours_and_the_command_after(result):
    row = results.table([result]).splitlines()[-1]
    assert row.startswith(
        "| MADE, 1 x 500 | maximum likelihood | negative log-likelihood "
        "| 89.93 ± 0.24 nats (exact, 10,000 examples) "
        "| 88.4 nats (Germain et al. 2015, 8,000 units) | 12,000 steps, 126 s, "
    )
    assert row.endswith("| `python experiments/made.py` |")


def test_fixed_and_dynamic_binarization_are_never_in_one_table(result):
    dynamic = dataclasses.replace(result, dataset="mnist_dynamic", published=None)
    scaled = dataclasses.replace(result, preprocessing="threshold, 0.5")
    text = results.table([dynamic, result, scaled])
    assert text == results.table([scaled, result, dynamic])
    groups = text.split("\n**")
    assert len(groups) == 3
    assert all(group.count("| MADE") == 1 for group in groups)
    assert "| - |" in groups[2]


def test_a_bar_in_a_cell_does_not_break_the_table(result):
    row = results.table([dataclasses.replace(result, model="p(x | z)\nq")]).splitlines()[-1]
    assert row.startswith(r"| p(x \| z) q | maximum")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        (results.END, "&lt;!-- results:end --&gt;"),
        (r"a\| b", r"a\\\| b"),
        ("[x](y) `z` **w** _v_ $u$", r"\[x\](y) \`z\` \*\*w\*\* \_v\_ \$u\$"),
        ("mnist_dynamic, A & B &lt;", "mnist_dynamic, A & B &amp;lt;"),
    ],
)
def test_markup_in_a_result_is_shown_as_it_is(result, text, shown):
    everywhere = dataclasses.replace(result, dataset=text, model=text, published_source=text)
    page = results.updated(f"{results.BEGIN}\n{results.END}\n", [everywhere])
    assert f"**{shown}**" in page
    assert f"| {shown} |" in page
    assert f"({shown})" in page
    assert results.updated(page, [everywhere]) == page
    assert page.count(results.END) == 1


def test_a_command_that_markdown_cannot_hold_is_html(result):
    rows = results.table([dataclasses.replace(result, command="a | b `<c>` --x=1")])
    assert rows.endswith("| <code>a &#124; b &#96;&#60;c&#62;&#96; --x&#61;1</code> |")


def test_the_page_is_made_anew_and_checked(tmp_path, result, capsys):
    results.write(tmp_path / "results" / "made", result)
    page = tmp_path / "README.md"
    page.write_text(f"Before.\n\n{results.BEGIN}\nold\n{results.END}\n\nAfter.\n")
    command = [str(tmp_path / "results"), str(page)]

    assert results.main([*command, "--check"]) == 1
    assert "stale" in capsys.readouterr().err
    assert "old" in page.read_text()
    assert results.main(command) == 0
    assert results.main([*command, "--check"]) == 0
    text = page.read_text()
    assert text.startswith("Before.\n\n<!--")
    assert text.endswith("-->\n\nAfter.\n")
    assert results.table([result]) in text
    assert "old" not in text

    page.write_text("no markers")
    assert results.main(command) == 2
    assert "needs the markers" in capsys.readouterr().err


def test_a_page_without_results_says_so():
    text = results.updated(f"{results.BEGIN}{results.END}", [])
    assert "No results yet." in text
    assert results.updated(text, []) == text


def test_the_command_runs_as_a_module():
    command = [sys.executable, "-m", "gm.metrics.results", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--check" in done.stdout
    assert "Warning" not in done.stderr


def test_the_revision_follows_the_repository(tmp_path, monkeypatch):
    """None outside git, where the code is not tracked, and before the first commit."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    source = tmp_path / "code.py"
    source.write_text("1\n")
    monkeypatch.setattr(provenance, "__file__", str(source))

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *identity, "-c", "core.hooksPath=/dev/null"]
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)

    assert provenance.revision() is None
    git("init")
    assert provenance.revision() is None
    git("add", "code.py")
    assert provenance.revision() is None
    git("commit", "-m", "one")
    commit = git("rev-parse", "--short", "HEAD").stdout.strip()
    assert provenance.revision() == commit
    source.write_text("2\n")
    assert provenance.revision() == f"{commit}+dirty"


def test_the_command_is_relative_to_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "experiments/made.py"), "--order", "a b"])
    assert provenance.command() == "python experiments/made.py --order 'a b'"
    monkeypatch.setattr(sys, "argv", ["/elsewhere/made.py"])
    assert provenance.command() == "python made.py"


def test_several_metrics_of_a_run_share_what_they_belong_to():
    class Digits:
        name, preprocessing = "digits", "none"

    fields = {"experiment": "e", "model": "m", "principle": "p", "steps": 1, "seconds": 1.0}
    scores = {"first": Score(1.0, 0.1, 10), "second": Score(2.0, None, 10)}
    first, second = results.record_all(
        scores, Digits, published={"first": (0.5, "somebody")}, command="python e.py", **fields
    )
    assert (first.metric, first.published, first.published_source) == ("first", 0.5, "somebody")
    assert (second.metric, second.published, second.published_source) == ("second", None, None)
    assert (first.dataset, second.split, second.preprocessing) == ("digits", "test", "none")
