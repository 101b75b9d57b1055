"""Weights as safetensors: bit for bit, by name, on any devices, and refused rather than guessed."""

import collections
import dataclasses
import hashlib
import json
import os
import random
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from gm import distributions as dist
from gm import train
from gm.core import Event, pytree
from gm.models.autoregressive import MADE
from gm.train import weights

OTHERS = ("bool", "int8", "int16", "int32", "uint8", "uint16", "uint32", "complex64")
FLOATS = ("float16", "bfloat16", "float32", "float8_e4m3fn", "float8_e5m2")


@pytree
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


def test_every_bit_of_every_dtype_returns_in_the_same_tree(tmp_path):
    tree = tree_of_everything()
    path = weights.save(tmp_path / "new" / "w.safetensors", tree)
    got = weights.load(path, like_of(tree))
    assert jax.tree.structure(got) == jax.tree.structure(tree)
    assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(got))
    assert train.digest(got) == train.digest(tree)
    assert sorted(f.name for f in path.parent.iterdir()) == ["w.safetensors"]
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
    assert list(page) == ["format", "description", "model", "arrays", "jax"]
    assert page["description"] == {"dtype": "int8", "n": {"k": 1}}
    sha = {k: x.pop("sha256") for k, x in page["arrays"].items()}
    assert sha["b/c"] == hashlib.sha256(bytes([0, 1, 2, 3])).hexdigest()
    want = {"a": {"dtype": "float32", "shape": [3]}, "b/c": {"dtype": "int8", "shape": [4]}}
    assert page["arrays"] == want
    weights.save(path, small(), description=Config())
    assert weights.describe(path)["description"] == {"width": 3, "shape": [2, 2]}
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


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
    described = weights.describe(path)["description"]["model"]
    assert (described[""], described["hidden"]) == ("MADE", "(8,)")
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


def test_a_save_that_dies_leaves_the_old_file(tmp_path, monkeypatch):
    path = weights.save(tmp_path / "w.safetensors", small())
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            weights.save(path, small() | {"a": jnp.zeros(3)})
    assert train.digest(weights.load(path, small())) == train.digest(small())
    assert list(tmp_path.iterdir()) == [path]


def test_paths_are_checked(tmp_path):
    for call in (weights.describe, lambda path: weights.load(path, small())):
        with pytest.raises(ValueError, match=r"ends in \.safetensors; got .*w\.npz"):
            call(tmp_path / "w.npz")
        with pytest.raises(FileNotFoundError, match=r"w\.safetensors"):
            call(tmp_path / "w.safetensors")


def test_a_file_from_elsewhere_is_taken_only_when_asked_for(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "w.safetensors"
    arrays = {"x": np.arange(3, dtype=np.float32), "h": np.array([True, False])}
    save_file(arrays, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"no description with checksums, .*described=False"):
        weights.load(path, arrays)
    with pytest.raises(ValueError, match="has no description"):
        weights.describe(path)
    got = weights.load(path, arrays, described=False)
    assert train.digest(got) == train.digest(jax.tree.map(jnp.asarray, arrays))
    with pytest.raises(ValueError, match="of another model"):
        weights.load(path, {"x": arrays["x"]}, described=False)
    data = path.read_bytes()
    for broken in (b"", b"no header", data[:-1], data + b"!", data.replace(b"F32", b"F33")):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"w\.safetensors is damaged, or not what"):
            weights.load(path, arrays, described=False)
    save_file({"x": np.zeros(3, ml_dtypes.float8_e5m2)}, path)
    with pytest.raises(ValueError, match=r"'x': .*float8_e5m2"):
        weights.load(path, arrays, described=False)


def test_another_model_is_refused_with_the_first_differences(tmp_path):
    path = weights.save(
        tmp_path / "w.safetensors", small() | {f"n{i}": jnp.ones(1) for i in range(8)}
    )
    like = {"a": jnp.zeros((2, 2)), "b": {"c": jnp.zeros(4, jnp.uint8)}, "new": jnp.zeros(1)}
    with pytest.raises(ValueError, match="of another model") as error:
        weights.load(path, like)
    lines = str(error.value).splitlines()
    assert lines[1:4] == [
        "  a: float32[3] there, float32[2, 2] here",
        "  b/c: int8[4] there, uint8[4] here",
        "  new: absent there, float32[1] here",
    ]
    assert len(lines) == 10
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


def test_a_description_that_was_edited_is_refused(tmp_path):
    from safetensors.numpy import save_file

    path = weights.save(tmp_path / "w.safetensors", {"a": jnp.arange(6.0)}, description={"n": 9})
    page = weights.describe(path)

    def write(page, array, checked=True):
        text = json.dumps(page)
        sha256 = hashlib.sha256(text.encode()).hexdigest() if checked else "0" * 64
        save_file({"a": array}, path, {"gm": f"{sha256} {text}"})

    x = np.arange(6, dtype=np.float32)
    for words, edit in {
        "its description is not what was written": lambda: write(page, x, checked=False),
        "its format is 'gm weights 9'": lambda: write({**page, "format": "gm weights 9"}, x),
        "SHA-256 of 'a' differs": lambda: write(page, x + 1),
        "'a' is int32": lambda: write(page, x.view(np.int32)),
        r"'a' is float32\[2, 3\]": lambda: write(page, x.reshape(2, 3)),
    }.items():
        edit()
        with pytest.raises(ValueError, match=words):
            weights.load(path, {"a": jnp.zeros(6)})
    write(page, x)
    np.testing.assert_array_equal(weights.load(path, {"a": jnp.zeros(6)})["a"], x)


def test_no_single_bit_and_no_truncation_goes_unnoticed(tmp_path):
    path = weights.save(tmp_path / "w.safetensors", small(), description={"lr": 0.125, "n": [1, 2]})
    whole, rng = path.read_bytes(), random.Random(0)
    flips = [(i // 8, 1 << i % 8) for i in rng.sample(range(8 * len(whole)), 400)]
    flips += [(len(whole) - 1 - i, 1 << i % 8) for i in range(16)]  # of the arrays
    damaged = [whole[:i] + bytes([whole[i] ^ bit]) + whole[i + 1 :] for i, bit in flips]
    damaged += [whole[:n] for n in (0, 1, 8, len(whole) - 1, *rng.sample(range(len(whole)), 20))]
    for data in [*damaged, whole + b"\0", whole + whole]:
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"\w{5}"):
            weights.load(path, small())
    path.write_bytes(whole)
    assert train.digest(weights.load(path, small())) == train.digest(small())
