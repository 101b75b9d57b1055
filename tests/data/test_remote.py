"""Published sets: downloaded once, held to what was published, the same as TFDS prepares."""

import functools
import gzip
import hashlib
import http.server
import io
import re
import tarfile
import threading

import numpy as np
import pytest

from gm import data
from gm.core import Event
from gm.data import named, remote

CONTENT = bytes(range(256)) * 10_000


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    return tmp_path / "cache/gm/data"


@pytest.fixture
def server(tmp_path):
    """The address of a server of files, their folder, and the paths that were asked for."""
    asked, folder = [], tmp_path / "server"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *arguments):
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", folder, asked
        running.shutdown()


def published(url, content):
    return remote.File(url, len(content), hashlib.sha256(content).hexdigest())


def test_a_file_is_downloaded_once_and_as_a_whole(cache, server, capsys):
    address, folder, asked = server
    (folder / "a.bin").write_bytes(CONTENT)
    file = published(f"{address}/a.bin", CONTENT)
    for _ in range(2):
        (path,) = remote.fetch("set", "CC BY 4.0", (file,))
        assert path == cache / "set/a.bin"
        assert path.read_bytes() == CONTENT
    assert asked == ["/a.bin"]
    assert [p.name for p in path.parent.iterdir()] == ["a.bin"]
    assert f"set: downloading {address}/a.bin to {cache}/set (CC BY 4.0)" in capsys.readouterr().err


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x", b"y" + CONTENT[1:], b""])
def test_another_file_is_refused_and_nothing_stays(cache, server, content):
    address, folder, _ = server
    (folder / "a.bin").write_bytes(content)
    file = published(f"{address}/a.bin", CONTENT)
    with pytest.raises(ValueError, match=r"a\.bin is not the published file: it needs 2,560,000"):
        remote.fetch("set", "MIT", (file,))
    assert list((cache / "set").iterdir()) == []
    (cache / "set/a.bin").write_bytes(content)
    with pytest.raises(ValueError, match="Delete it to have it downloaded"):
        remote.fetch("set", "MIT", (file,))


def test_a_file_of_unknown_digest_has_a_limit(cache, server):
    address, folder, _ = server
    (folder / "a.bin").write_bytes(CONTENT)
    with pytest.raises(ValueError, match="needs fewer bytes; got"):
        remote.fetch("set", "MIT", (remote.File(f"{address}/a.bin", 1000),))


