"""Consecutive windows of a text in every batch row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import data
from gm.data.bptt import shifts

TEXT = "".join(chr(97 + i % 26) for i in range(103))
SPLIT = data.from_texts("letters", [TEXT, TEXT, TEXT], window=8).train
T, B, WINDOWS = 8, 3, 12  # a turn of (103 - 7) // 8 windows


def test_a_window_starts_where_the_last_one_of_its_row_ended():
    batches, ends = data.truncated_bptt_windows(SPLIT, B, seed=1), None
    for step in range(3 * WINDOWS):
        starts, batch = batches.indices(step), batches(step)
        np.testing.assert_array_equal(batch["x"], SPLIT.x[starts])
        assert batch["first"].dtype == bool
        np.testing.assert_array_equal(batch["first"], (starts < T) | (step == 0))
        if step:
            goes_on = ~batch["first"]
            np.testing.assert_array_equal(starts[goes_on], ends[goes_on])
            assert (ends[~goes_on] > len(TEXT) - 2 * T).all()  # less than two windows left out
        ends = starts + T


def test_rows_begin_evenly_spaced_over_the_text_and_turn_back_at_its_end():
    batches = data.truncated_bptt_windows(SPLIT, B, seed=1)
    np.testing.assert_array_equal(batches.indices(0) // T, [0, 4, 8])
    first = np.stack([batches(step)["first"] for step in range(WINDOWS + 1)])
    assert first[0].all()
    np.testing.assert_array_equal(np.argmax(first[1:], 0) + 1, [12, 8, 4])
    five = data.truncated_bptt_windows(SPLIT, 5, seed=1).indices(0) // T
    np.testing.assert_array_equal(five, [0, 2, 4, 7, 9])  # 12 windows do not divide by 5


def test_each_row_has_a_shift_of_its_own():
    found = [tuple(data.truncated_bptt_windows(SPLIT, B, seed).indices(0) % T) for seed in range(8)]
    assert max(len(set(row)) for row in found) == B


def test_rows_and_turns_begin_at_random_numbers_of_their_own():
    found = np.stack([shifts(3, turn, 500, T) for turn in range(2)])
    assert np.mean(found[0] != found[1]) > 0.5
    for turn, row in enumerate(found):
        np.testing.assert_allclose(np.bincount(row, minlength=T) / 500, 1 / T, atol=0.06)
        # Not those that shuffle the examples of an epoch.
        raw = np.random.Philox(key=np.array([3, turn], np.uint64)).random_raw(500)
        assert np.mean(row == raw % np.uint64(T)) < 0.3


def test_a_turn_starts_anywhere_in_the_first_window_by_the_seed():
    def starts(seed):
        batches = data.truncated_bptt_windows(SPLIT, 1, seed)
        return [int(batches.indices(turn * WINDOWS)[0]) for turn in range(64)]

    assert set(starts(0)) == set(range(T))
    assert starts(0) == starts(0) != starts(1)


def test_windows_are_a_function_of_seed_and_step():
    batches = data.truncated_bptt_windows(SPLIT, B, seed=2)
    for step, batch in zip(range(20, 24), batches.starting_at(20), strict=False):
        for name, x in data.truncated_bptt_windows(SPLIT, B, seed=2)(step).items():
            np.testing.assert_array_equal(batch[name], x)


def test_hosts_hold_the_rows_of_one_batch():
    whole = data.truncated_bptt_windows(SPLIT, 4, seed=3)
    parts = [
        data.truncated_bptt_windows(SPLIT, 4, seed=3, shard_index=i, shard_count=2)
        for i in range(2)
    ]
    for step in (0, 7, 40):
        for name, x in whole(step).items():
            np.testing.assert_array_equal(np.concatenate([p(step)[name] for p in parts]), x)


def test_the_device_makes_the_batches_of_the_host():
    batches = data.truncated_bptt_windows(SPLIT, B, seed=4, on_device=True)
    columns, gather = jax.tree.map(jnp.asarray, dict(batches.columns)), jax.jit(batches.gather)
    for step in (0, 1, WINDOWS, 1000):
        got, want = gather(columns, batches.indices(step), step), batches(step)
        assert got.keys() == want.keys()
        for name, x in want.items():
            assert got[name].dtype == x.dtype
            np.testing.assert_array_equal(got[name], x)


def test_what_is_no_text_or_too_short_a_text_is_refused():
    letters = data.from_texts("letters", ["abcdefgh" * 2] * 3, window=10)
    with pytest.raises(ValueError, match="every window of a text"):
        data.truncated_bptt_windows(letters.test, 2)
    with pytest.raises(ValueError, match="every window of a text"):
        data.truncated_bptt_windows(data.load("digits").train, 2)
    with pytest.raises(ValueError, match="at least 19 characters, for windows of 10; got 16"):
        data.truncated_bptt_windows(letters.train, 2)
    with pytest.raises(ValueError, match="step of at least 0"):
        data.truncated_bptt_windows(SPLIT, 2).indices(-1)
