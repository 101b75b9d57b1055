"""Data of one's own: folders of images and of sounds, texts, and any sequence of examples."""

import functools
import types

import jax
import numpy as np
import optax
import pytest
from PIL import Image

from gm import data, metrics, train
from gm.core import Event
from gm.data import waves
from gm.losses import likelihood
from gm.models.classical import product_of_marginals
from tests.data.test_tables import Frame

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 4, 5), np.uint8)
COLOUR = RNG.integers(0, 256, (20, 4, 5, 3), np.uint8)
TEXT = "To be, or not to be, that is the question.\n" * 20


def save(folder, images, suffix="png"):
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i:02d}.{suffix}")


def whole(dataset):
    splits = (dataset.train, dataset.validation, dataset.test)
    return np.concatenate([split.x for split in splits]), [len(split) for split in splits]


@pytest.mark.parametrize("images", [GREY, COLOUR])
def test_a_folder_of_images_is_cut_in_three(tmp_path, images):
    save(tmp_path / "photos", images)
    (tmp_path / "photos/.DS_Store").touch()
    dataset = data.load(tmp_path / "photos")
    assert (dataset.event, dataset.num_labels) == (Event(images.shape[1:], 256), None)
    x, sizes = whole(dataset)
    assert sizes == [17, 1, 2]
    assert str(dataset).endswith("validation and test cut from train")
    assert {e.tobytes() for e in x.astype(np.uint8)} == {e.tobytes() for e in images}
    again = data.load(f"{tmp_path / 'photos'}_threshold")
    np.testing.assert_array_equal(again.test.x, dataset.test.x >= 128)


def test_folders_in_it_are_classes_and_those_named_so_are_splits(tmp_path):
    for part, images in (("train", GREY[:12]), ("val", GREY[12:16]), ("test", GREY[16:])):
        save(tmp_path / "pets" / part / "dog", images[::2])
        save(tmp_path / "pets" / part / "cat", images[1::2])
    pets = data.load(f"{tmp_path}/pets")
    assert (pets.name, pets.num_labels, pets.made) == ("pets", 2, ())
    np.testing.assert_array_equal(pets.test.x, GREY[[17, 19, 16, 18]])
    np.testing.assert_array_equal(pets.test.y, [0, 0, 1, 1])
    (tmp_path / "pets/test/cat").rename(tmp_path / "pets/test/cow")
    with pytest.raises(ValueError, match="pets needs the same classes in every split"):
        data.load(tmp_path / "pets")


def test_black_and_white_pictures_are_binary_where_it_is_said(tmp_path):
    save(tmp_path / "bits", (GREY > 99).astype(np.uint8) * 255)
    assert data.load(tmp_path / "bits", binary=True).event == Event((4, 5), 2)


