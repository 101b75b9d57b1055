"""Configurations, compared by value with what another process has written of them."""

import dataclasses
import functools
import json
import pathlib

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm.train import configs, identity

NAN = float("nan")
LONG = np.arange(5000.0)


@dataclasses.dataclass(frozen=True)
class Config:
    dataset: str = "digits"
    folder: pathlib.Path | None = None
    rate: float = 0.1


@dataclasses.dataclass(frozen=True)
class Model:
    table: np.ndarray = dataclasses.field(default_factory=lambda: LONG)


class Opaque:
    __slots__ = ()


def closure(rate):
    return lambda x: x * rate


def differences(a, b):
    """The differences of a config from one that another process has written."""
    there = json.loads(json.dumps(configs.as_json(a)))
    here = identity.Description(configs.flat(configs.as_json(b)))
    return identity.differences(configs.flat(there), here)


@pytest.mark.parametrize(
    ("make", "other"),
    [
        (lambda: LONG, lambda: LONG + (np.arange(5000) == 2500)),  # where a text is elided
        (lambda: jnp.float32([0.1]), lambda: jnp.float32([0.1 + 1e-8])),
        (lambda: Model(), lambda: Model(LONG[::-1])),
        (lambda: {"b": 1}, lambda: {"c": 1}),
        (lambda: True, lambda: 1),
        (lambda: [True, 2], lambda: [1, 2]),
        (lambda: "absent", lambda: None),
        (lambda: NAN, lambda: 0.0),
        (lambda: [NAN, {"x": NAN}], lambda: [NAN, {"x": 1.0}]),
        (lambda: closure(0.1), lambda: closure(0.2)),
        (lambda: optax.adam(1e-3), lambda: optax.adam(2e-3)),
        (lambda: functools.partial(closure, 0.1), lambda: functools.partial(closure, 0.2)),
        (lambda: {"x", "yy", "z"}, lambda: {"x", "yy"}),
        (lambda: np.float32(0.5), lambda: np.float32(0.25)),
        (lambda: jnp.tanh, lambda: jnp.sin),
        (lambda: pathlib.Path("a"), lambda: pathlib.Path("b")),
    ],
)
def test_a_value_is_itself_made_again_and_another_is_not(make, other):
    assert differences({"a": make()}, {"a": make()}) == []
    lines = differences({"a": make()}, {"a": other()})
    assert lines
    assert all(line.startswith("a") for line in lines)


def test_names_with_dots_are_no_paths():
    assert len(differences({"a.b": 1}, {"a": {"b": 1}})) == 2
    assert len(differences({"'a.b'": 1}, {"a.b": 1})) == 2
    assert len(differences({"a": {}}, {"a": {"b": 1}})) == 2
    assert differences({"a": "absent"}, {}) == ["a: 'absent' there, absent here"]
    assert differences({"a": 1}, {"a": 1.0}) == []


def test_only_the_field_of_the_folder_is_left_out():
    digits = pathlib.Path("digits")
    assert configs.without_folder(Config(folder=digits), digits) == {
        "dataset": "digits",
        "rate": 0.1,
    }
    home = pathlib.Path("~/runs").expanduser()
    assert configs.without_folder({"out_dir": "~/runs", "x": "~/runs"}, home) == {"x": "~/runs"}
    for other in ("a", "~nobody-of-this-name/a"):
        assert configs.without_folder({"folder": other}, home) == {"folder": other}


def test_what_is_told_by_its_type_alone_is_said():
    unknown = []
    held = configs.as_json({"a": Opaque(), "b": closure(1), "c": jnp.tanh, "d": LONG}, unknown)
    assert held["a"] == "Opaque"
    assert unknown == ["the config's Opaque, which is described only by its type"]
    with pytest.raises(TypeError, match="config must be a dataclass or a dict; got list"):
        configs.as_json([])
    with pytest.raises(ValueError, match="nested too deeply"):
        configs.as_json({"a": functools.reduce(lambda x, _: [x], range(99), 0)})
