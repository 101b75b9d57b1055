"""Folders with odd names, and folders that cannot be listed."""

import errno
import os

import jax.numpy as jnp
import numpy as np
import pytest

from gm import train
from gm.train import best, checkpoints, paths

STATE = {"w": jnp.arange(3.0), "n": jnp.int32(4)}
QUIET = {"progress": False, "log_every": 5, "checkpoint_every": 4}


@pytest.mark.parametrize("name", ["made[16]", "a\\b", "x**y", "ü ?*{}~\n"])
def test_a_path_that_looks_like_a_pattern_holds_checkpoints(name, tmp_path):
    """orbax looks for its files with glob, and leaves out what it does not find."""
    for step in (1, 2):
        checkpoints.save(tmp_path / name / "run", step, {**STATE, "n": jnp.int32(step)})
    (tmp_path / name).rename(tmp_path / "plain")
    (tmp_path / "plain").rename(tmp_path / name)
    got = checkpoints.restore(tmp_path / name / "run", STATE)
    assert int(got["n"]) == 2
    np.testing.assert_array_equal(got["w"], np.arange(3.0))


def test_files_that_do_not_read_back_get_no_manifest(tmp_path, monkeypatch):
    """What orbax leaves out in silence, without the link that keeps it from doing so.

    One array, for tensorstore is heard to complain of a second one when its loop has ended.
    """
    monkeypatch.setattr(paths, "plain", paths.contextlib.nullcontext)
    with pytest.raises(checkpoints.DamagedCheckpoint, match="cannot be read back"):
        checkpoints.save(tmp_path / "made[16]", 1, {"w": STATE["w"]})
    assert not [*tmp_path.rglob("manifest.json")]
    assert checkpoints.steps(tmp_path / "made[16]") == []


def test_where_no_plain_path_leads_a_run_is_refused_before_it_begins(
    step, new, problem, tmp_path, monkeypatch
):
    (tmp_path / "[tmp]").mkdir()
    monkeypatch.setattr(paths.tempfile, "tempdir", str(tmp_path / "[tmp]"))
    with pytest.raises(ValueError, match=r"need a link .* set TMPDIR"):
        train.run(step, new(), problem.Batches(), 4, folder=tmp_path / "a*", **QUIET)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["[tmp]"]


def test_only_what_is_not_there_is_none(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    assert checkpoints.steps(folder) == best._steps(folder) == []
    (tmp_path / "link").symlink_to(tmp_path / "unmounted")
    for broken in (tmp_path / "link", tmp_path / "link" / "run"):
        with pytest.raises(OSError, match=r"link links to .*unmounted\). Is a disk not mounted"):
            checkpoints.steps(broken)
    folder.write_text("")
    with pytest.raises(NotADirectoryError, match="cannot be listed"):
        checkpoints.steps(folder)
    for number in (errno.EACCES, errno.EIO, errno.ESTALE):

        def fail(path, number=number):
            raise OSError(number, os.strerror(number), path)

        monkeypatch.setattr(paths.os, "listdir", fail)
        for ask in (checkpoints.steps, checkpoints.newest_intact, best._steps):
            with pytest.raises(OSError, match="whether there is a run") as error:
                ask(tmp_path / "other")
            assert error.value.errno == number


def test_progress_that_is_gone_is_not_begun_again(step, new, problem, tmp_path):
    """A disk that is not mounted looks like an empty folder; the history knows better."""
    for end, gone in ((4, tmp_path / "a"), (9, tmp_path / "b")):
        with pytest.raises(KeyError):  # killed after a checkpoint, as far as history knows
            train.run(step, new(), Failing(problem.Batches(), end), 20, folder=gone, **QUIET)
        (gone / "history.jsonl").write_text(
            "".join(
                line
                for line in (gone / "history.jsonl").read_text().splitlines(keepends=True)
                if '"ended"' not in line
            )
        )
        (gone / "checkpoints").rename(gone / "elsewhere")
        if end == 4:  # nothing was saved before the end: it may begin again
            train.run(step, new(), problem.Batches(), 4, folder=gone, **QUIET)
            continue
        with pytest.raises(FileNotFoundError, match=r"history\.jsonl records step 4: is a disk"):
            train.run(step, new(), problem.Batches(), 20, folder=gone, **QUIET)
        assert [row["step"] for row in train.read_metrics(gone)] == [5]


class Failing:
    """Batches that end with an error."""

    def __init__(self, batches, end):
        self.batches, self.end = batches, end

    def starting_at(self, step):
        while step < self.end:
            yield self.batches[step]
            step += 1
        raise KeyError("no more")