def test_folders_that_do_not_fit_are_refused(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    with pytest.raises(ValueError, match=r"photos needs images .* or \.wav files.*; got none"):
        data.load(folder)
    save(folder, GREY[:3])
    (folder / "notes.pdf").touch()
    with pytest.raises(ValueError, match=r"photos needs images .*; got \.pdf, \.png"):
        data.load(folder)
    (folder / "notes.pdf").unlink()
    save(folder / "more", GREY[:3])
    with pytest.raises(ValueError, match=r"needs folders of classes or files, not both: 00\.png"):
        data.load(folder)
    save(tmp_path / "sizes", [GREY[0], GREY[1][:3]])
    with pytest.raises(ValueError, match=r"sizes needs images of one size; got 2 sizes \(5 x 3, "):
        data.load(tmp_path / "sizes")
    (tmp_path / "sizes/01.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"01\.png is not an image, or is damaged"):
        data.load(tmp_path / "sizes")
    save(tmp_path / "deep", [GREY[0].astype(np.uint16)])
    with pytest.raises(ValueError, match="deep needs images of 8 bits"):
        data.load(tmp_path / "deep")
    save(tmp_path / "many", GREY)
    with pytest.raises(ValueError, match=r"many holds 400 bytes .* at most 300"):
        data.load(tmp_path / "many", max_bytes=300)
    with pytest.raises(ValueError, match=r"label is for a column of a \.csv file"):
        data.load(tmp_path / "many", label="cat")


def test_a_folder_of_sounds_with_classes(tmp_path):
    sounds = RNG.uniform(-1, 1, (10, 30))
    for i, x in enumerate(sounds):
        data.write_wav(tmp_path / "words" / ("no", "yes")[i % 2] / f"{i}.wav", x, 8000)
    words = data.load(tmp_path / "words", length=40)
    assert (words.event, words.num_labels) == (Event((40,)), 2)
    x, sizes = whole(words)
    assert sizes == [8, 1, 1]
    first = {round(float(v), 3) for v in x[:, 0]}
    assert first == {round(float(v), 3) for v in np.float32(np.rint(sounds[:, 0] * 2**15) / 2**15)}
    assert not x[:, 30:].any()
    data.write_wav(tmp_path / "words/no/z.wav", sounds[0], 16000)
    with pytest.raises(ValueError, match=r"one rate in samples per second; got .* 8000, .* 16000"):
        data.load(tmp_path / "words")
    (tmp_path / "words/no/z.wav").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match=r"z\.wav is not a \.wav file of PCM samples"):
        data.load(tmp_path / "words")


@pytest.mark.parametrize(
    ("width", "raw", "want"),
    [
        (1, np.array([0, 128, 255], np.uint8), [-1, 0, 127 / 128]),
        (2, np.array([-(2**15), 0, 2**14], "<i2"), [-1, 0, 0.5]),
        (4, np.array([-(2**31), 0, 2**30], "<i4"), [-1, 0, 0.5]),
    ],
)
def test_full_scale_is_one_and_channels_are_averaged(tmp_path, width, raw, want):
    import wave

    with wave.open(str(tmp_path / "x.wav"), "wb") as file:
        file.setparams((2, width, 100, 0, "NONE", ""))
        file.writeframes(np.repeat(raw, 2).tobytes())
    with open(tmp_path / "x.wav", "rb") as file:
        rate, x = waves.read(file, "x.wav")
    assert rate == 100
    np.testing.assert_array_equal(x, np.float32(want))


def test_a_text_is_cut_in_three(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_text(TEXT)
    poem = data.load(path, window=16)
    assert (poem.name, poem.event) == ("poem", Event((16,), len(set(TEXT))))
    assert data.decode(poem.train.x[0], poem.vocabulary) == TEXT[:16]
    with pytest.raises(ValueError, match=r"poem\.txt: windows of 128 characters need a longer"):
        data.load(path)
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match=r"poem\.txt is not a text in UTF-8"):
        data.load(path)
    with pytest.raises(FileNotFoundError, match=r"no file at .*absent\.txt"):
        data.load(tmp_path / "absent.txt")


class HuggingFace:
    """As much of `datasets.Dataset` as is looked at: rows by number."""

    def __init__(self, rows):
        self.rows, self.features, self.column_names = rows, {}, list(rows[0])

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        return iter(self.rows)


def rows(images, key="image"):
    return [{key: Image.fromarray(x), "label": i % 3} for i, x in enumerate(images)]


def test_data_sets_of_hugging_face_are_read_by_their_splits():
    parts = {"train": HuggingFace(rows(GREY[:15])), "test": HuggingFace(rows(GREY[15:]))}
    dataset = data.from_examples(parts)
    assert (dataset.event, dataset.num_labels, dataset.made) == (
        Event((4, 5), 256),
        3,
        ("validation",),
    )
    np.testing.assert_array_equal(dataset.test.x, GREY[15:])
    np.testing.assert_array_equal(dataset.test.y, [0, 1, 2, 0, 1])
    sounds = [{"audio": {"array": np.full(4, i / 9), "sampling_rate": 8000}} for i in range(9)]
    assert data.from_examples(HuggingFace(sounds)).event == Event((4,))
    texts = data.from_examples(HuggingFace([{"text": TEXT}] * 3), window=8)
    assert texts.event == Event((8,), len(set(TEXT)))


@pytest.mark.parametrize(
    ("examples", "options"),
    [
        (list(GREY), {}),
        (iter(GREY), {}),
        ([(x, i % 3) for i, x in enumerate(GREY)], {}),
        (rows(GREY, "pixels"), {"x": "pixels"}),
        (rows(GREY, "pixels"), {"x": "pixels", "label": ""}),
        (types.MappingProxyType({"train": list(GREY)}), {}),
    ],
)
def test_any_sequence_of_examples(examples, options):
    dataset = data.from_examples(examples, **options)
    np.testing.assert_array_equal(dataset.train.x, data.from_arrays(GREY).train.x)
    labels = options.get("label") != "" and not isinstance(examples, types.MappingProxyType)
    labels = labels and isinstance(examples, list) and not isinstance(examples[0], np.ndarray)
    assert dataset.num_labels == (3 if labels else None)


@pytest.mark.parametrize(
    ("examples", "options", "message"),
    [
        ([], {}, "examples train needs at least one example"),
        (3, {}, "examples train needs a sequence of examples; got int"),
        ([GREY[0], GREY[1][:2]], {}, r"examples of one shape; got uint8 \(2, 5\), uint8 \(4, 5\)"),
        (
            [{"a": 1, "b": 2}],
            {},
            r"needs an entry 'x' in every example; they have a, b\. Say which",
        ),
        ([{"x": 1}, {"y": 2}], {}, "needs an entry 'x' in every example; they have y"),
        ([{"x": 1}], {"label": "z"}, "needs an entry 'z' in every example"),
        ([GREY[0]], {"x": "image"}, "has no entries by name, such as 'image'; got uint8"),
        ([(GREY[0], 1), (GREY[0],)], {}, "needs pairs of an example and a label"),
        ({"test": [1]}, {}, "needs a split 'train'; got test"),
        ([(GREY[0], 0.5)] * 9, {}, "needs a label of at least 0 for each"),
    ],
)
def test_examples_that_do_not_fit_are_refused(examples, options, message):
    with pytest.raises(ValueError, match=message):
        data.from_examples(examples, **options)


TRITS = RNG.integers(0, 3, (60, 4)) * np.array([1, 1, 1, 0])  # the last element is always 0
KIND = np.arange(60) % 2
PAIRS = [*zip(TRITS, KIND, strict=True)]
ROWS = [{"features": x.tolist(), "label": int(y)} for x, y in PAIRS]
IN_MEMORY = {
    "arrays": lambda: data.from_arrays(TRITS, labels=(KIND,)),
    "a DataFrame": lambda: data.from_arrays(
        Frame(label=KIND, a=TRITS[:, 0], b=TRITS[:, 1], c=TRITS[:, 2], d=TRITS[:, 3])
    ),
    "a data set of Hugging Face": lambda: data.from_examples(HuggingFace(ROWS)),
    "a sequence of examples": lambda: data.from_examples(PAIRS),
}


@pytest.fixture(scope="module")
def learner():
    """Elements that know nothing of each other, by maximum likelihood."""
    model, optimizer = product_of_marginals(Event((4,), 3)), optax.adam(0.3)
    loss = functools.partial(likelihood.negative_log_likelihood, model)
    return (
        model,
        optimizer,
        train.make_step(loss, optimizer, mesh=train.data_mesh(jax.devices()[:1])),
    )


@pytest.mark.parametrize("kind", IN_MEMORY)
def test_what_is_in_memory_is_loaded_by_one_call_and_trained_on(kind, learner):
    dataset, (model, optimizer, step) = IN_MEMORY[kind](), learner
    assert (dataset.event, dataset.num_labels) == (model.event, 2)
    state = train.init(model.init(jax.random.key(0)), optimizer, jax.random.key(1))
    state = train.run(step, state, dataset.train.batches(16), 30, progress=False)
    score = metrics.evaluate(model, state.params, dataset.test)
    assert 3 * np.log(3) < score.value < 3.5 * np.log(3)  # the last element costs next to nothing
