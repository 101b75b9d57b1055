"""What readers of data and of results do with spoiled files; `fuzz.py` runs it and says the rules.

Wrong is what is read without a word and differs from what the whole file holds; of files without
checksums, only what ends in another error is counted.
"""

from __future__ import annotations

import html
import json
import pathlib
import random
import re
import shutil
import sys
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import fuzz
import numpy as np

from gm.data import contents

Read = Callable[[], bool]
CLEAR = (ValueError, contents.Refused)
EVIL = "import pathlib; pathlib.Path({path!r}).touch()\n"  # code that must not run
MARKUP = (
    "<script>alert(1)</script>§a | b§\\|§\\§`§``x`§[a](javascript:b)§![](http://c)§**§_a_§&lt;§&#60;b>§"
    "$x$§~~§\n# a§<a href='§--> <b§|---|§a\n\n|b|§*a*§---§\u2028|§"
)  # what Markdown and HTML would not show as it is
BOMB = 3_000_000_000  # bytes that a file of 2.9 MB unpacks to


def held(dataset: Any) -> list[np.ndarray]:
    """x and y of the three splits."""
    splits = (dataset.train, dataset.validation, dataset.test)
    return [a for split in splits for a in (split.x, split.y)]


def quiet(load: Callable[[], Any]) -> Any:
    """What it gives, without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load()


def same(load: Callable[[], Any], right: list[np.ndarray]) -> bool:
    """Whether a data set is loaded that holds these arrays."""
    found = held(quiet(load))
    return all(np.array_equal(a, b) for a, b in zip(found, right, strict=True))


def _arrays() -> dict[str, np.ndarray]:
    rng, sizes = np.random.default_rng(0), {"train": 12, "validation": 4, "test": 5}
    x = {part: rng.integers(0, 9, (n, 2, 3)) for part, n in sizes.items()}
    return x | {f"{part}_labels": np.arange(n) % 3 for part, n in sizes.items()}


def _bomb(path: pathlib.Path, name: str, beside: dict[str, np.ndarray]) -> bytes:
    """A `.npz` file of 2.9 MB with an array of 3 GB of zeros of that name."""
    np.savez_compressed(path, **beside)
    header = {"descr": "|u1", "fortran_order": False, "shape": (BOMB,)}
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file,
        file.open(f"{name}.npy", "w", force_zip64=True) as member,
    ):
        np.lib.format.write_array_header_1_0(member, header)
        for _ in range(BOMB // 10**7):
            member.write(bytes(10**7))
    return path.read_bytes()


def npz(count: int, seed: int, folder: pathlib.Path) -> fuzz.Count:
    """`.npz` files, stored and deflated; a few in ten thousand unpack to 3 GB."""
    from gm import data

    path, arrays = folder / "mine.npz", _arrays()
    whole = []
    for save in (np.savez, np.savez_compressed):
        save(path, **arrays)
        whole.append(path.read_bytes())
    right = held(data.load(path))
    few = {name: x for name, x in arrays.items() if not name.startswith("train")}
    bombs = [_bomb(path, "unused", arrays), _bomb(path, "train", few)] if count > 1000 else []

    def case(rng: random.Random) -> Read:
        bomb = bombs and rng.random() < 1e-3
        path.write_bytes(rng.choice(bombs) if bomb else fuzz.spoil(rng.choice(whole), rng))
        return lambda: same(lambda: data.load(path), right)

    return fuzz.tally(count, seed, case, CLEAR, "mine")


def other_files(count: int, seed: int, folder: pathlib.Path) -> fuzz.Count:
    """`.npy`, `.csv` and `.mat` files, which have no checksums of all they hold."""
    from scipy import io

    from gm import data

    arrays, packed = _arrays(), folder / "packed.mat"
    np.save(folder / "mine.npy", arrays["train"])
    rows = (f"{i / 7},{i},{i % 3}\n" for i in range(30))
    (folder / "mine.csv").write_text("a,b,label\n" + "".join(rows))
    io.savemat(folder / "mine.mat", arrays)
    io.savemat(packed, arrays, do_compression=True)
    whole = {folder / f"mine.{suffix}": None for suffix in ("npy", "csv", "mat")}
    whole = {path: [path.read_bytes()] for path in whole}
    whole[folder / "mine.mat"].append(packed.read_bytes())

    def case(rng: random.Random) -> Read:
        path = rng.choice(list(whole))
        path.write_bytes(fuzz.spoil(rng.choice(whole[path]), rng))
        return lambda: len(quiet(lambda: data.load(path)).train) > 0

    return fuzz.tally(count, seed, case, CLEAR, "mine")


def prepare(folder: pathlib.Path) -> None:
    """Writes a small data set as TFDS prepares it: `folder/tiny/1.0.0`."""
    import tensorflow_datasets as tfds
    from array_record.python import array_record_module

    where = folder / "tiny" / "1.0.0"
    where.mkdir(parents=True)
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Tensor(shape=(2, 3, 1), dtype=np.uint8),
            "label": tfds.features.ClassLabel(num_classes=3),
        }
    )
    features.save_config(where)
    splits, arrays = [], _arrays()
    for part in ("train", "validation", "test"):
        records = [
            features.serialize_example({"image": np.uint8(x)[..., None], "label": int(y)})
            for x, y in zip(arrays[part], arrays[f"{part}_labels"], strict=True)
        ]
        path = where / f"tiny-{part}.array_record-00000-of-00001"
        writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
        for record in records:
            writer.write(record)
        writer.close()
        template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
        splits.append(
            {"name": part, "shardLengths": [str(len(records))], "filepathTemplate": template}
        )
    keys = {"tuple": {"items": [{"featureKey": "image"}, {"featureKey": "label"}]}}
    info = {"name": "tiny", "version": "1.0.0", "fileFormat": "array_record", "splits": splits}
    (where / "dataset_info.json").write_text(json.dumps(info | {"supervisedKeys": keys}, indent=1))


def tfds_folders(count: int, seed: int, folder: pathlib.Path) -> fuzz.Count:
    """Folders with one spoiled file, or descriptions that name code and files elsewhere."""
    from gm import data

    canary, own = folder / "code_ran", "evil_features.Mine"
    (folder / "evil_features.py").write_text(EVIL.format(path=str(canary)))
    sys.path.insert(0, str(folder))
    prepare(folder / "whole")
    secret = folder / "secret.array_record-00000-of-00001"
    shutil.copy(folder / "whole/tiny/1.0.0/tiny-train.array_record-00000-of-00001", secret)
    right = held(data.load("tiny", data_dir=folder / "whole"))
    whole = {path.name: path.read_bytes() for path in (folder / "whole/tiny/1.0.0").iterdir()}
    evil = [own, {"pythonClassName": own, "tensor": {}}, {"type": own, "content": {}}, str(secret)]
    evil += ["../../secret", {"json": json.dumps({"type": own})}, 10**12, "x" * 10**5, "\0"]
    evil += ["tensorflow_datasets.core.features.evil_features.Mine", "NaN", [[[[{}]]]]]
    broken = folder / "broken/tiny/1.0.0"
    broken.mkdir(parents=True)

    def case(rng: random.Random) -> Read:
        for name, content in whole.items():  # of the case before
            (broken / name).write_bytes(content)
        name = rng.choice([*whole, "none"])
        if name.endswith(".json") and rng.random() < 0.7:
            value = json.loads(whole[name])
            for _ in range(rng.randint(1, 2)):
                holder, key = rng.choice([*fuzz._places(value)])
                holder[key] = rng.choice(evil)
            value = fuzz.exchange(value, rng) if rng.random() < 0.3 else value
            (broken / name).write_text(json.dumps(value))
        elif name != "none":
            content = whole[name]
            end = len(content.rstrip(b"\0")) if name.endswith(".json") else 800
            (broken / name).write_bytes(fuzz.spoil(content[:end], rng) + content[end:])

        def read() -> bool:
            try:
                return same(lambda: data.load("tiny", data_dir=folder / "broken"), right)
            finally:
                if canary.exists():
                    raise RuntimeError("code of a folder ran")

        return read

    try:
        return fuzz.tally(count, seed, case, CLEAR, "tiny")
    finally:
        sys.path.remove(str(folder))


def _cells(page: str) -> list[list[str]]:
    """The cells of the rows of the tables on a page, as a reader of Markdown sees them.

    What is there beside text and code, such as a link, is left as HTML.
    """
    import markdown_it

    shown = markdown_it.MarkdownIt("commonmark").enable("table").render(page)
    rows = re.findall(r"<tr>(.*?)</tr>", shown, re.DOTALL)
    cells = [re.findall(r"<td>(.*?)</td>", row, re.DOTALL) for row in rows]
    bare = [[re.sub(r"</?code>", "", cell) for cell in row] for row in cells if row]
    return [[c if "<" in c else html.unescape(c) for c in row] for row in bare]


def faithful(rows: list[Any], page: str) -> bool:
    """Whether a page shows the texts of results as they are, between one pair of markers."""
    from gm.metrics import results

    text = results.updated(page, rows)
    same_page = text.startswith("Before.\n") and text.endswith("\nAfter.\n")
    shown = sorted((row[0], row[1], row[2], row[6]) for row in _cells(text))
    fields = [(r.model, r.principle, r.metric, r.command) for r in rows]
    said = sorted(tuple(" ".join(field.split()) for field in row) for row in fields)
    once = text.count(results.BEGIN) == text.count(results.END) == 1
    return once and same_page and shown == said and results.updated(text, rows) == text


def results(count: int, seed: int, folder: pathlib.Path) -> fuzz.Count:
    """Result files: markup and markers in their texts, numbers of any size, spoiled JSON."""
    from gm.metrics import results as module

    path = folder / "result.json"
    one = dict.fromkeys(module.FIELDS, "a text")
    one |= {"value": 1.5, "standard_error": 0.1, "count": 10, "kind": "exact", "num_samples": 2}
    one |= {"steps": 3, "seconds": 4.0, "published": 2.5, "command": "python a.py --b c"}
    markup = [module.END, module.BEGIN, *MARKUP.split("§")]
    numbers = [1e308, -1e300, 10**4000, 1e16, 5e-324, -1, "\u202e", "\0", "x" * 10**5]
    texts = [name for name, value in one.items() if value == "a text"]
    page = f"Before.\n{module.BEGIN}\n{module.END}\nAfter.\n"

    def case(rng: random.Random) -> Read:
        rows = [dict(one) for _ in range(rng.randint(1, 3))]
        for row in rows:
            row |= {name: rng.choice(markup) for name in texts if rng.random() < 0.7}
            row |= {name: rng.choice(numbers) for name in one if rng.random() < 0.02}
        value = fuzz.exchange(rows, rng) if rng.random() < 0.3 else rows
        content = json.dumps(value).encode()
        path.write_bytes(fuzz.spoil(content, rng) if rng.random() < 0.3 else content)
        return lambda: faithful(module.read(path), page)

    return fuzz.tally(count, seed, case, CLEAR, path.name)


KINDS = {
    "npz": npz,
    "other_files": other_files,
    "tfds_folders": tfds_folders,
    "results": results,
}