@pytest.fixture
def offline(monkeypatch):
    def fail(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr(remote.urllib.request, "urlopen", fail)


def test_offline_it_is_said_where_to_put_the_file(cache, offline):
    want = re.escape(
        f"'mnist' is not in {cache}/mnist and cannot be downloaded (no network). Put "
        "train-images-idx3-ubyte.gz there, of 9,912,422 bytes and SHA-256 440fcabf73cc546fa21475e8"
    )
    with pytest.raises(FileNotFoundError, match=want):
        data.load("mnist_dynamic")
    with pytest.raises(FileNotFoundError, match="tfds build mnist"):
        data.load("mnist", data_dir=cache)


@pytest.mark.parametrize("name", named.SETS)
def test_offline_every_published_set_says_which_file_and_from_where(name, cache, offline):
    (file, *_), licence, _ = named.SETS[name]
    known = f"{file.size:,} bytes and SHA-256 {file.sha256}"
    size = known if file.sha256 else "at most 33,554,432 bytes, whose examples will be compared"
    want = (
        f"{name!r} is not in {cache / name.replace('/', '_')} and cannot be downloaded (no "
        f"network). Put {file.name} there, of {size}; it is published at {file.url} ({licence})."
    )
    with pytest.raises(FileNotFoundError, match=re.escape(want)):
        data.load(name)


def test_the_cache_needs_no_home(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(remote.os.path, "expanduser", lambda path: path)
    assert remote.cache().is_absolute()
    assert remote.cache().parts[-2:] == ("gm", "data")


def test_every_published_set_says_where_it_is_and_what_it_may_be_used_for():
    names = "mnist fashion_mnist cifar10 binarized_mnist tiny_shakespeare fsdd dna mushrooms"
    assert set(named.SETS) == {*names.split(), "wine_quality/red", "wine_quality/white"}
    for name, (files, licence, read) in named.SETS.items():
        assert licence
        for file in files:
            assert file.url.startswith("http")
            assert len(file.sha256) == 64 or isinstance(read, named.Binary), name
            assert file.size > 0


def test_examples_are_in_the_order_of_tfds():
    """The MD5 of the split and the key, as tensorflow_datasets.core.hashing has it."""
    from tensorflow_datasets.core import hashing

    hasher = hashing.Hasher("train")
    want = sorted(range(50), key=lambda i: hasher.hash_key(i))
    assert named.in_order(range(50), "train") == want
    keys = ["0_a_1", "1_b_2", "2_c_3"]
    want = sorted(range(3), key=lambda i: hasher.hash_key(keys[i]))
    assert named.in_order(keys, "train") == want


def serve(monkeypatch, server, name, contents, read):
    """Makes a set of these files the published one of that name."""
    address, folder, _ = server
    files = []
    for file, content in contents.items():
        (folder / file).write_bytes(content)
        files.append(published(f"{address}/{file}", content))
    monkeypatch.setitem(named.SETS, name, (tuple(files), "MIT", read))


def test_images_in_the_form_of_mnist(cache, server, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (30, 28, 28), np.uint8), np.arange(30, dtype=np.uint8) % 10
    raw = [bytes(16) + x[:20].tobytes(), bytes(8) + y[:20].tobytes()]
    raw += [bytes(16) + x[20:].tobytes(), bytes(8) + y[20:].tobytes()]
    contents = {f"{i}.gz": gzip.compress(part) for i, part in enumerate(raw)}
    serve(monkeypatch, server, "mnist", contents, named._images)
    mnist = data.load("mnist")
    assert str(mnist) == (
        "mnist: 18 + 2 + 10 examples of shape (28, 28), integers in [0, 256); "
        "validation cut from train"
    )
    train, test = named.in_order(range(20), "train"), named.in_order(range(10), "test")
    np.testing.assert_array_equal(mnist.train.x, x[train[:18]])
    np.testing.assert_array_equal(mnist.validation.y, y[train[18:]])
    np.testing.assert_array_equal(mnist.test.x, x[20:][test])
    assert data.load("mnist_threshold").event == Event((28, 28), 2)


def test_images_in_the_archive_of_cifar10(cache, server, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 32, 32, 3), np.uint8), np.arange(60, dtype=np.uint8) % 10
    rows = np.concatenate([y[:, None], np.moveaxis(x, -1, 1).reshape(60, -1)], axis=1)
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for i, name in enumerate(names):
            raw = rows[10 * i : 10 * i + 10].tobytes()
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    serve(monkeypatch, server, "cifar10", {"c.tar.gz": content.getvalue()}, named._colour)
    held = data.load("cifar10")
    assert (held.event, held.num_labels) == (Event((32, 32, 3), 256), 10)
    assert (len(held.train), len(held.validation), len(held.test)) == (45, 5, 10)
    order = named.in_order(range(50), "train")
    np.testing.assert_array_equal(held.train.x, x[order[:45]])
    np.testing.assert_array_equal(held.test.x, x[50:][named.in_order(range(10), "test")])
    np.testing.assert_array_equal(held.train.y, y[order[:45]])


def test_binary_digits_in_the_form_of_larochelle(cache, server, monkeypatch):
    x = np.random.default_rng(0).integers(0, 2, (6, 784))
    rows = ["".join(f"{v} " for v in row[:-1]) + f"{row[-1]}\n" for row in x]
    parts = {f"{i}.amat": "".join(rows[2 * i : 2 * i + 2]).encode() for i in range(3)}
    serve(monkeypatch, server, "binarized_mnist", parts, named._binarized)
    held = data.load("binarized_mnist")
    assert (held.event, held.made) == (Event((28, 28), 2), ())
    want = x[4:][named.in_order(range(2), "test")].reshape(2, 28, 28)
    np.testing.assert_array_equal(held.test.x, want)


def test_sounds_in_an_archive(cache, server, monkeypatch, tmp_path):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for i in range(20):
            path = data.write_wav(tmp_path / f"{i % 10}_a_{i}.wav", np.full(50, i / 32), 8000)
            archive.add(path, f"x-1.0.9/recordings/{path.name}")
        archive.add(path, "x-1.0.9/elsewhere/other.wav")
    serve(monkeypatch, server, "fsdd", {"v.tar.gz": content.getvalue()}, named._spoken)
    sounds = data.load("fsdd", length=60)
    assert str(sounds).startswith("fsdd: 17 + 1 + 2 examples of shape (60,), real")
    x = np.concatenate([sounds.train.x, sounds.validation.x, sounds.test.x])
    y = np.concatenate([sounds.train.y, sounds.validation.y, sounds.test.y])
    assert set(x[:, 50:].ravel()) == {0}
    np.testing.assert_array_equal(np.rint(x[:, 0] * 32) % 10, y)


def test_dna_is_held_to_its_examples(cache, server, monkeypatch):
    rng = np.random.default_rng(0)
    parts = {
        part: rng.integers(0, 2, (n, 4)) for part, n in (("train", 5), ("valid", 3), ("test", 2))
    }
    own = np.concatenate([*parts.values()]).astype(np.uint8).tobytes()
    content = io.BytesIO()
    np.savez(content, **{f"{k}_data": v.astype(np.float32) for k, v in parts.items()}, inputsize=4)
    read = named.Binary(hashlib.sha256(own).hexdigest())
    serve(monkeypatch, server, "dna", {"dna.npz": content.getvalue()}, read)
    dna = data.load("dna")
    assert str(dna) == "dna: 5 + 3 + 2 examples of shape (4,), integers in [0, 2)"
    np.testing.assert_array_equal(dna.validation.x, parts["valid"])
    read = named.Binary(hashlib.sha256(b"others").hexdigest())
    serve(monkeypatch, server, "dna", {"dna.npz": content.getvalue()}, read)
    with pytest.raises(ValueError, match=r"dna\.npz does not hold the published examples"):
        data.load("dna")
    # Put there by hand, in another form but of the same examples: nothing is asked for.
    read = named.Binary(hashlib.sha256(own).hexdigest())
    monkeypatch.setitem(named.SETS, "dna", ((remote.File("http://x/dna.npz", 2000),), "", read))
    (cache / "dna/dna.npz").unlink()
    np.savez(cache / "dna/dna.npz", **{k: v.astype(np.uint8) for k, v in parts.items()})
    np.testing.assert_array_equal(data.load("dna").test.x, parts["test"])
    assert server[2] == ["/dna.npz"]
