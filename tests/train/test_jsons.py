"""Files of JSON that were spoiled: what is whole is read, what is not is said, nothing crashes."""

import json
import os
import resource

import pytest

from gm.train import jsons

ROW = {"step": int, "loss?": jsons.NUMBER}


def test_a_line_begins_on_a_line_of_its_own_and_broken_ones_are_told(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert jsons.lines(path, ROW) == []
    jsons.append(path, '{"step": 1}')
    with path.open("ab") as file:
        file.write(b'{"step": 2, "lo')
    jsons.append(path, '{"step": 3}')
    with path.open("ab") as file:
        file.write(b'\n\xff\xfe\n{"step": true}\n{"step": 4, "loss": "low"}\n3\n' + b"[" * 9999)
    jsons.append(path, '{"step": 5, "loss": 0.5}')
    values = [value for _, value in jsons.lines(path, ROW)]
    good = {"step": 1}, {"step": 3}, {"step": 5, "loss": 0.5}
    assert [x for x in values if x is not None] == [*good]
    assert [i for i, x in enumerate(values) if x is not None] == [0, 2, 9]
    assert path.read_bytes().endswith(b'[\n{"step": 5, "loss": 0.5}\n')


def test_a_disk_that_takes_half_a_line_is_left_with_none_of_it(tmp_path):
    path = tmp_path / "rows.jsonl"
    jsons.append(path, '{"step": 1}')
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, before[1]))
    try:
        with pytest.raises(OSError, match=r"rows\.jsonl|too large"):
            jsons.append(path, '{"step": 2}')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b'{"step": 1}\n'


def test_a_whole_file_is_replaced_or_left(tmp_path, monkeypatch):
    path = tmp_path / "page.json"
    jsons.replace(path, b"1")
    jsons.replace(path, b"2")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            jsons.replace(path, b"3")
    assert path.read_bytes() == b"2"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    ("value", "schema", "words"),
    [
        ({"a": 1, "more": []}, {"a": int}, ""),
        ({"a": True}, {"a": int}, "a is a bool"),
        ({"a": 1.5}, {"a": (int, None)}, "a is a float"),
        ({}, {"a": int}, "it lacks 'a'"),
        ({}, {"a?": int}, ""),
        ({"a": ""}, {"a?": int}, "a is a str"),
        ({"a": 1, "b": "x"}, {...: int}, "b is a str"),
        ({"a": [1, None]}, {"a": [int]}, "a is a NoneType"),
        ({"a": {}}, {"a": [int]}, "a is not a list"),
        ([], {}, "it is not an object"),
        ({"a": {"b": {}}}, {"a": {"b": {"c": str}}}, "b lacks 'c'"),
    ],
)
def test_a_schema_says_what_is_not_as_it_should_be(value, schema, words):
    assert jsons.fault(value, schema) == words


def test_what_cannot_be_read_is_said_with_the_name_of_its_file(tmp_path, monkeypatch):
    path = tmp_path / "page.json"
    spoiled = {
        b"[" * 10**5: "nested too deeply",
        json.dumps([[]] * 3 + [eval("[" * 65 + "]" * 65)]).encode(): "nested too deeply",
        b'{"a": "\xff"}': "it is not JSON .*utf-8",
        b'{"a": 1': "it is not JSON",
        b'{"a": 9' + b"9" * 5000 + b"}": "it is not JSON",
        b'{"a": null}': "a is a NoneType",
    }
    for data, words in spoiled.items():
        path.write_bytes(data)
        with pytest.raises(ValueError, match=rf"{path} is damaged: .*{words}"):
            jsons.read(path, {"a": int})
    path.write_bytes(b'{"a": 3}')
    assert jsons.read(path, {"a": int}) == {"a": 3}
    monkeypatch.setattr(jsons, "MOST", 7)
    with pytest.raises(ValueError, match=r"page\.json is damaged: it has 8 bytes, more than 7"):
        jsons.read(path, {})
