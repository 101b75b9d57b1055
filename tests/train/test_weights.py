"""Weights as safetensors: bit for bit, by name, on any devices, and refused rather than guessed."""

import builtins
import collections
import dataclasses
import json
import os
import random
import struct
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm import train
from gm.core import Event
from gm.models.autoregressive import MADE
from gm.train import weights

pytest.importorskip("safetensors")

OTHERS = ("bool", "int8", "int16", "int32", "uint8", "uint16", "uint32", "complex64")
FLOATS = ("float16", "bfloat16", "float32", "float8_e4m3fn", "float8_e5m2")


@flax.struct.dataclass
class Node:
    w: Any
    b: Any


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclasses.dataclass(frozen=True)
class Config:
    width: int = 3
    shape: tuple[int, ...] = (2, 2)


def bits(dtype, shape=(3, 5)):
    """Every bit pattern is as likely as any other, NaNs with payloads among them."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.random.default_rng(7).integers(0, 2 if dtype.kind == "b" else 256, size, np.uint8)
    return np.ndarray(shape, dtype, raw.tobytes())


def tree_of_everything():
    return {
        "dtypes": {name: jnp.asarray(bits(name)) for name in OTHERS + FLOATS},
        "list": [jnp.zeros((0, 4), jnp.bfloat16), (jnp.float32(2.5), jnp.int32(-3)), None],
        "node": Node(w=jnp.ones((2, 1)), b={3: jnp.arange(4)}),
        "pair": Pair(np.arange(6.0, dtype=np.float32).reshape(2, 3).T, np.float32(-0.0)),
    }


def like_of(tree, sharded=False):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding if sharded else None),
        tree,
    )


def small():
    return {"a": jnp.arange(3.0), "b": {"c": jnp.arange(4, dtype=jnp.int8)}}


def forge(path, header, data=b""):
    """A file with any header: a dict, or bytes as they are."""
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def entry(dtype="F32", shape=(3,), offsets=(0, 12)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_every_bit_of_every_dtype_returns_in_the_same_tree(tmp_path):
    tree = tree_of_everything()
    path = weights.save(tmp_path / "new" / "w.safetensors", tree)
    got = weights.load(path, like_of(tree))
    assert jax.tree.structure(got) == jax.tree.structure(tree)
    assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(got))
    assert train.digest(got) == train.digest(tree)
    assert sorted(f.name for f in path.parent.iterdir()) == ["w.json", "w.safetensors"]
    names = [name for name in weights.describe(path)["arrays"] if not name.startswith("dtypes/")]
    want = "list/0 list/1/0 list/1/1 node/w node/b/3 pair/left pair/right"
    assert " ".join(names) == want


def test_a_tree_may_be_one_array_or_none(tmp_path):
    for name, tree in {"one": jnp.float32(3.0), "none": {}}.items():
        path = weights.save(tmp_path / f"{name}.safetensors", tree)
        assert train.digest(weights.load(path, tree)) == train.digest(tree)


def test_the_plain_library_reads_the_same_arrays(tmp_path):
    from safetensors.numpy import load_file

    tree = tree_of_everything()
    for name in FLOATS[-2:]:
        del tree["dtypes"][name]  # the library has no float8 for NumPy
    read = load_file(weights.save(tmp_path / "w.safetensors", tree))
    assert len(read) == len(jax.tree.leaves(tree))
    want = {f"dtypes/{name}": x for name, x in tree["dtypes"].items()}
    want |= {"list/1/0": tree["list"][1][0], "node/b/3": tree["node"].b[3]}
    want |= {"list/0": tree["list"][0], "pair/left": tree["pair"].left}
    for name, x in want.items():
        assert (read[name].dtype, read[name].shape) == (x.dtype, x.shape)
        assert read[name].tobytes() == np.asarray(x).tobytes()


def test_the_description_says_what_there_is(tmp_path):
    path = tmp_path / "w.safetensors"
    weights.save(path, small(), description={"dtype": np.dtype("int8"), "n": {"k": 1}})
    page = weights.describe(path)
    assert list(page) == ["format", "description", "arrays", "bytes", "sha256", "jax"]
    assert page["description"] == {"dtype": "int8", "n": {"k": 1}}
    want = {"a": {"dtype": "float32", "shape": [3]}, "b/c": {"dtype": "int8", "shape": [4]}}
    assert page["arrays"] == want
    assert page["bytes"] == path.stat().st_size
    weights.save(path, small(), description=Config())
    assert weights.describe(path)["description"] == {"width": 3, "shape": [2, 2]}
    assert path.stat().st_mode == path.with_suffix(".json").stat().st_mode


def test_weights_go_where_like_lies(tmp_path):
    tree = {"w": jnp.arange(32.0).reshape(8, 4), "b": jnp.arange(8, dtype=jnp.bfloat16)}
    mesh = train.data_mesh()
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    for number, where in enumerate((split, whole, jax.devices()[3])):
        like = jax.device_put(tree, where)
        path = weights.save(tmp_path / f"{number}.safetensors", like)
        for asked in (like, like_of(like, sharded=True)):
            got = weights.load(path, asked)
            assert train.digest(got) == train.digest(tree)
            assert {k: x.sharding for k, x in got.items()} == {
                k: x.sharding for k, x in like.items()
            }
        assert not weights.load(path, tree)["w"].committed  # as free to move as a model's init
    assert len({f.read_bytes() for f in tmp_path.glob("*.safetensors")}) == 1


def test_a_model_scores_the_same_with_weights_that_were_loaded(tmp_path, key):
    model = MADE(Event((6,), 2), dist.BernoulliHead(), hidden=(8,))
    params, x = jax.jit(model.init)(key), jnp.array([0, 1, 1, 0, 1, 0])
    path = weights.save(tmp_path / "made.safetensors", params, description={"model": model})
    got = weights.load(path, jax.eval_shape(model.init, key))
    assert model.log_prob(got, x) == model.log_prob(params, x)
    assert weights.describe(path)["description"] == {"model": str(model)}
    assert all(name.startswith("params/") for name in weights.describe(path)["arrays"])


@pytest.mark.parametrize(
    ("tree", "error", "words"),
    [
        ({"a/b": jnp.ones(1)}, ValueError, r'distinct keys without "/"; \[\'a/b\'\]'),
        ({"": jnp.ones(1)}, ValueError, "distinct keys"),
        ({"__metadata__": jnp.ones(1)}, ValueError, "make '__metadata__'"),
        (collections.OrderedDict({1: np.ones(1), "1": np.ones(1)}), ValueError, "make '1'"),
        ({"k": jax.random.key(0)}, TypeError, "'k' is a random key"),
        ({"x": 2.5}, TypeError, "'x' is a float"),
        ({"x": jax.ShapeDtypeStruct((2,), "float32")}, TypeError, "'x' is a ShapeDtypeStruct"),
        ({"x": jnp.ones(2, "int4")}, ValueError, "int4; cast it to what safetensors holds: bool"),
    ],
)
def test_what_the_file_cannot_hold_is_refused_before_anything_is_written(
    tree, error, words, tmp_path
):
    with pytest.raises(error, match=words):
        weights.save(tmp_path / "w.safetensors", tree)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("description", "error", "words"),
    [
        ({"loss": float("nan")}, ValueError, "finite numbers"),
        ({"notes": "x" * 2**24}, ValueError, "at most 16777216 bytes"),
        ("words", TypeError, "dataclass or a dict"),
    ],
)
def test_a_description_is_json_of_a_bounded_size(description, error, words, tmp_path):
    path = weights.save(tmp_path / "w.safetensors", small())
    before = {f: f.read_bytes() for f in tmp_path.iterdir()}
    with pytest.raises(error, match=words):
        weights.save(path, {"other": jnp.ones(2)}, description=description)
    assert {f: f.read_bytes() for f in tmp_path.iterdir()} == before


def test_a_json_of_another_kind_is_not_replaced(tmp_path):
    (tmp_path / "config.json").write_text('{"width": 3}')
    with pytest.raises(ValueError, match=r"config\.json .* its format is None"):
        weights.save(tmp_path / "config.safetensors", small())
    assert [f.name for f in tmp_path.iterdir()] == ["config.json"]


def test_a_save_that_dies_leaves_the_old_pair_or_one_that_is_refused(tmp_path, monkeypatch):
    path = weights.save(tmp_path / "w.safetensors", small())
    changed = small() | {"a": jnp.zeros(3)}
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            weights.save(path, changed)
    assert train.digest(weights.load(path, small())) == train.digest(small())
    assert len(list(tmp_path.iterdir())) == 2
    with monkeypatch.context() as patch:
        patch.setattr("gm.train.folders.replace", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            weights.save(path, changed)
    with pytest.raises(ValueError, match="its SHA-256"):
        weights.load(path, small())


def test_safetensors_is_asked_for_by_name(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("safetensors"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "gm\[export\]"'):
        weights.save(tmp_path / "w.safetensors", small())


def test_paths_are_checked(tmp_path):
    for call in (weights.describe, lambda path: weights.load(path, small())):
        with pytest.raises(ValueError, match=r"ends in \.safetensors; got .*w\.npz"):
            call(tmp_path / "w.npz")
        with pytest.raises(FileNotFoundError, match=r"w\.safetensors"):
            call(tmp_path / "w.safetensors")
    with pytest.raises(FileNotFoundError, match=r"w\.safetensors"):
        weights.load(tmp_path / "w.safetensors", small(), described=False)
    path = weights.save(tmp_path / "w.safetensors", small())
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"w\.safetensors"):
        weights.load(path, small())


def test_a_file_from_elsewhere_is_taken_only_when_asked_for(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "w.safetensors"
    arrays = {"x": np.arange(3, dtype=np.float32), "h": np.array([True, False])}
    save_file(arrays, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"w\.json, .* is missing.*described=False"):
        weights.load(path, arrays)
    with pytest.raises(ValueError, match="has no description"):
        weights.describe(path)
    got = weights.load(path, arrays, described=False)
    assert train.digest(got) == train.digest(jax.tree.map(jnp.asarray, arrays))
    with pytest.raises(ValueError, match="of another model"):
        weights.load(path, {"x": arrays["x"]}, described=False)


def test_another_model_is_refused_with_up_to_five_differences(tmp_path):
    path = weights.save(
        tmp_path / "w.safetensors", small() | {f"n{i}": jnp.ones(1) for i in range(5)}
    )
    like = {"a": jnp.zeros((2, 2)), "b": {"c": jnp.zeros(4, jnp.uint8)}, "new": jnp.zeros(1)}
    with pytest.raises(ValueError, match="of another model") as error:
        weights.load(path, like)
    lines = str(error.value).splitlines()
    assert lines[1:4] == [
        "  a: float32[3] in the file, float32[2, 2] here",
        "  b/c: int8[4] in the file, uint8[4] here",
        "  new: absent in the file, float32[1] here",
    ]
    assert len(lines) == 7
    assert lines[-1] == "  and 3 more"


def test_64_bits_are_not_cut_to_32(tmp_path):
    tree = {"x": bits("float64"), "n": bits("int64")}
    path = weights.save(tmp_path / "w.safetensors", tree)
    with pytest.raises(ValueError, match="jax_enable_x64"):
        weights.load(path, tree)
    with jax.enable_x64(True):
        got = weights.load(path, tree)
    assert {k: np.asarray(x).tobytes() for k, x in got.items()} == {
        k: x.tobytes() for k, x in tree.items()
    }


HEADERS = [
    (b"", b"", "valid JSON"),
    (b'{"x": ', b"", "valid JSON"),
    (b"\xff\xfe", b"", "valid JSON"),
    (b"[" * 100_000, b"", "valid JSON"),
    (b"[]", b"", "type list, not an object"),
    (b'{"x": {}, "x": {}}', b"", "a key appears twice"),
    (b'{"x": {"dtype": "F32", "dtype": "F32"}}', b"", "a key appears twice"),
    ({"x": None}, b"", "'x' cannot be None"),
    ({"x": entry() | {"more": 1}}, bytes(12), "'x' cannot be"),
    ({"x": {"dtype": "F32", "shape": [3]}}, bytes(12), "'x' cannot be"),
    ({"x": entry("F4")}, bytes(12), "'x' cannot be"),
    ({"x": entry(["F32"])}, bytes(12), "'x' cannot be"),
    ({"x": entry(shape=[3.0])}, bytes(12), "'x' cannot be"),
    ({"x": entry(shape=[True, 3])}, bytes(12), "'x' cannot be"),
    ({"x": entry(shape=[-3])}, bytes(12), "'x' cannot be"),
    ({"x": entry(shape=[2**70])}, bytes(12), "'x' cannot be"),
    ({"x": entry(shape=[1] * 33 + [3])}, bytes(12), "'x' cannot be"),
    ({"x": entry() | {"shape": "3"}}, bytes(12), "'x' cannot be"),
    ({"x": entry(shape=[4])}, bytes(12), "'x' cannot be"),
    ({"x": entry(offsets=[12, 0])}, bytes(12), "'x' cannot be"),
    ({"x": entry(offsets=[-12, 0])}, bytes(12), "'x' cannot be"),
    ({"x": entry(offsets=[0, 12, 24])}, bytes(12), "'x' cannot be"),
    ({"x": entry(offsets=["0", "12"])}, bytes(12), "'x' cannot be"),
    ({"x": entry(offsets=[4, 16])}, bytes(16), "overlap or leave a gap at byte"),
    ({"x": entry(), "y": entry()}, bytes(12), "overlap or leave a gap"),
    ({"x": entry(), "y": entry(offsets=[8, 20])}, bytes(20), "overlap or leave a gap"),
    ({"x": entry(), "y": entry(offsets=[16, 28])}, bytes(28), "overlap or leave a gap"),
    ({"x": entry()}, bytes(11), "its header accounts for"),
    ({"x": entry()}, bytes(13), "its header accounts for"),
    ({}, bytes(1), "its header accounts for"),
    ({"x": entry("BOOL", [3], [0, 3])}, b"\0\1\2", "are not bool"),
]


@pytest.mark.parametrize(("header", "data", "words"), HEADERS)
def test_a_header_that_is_not_sound_is_refused(header, data, words, tmp_path):
    path = forge(tmp_path / "w.safetensors", header, data)
    like = {"x": jnp.zeros(3, bool) if words == "are not bool" else jnp.zeros(3)}
    with pytest.raises(ValueError, match=words) as error:
        weights.load(path, like, described=False)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("depth", [300, 600, 900, 5000, 9900])
def test_no_depth_of_nesting_is_more_than_a_refusal(depth, tmp_path):
    deep = b"[" * depth + b"]" * depth
    path = forge(tmp_path / "w.safetensors", b'{"x": ' + deep + b"}")
    with pytest.raises(ValueError, match="is damaged"):
        weights.load(path, small(), described=False)
    for page in (b'{"format": ' + deep + b"}", b'{"format": "gm weights 1", "d": ' + deep + b"}"):
        path.with_suffix(".json").write_bytes(page)
        with pytest.raises(ValueError, match=r"is damaged|shallow JSON"):
            weights.describe(path)


def test_a_length_out_of_reason_is_refused_unread(tmp_path):
    path = tmp_path / "w.safetensors"
    for data in (b"", b"\1\0\0", struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 3) + b"{}"):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"a header of \d+ bytes in a file of \d+"):
            weights.load(path, small(), described=False)
    with path.open("wb") as file:  # large enough, but no header is
        file.write(struct.pack("<Q", 2**24 + 1))
        file.truncate(2**25)
    with pytest.raises(ValueError, match="at most 16777216"):
        weights.load(path, small(), described=False)
    weights.save(path, small())
    with path.with_suffix(".json").open("ab") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(ValueError, match="at most 16777216 are read"):
        weights.load(path, small())


def test_a_terabyte_that_is_not_there_takes_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_read", lambda *_: pytest.fail("an array was read"))
    size = 2**38  # float32: one TiB
    large = {"x": jax.ShapeDtypeStruct((size,), jnp.float32)}
    path = tmp_path / "w.safetensors"
    weights.save(path, {"x": jnp.ones(3)})
    with pytest.raises(ValueError, match=rf"float32\[3\] in the file, float32\[{size}\] here"):
        weights.load(path, large)
    forge(path, {"x": entry(shape=[size], offsets=[0, 4 * size])}, bytes(12))
    for described in (True, False):
        with pytest.raises(ValueError, match=r"bytes, and its header accounts for"):
            weights.load(path, large, described=described)


def test_nothing_is_read_before_everything_agrees(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_read", lambda *_: pytest.fail("an array was read"))
    path, other = tmp_path / "w.safetensors", tmp_path / "other.safetensors"
    weights.save(path, small())
    weights.save(other, small() | {"a": jnp.ones(3)})
    with pytest.raises(ValueError, match="of another model"):
        weights.load(path, {"a": jnp.zeros(3)})
    path.write_bytes(other.read_bytes())
    with pytest.raises(ValueError, match="its SHA-256"):
        weights.load(path, small())
    weights.save(other, {"a": jnp.ones(3)})
    path.write_bytes(other.read_bytes())
    with pytest.raises(ValueError, match=r"w\.json describes other arrays"):
        weights.load(path, {"a": jnp.ones(3)})


def test_a_description_that_was_edited_is_refused(tmp_path):
    path = weights.save(tmp_path / "w.safetensors", small(), description={"step": 9})
    beside = path.with_suffix(".json")
    page = json.loads(beside.read_text())
    edits = ({"description": {"step": 8}}, {"sha256": "0" * 64}, {"checksum": None}, {"more": 1})
    for edit in edits:
        beside.write_text(json.dumps(page | edit))
        with pytest.raises(ValueError, match="its checksum says"):
            weights.load(path, small())
    beside.write_text(json.dumps(page | {"format": "gm weights 2"}))
    with pytest.raises(ValueError, match=r"its format is 'gm weights 2', not 'gm weights 1'"):
        weights.load(path, small())
    bare = {"format": "gm weights 1"}
    beside.write_text(json.dumps(bare | {"checksum": weights._checksum(bare)}))
    with pytest.raises(ValueError, match="describes other arrays"):
        weights.load(path, small())


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_no_single_bit_and_no_truncation_goes_unnoticed(suffix, tmp_path):
    path = weights.save(tmp_path / "w.safetensors", small(), description={"lr": 0.125, "n": [1, 2]})
    target = path.with_suffix(suffix)
    whole, draw = target.read_bytes(), random.Random(0)
    flips = [(i // 8, 1 << i % 8) for i in draw.sample(range(8 * len(whole)), 250)]
    damaged = [whole[:i] + bytes([whole[i] ^ bit]) + whole[i + 1 :] for i, bit in flips]
    damaged += [whole[:n] for n in (0, 1, 8, len(whole) - 1, *draw.sample(range(len(whole)), 20))]
    for data in [*damaged, whole + b"\0", whole + whole]:
        target.write_bytes(data)
        with pytest.raises(ValueError, match=r"\w{5}"):
            weights.load(path, small())
    target.write_bytes(whole)
    assert train.digest(weights.load(path, small())) == train.digest(small())


def test_a_header_damaged_at_random_is_refused_or_harmless(tmp_path):
    """With nothing to vouch for the values, names, dtypes and shapes still never go wrong."""
    path = weights.save(tmp_path / "w.safetensors", small())
    whole, draw, refused = path.read_bytes(), random.Random(1), 0
    end = 8 + int.from_bytes(whole[:8], "little")
    for i in draw.sample(range(8 * end), 250):
        data = bytearray(whole)
        data[i // 8] ^= 1 << i % 8
        path.write_bytes(data)
        try:
            got = weights.load(path, small(), described=False)
        except ValueError:
            refused += 1
        else:
            assert train.digest(got) == train.digest(small())
    assert refused > 200
