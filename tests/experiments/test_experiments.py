"""Every experiment traces whole; one of each family runs, and leaves what it promises."""

import json
import pathlib
import re
import shlex
import wave

import jax
import numpy as np
import pytest
from PIL import Image

from gm import data, train
from gm.metrics import results
from gm.recipes import command, fitting, folds, loading, tables
from tests.data.test_tables import Frame

EXPERIMENTS = pathlib.Path(__file__).resolve().parents[2] / "experiments"
MADE = {"num_steps": 2, "hidden": (8,), "batch_size": 8}
VAE = MADE | {"latent_dim": 2, "eval_samples": 2}
PIXELS = {"num_steps": 2, "channels": 2, "batch_size": 8}
TEXT = {"num_steps": 2, "batch_size": 8, "steps_per_dispatch": 1}
TRANSFORMER = TEXT | {"width": 8, "num_layers": 1, "num_heads": 2, "window": 24}
CHAR_RNN = TEXT | {"widths": (8,), "eval_window": 100}
GAN = {"num_steps": 2, "hidden": (8,), "batch_size": 8, "latent_dim": 2}
WAVENET = {"num_steps": 2, "channels": 4, "dilations": (1, 2), "eval_samples": 20}
FLOW = {"num_steps": 2, "num_layers": 2, "hidden": (8,), "batch_size": 8}
DIGITS = {"dataset": "digits_dequantized", "num_bins": 0, "logit_margin": 0.05}
IMAGES = FLOW | {"num_levels": 1, "num_blocks": 1, "channels": 2}
LABELLED = ", class-conditional"
TRACED = [  # experiment, options, what result.json calls the model
    ("fvsbn", {}, "FVSBN"),
    ("nade", {"hidden": 8}, "NADE 8"),
    ("nade", {"hidden": 8, "num_orders": 2}, "NADE 8, 2 orders"),
    ("deep_nade", {"hidden": (8, 8), "num_orders": 2}, "EoNADE 8x8, 2 orders"),
    ("made", MADE | {"dtype": "bfloat16", "steps_per_dispatch": 5}, "MADE 8"),
    ("made", MADE | {"num_masks": 2, "l1": 1e-4, "l1_direct": 1e-3}, "MADE 8, 2 masks"),
    ("made", MADE | {"num_masks": 2, "random_order": True}, "MADE 8, 2 orders"),
    ("made", MADE | {"dataset": "reals"}, "MADE 8"),
    ("pixelcnn", PIXELS | {"num_layers": 1}, "PixelCNN 1x2"),
    (
        "pixelcnn",
        PIXELS
        | {"num_layers": 1, "pixel_bias": True, "gated": True, "dataset": "digits_threshold"},
        "Gated PixelCNN 1x2, with pixel biases",
    ),
    ("pixelcnnpp", PIXELS | {"num_blocks": 1, "num_levels": 1}, "PixelCNN++ 1x1x2"),
    (
        "pixelcnnpp",
        PIXELS
        | {"num_blocks": 1, "num_layers": 1, "snail": True, "conditional": True}
        | {"dataset": "colour"},
        "PixelSNAIL 1x1x2" + LABELLED,
    ),
    ("pixelrnn", PIXELS | {"num_layers": 1}, "PixelRNN, Diagonal BiLSTM 1x2"),
    (
        "pixelrnn",
        PIXELS | {"num_layers": 1, "row": True, "conditional": True},
        "PixelRNN, Row LSTM 1x2" + LABELLED,
    ),
    (
        "transformer",
        TRANSFORMER | {"dataset": "digits", "dropout": 0.2, "dtype": "bfloat16", "muon": False},
        "Transformer, 1 layers, 2 heads, 8 wide",
    ),
    ("transformer", TRANSFORMER, "Transformer, 1 layers, 2 heads, 8 wide"),
    ("char_rnn", CHAR_RNN | {"lstm": True}, "LSTM 8"),
    ("wavenet", WAVENET, "WaveNet, 4 blocks of 4" + LABELLED),
    ("coupling", FLOW | {"num_bins": 4}, "spline couplings, 2 layers, 4 bins"),
    ("coupling", FLOW | DIGITS, "RealNVP, 2 layers"),
    ("autoregressive", FLOW | {"num_bins": 4}, "autoregressive splines, 2 layers, 4 bins"),
    ("autoregressive", FLOW | DIGITS, "MAF, 2 layers"),
    ("moment_matching", GAN | {"num_directions": 4}, "generator 8"),
    (
        "variational",
        FLOW | {"num_bins": 4, "eval_samples": 50},
        "spline couplings, 2 layers, 4 bins",
    ),
    (
        "autoregressive",
        FLOW | DIGITS | {"num_components": 2},
        "MAF of mixture CDFs, 2 layers, 2 logistics",
    ),
    (
        "images",
        IMAGES,
        "multi-scale couplings, 1 levels, 1 blocks, 2 channels, mixtures of 5 logistics",
    ),
    (
        "images",
        IMAGES | {"num_components": 0, "num_bins": 3, "glow": True},
        "Glow 1x2, 2 channels, splines of 3 bins",
    ),
    (
        "dequantization",
        FLOW | {"variational": True},
        "MAF of mixture CDFs, 2 layers, 5 logistics, variational dequantization",
    ),
    ("vae", VAE | {"num_samples": 3}, "VAE 8, 2 latents"),
]


@pytest.fixture
def files(tmp_path):
    """Images in colour with two labels, and real numbers, by their names."""
    x = (np.arange(40 * 27) % 256).astype(np.uint8).reshape(40, 3, 3, 3)
    np.savez(tmp_path / "colour.npz", x=x, label=np.arange(40) % 2, num_values=256)
    np.savez(tmp_path / "reals.npz", x=np.random.default_rng(0).normal(size=(40, 2)))
    return {name: str(tmp_path / f"{name}.npz") for name in ("colour", "reals")}


FIRST = {name: i for i, (name, *_) in reversed([*enumerate(TRACED)])}  # quick; others are variants
CASES = [
    pytest.param(*row, id=f"{row[0]}-{i}", marks=[pytest.mark.matrix] * (i > FIRST[row[0]]))
    for i, row in enumerate(TRACED)
]


@pytest.mark.parametrize(("name", "options", "label"), CASES)
def test_an_experiment_traces_whole(name, options, label, main, dry, files, tmp_path):
    """Step, scores and samples have the shapes they should, and the report names them."""
    folder = tmp_path / "run"
    folder.mkdir()
    dataset = options.get("dataset")
    options = options | ({"dataset": files.get(dataset, dataset)} if dataset else {})
    found = main(name, **options, folder=folder)
    assert all(np.isfinite(value) for value in found.values())
    rows = results.read(folder / "result.json")
    assert {(row.experiment, row.model) for row in rows} == {(name, label)}
    assert {row.steps for row in rows} == {dry.steps}
    given = {tuple(np.unique(y)) for y in dry.labels}
    num_labels = 2 if dataset == "colour" else 10
    assert given == ({tuple(range(num_labels))} if LABELLED in label else set())
    samples = "samples.txt" if rows[0].unit == "nats/char" else "samples.png"
    assert (folder / samples).stat().st_size > 0


@pytest.fixture
def own(tmp_path):
    """Data of one's own, of every kind that a command takes by its path."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, 4, 4), np.uint8)
    np.savez(tmp_path / "arrays.npz", x_train=x, y_train=np.arange(40) % 2)
    np.save(tmp_path / "array.npy", x)
    rows = "".join(
        f"{a:.3f},{b:.3f},{i % 2}\n" for i, (a, b) in enumerate(rng.normal(size=(40, 2)))
    )
    (tmp_path / "table.csv").write_text("a,b,label\n" + rows)
    (tmp_path / "poem.txt").write_text("To be, or not to be, that is the question.\n" * 60)
    for i, image in enumerate(x):
        for folder in (tmp_path / "photos", tmp_path / "pets" / ("cat", "dog")[i % 2]):
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{i}.png")
        wav = tmp_path / "words" / ("no", "yes")[i % 2] / f"{i}.wav"
        data.write_wav(wav, rng.uniform(-1, 1, 300), 8000)
    return tmp_path


OWN = [
    ("made", MADE, "arrays.npz"),
    ("made", MADE, "array.npy"),
    ("made", MADE, "table.csv"),
    ("made", MADE, "photos"),
    ("pixelcnn", PIXELS | {"num_layers": 1}, "pets"),
    ("transformer", TRANSFORMER, "poem.txt"),
    ("wavenet", WAVENET | {"length": 300, "sample_rate": 8000}, "words_mulaw"),
]


@pytest.mark.matrix
@pytest.mark.parametrize(("name", "options", "path"), OWN, ids=[path for *_, path in OWN])
def test_data_of_ones_own_are_trained_on_by_one_command(name, options, path, main, dry, own):
    found = main(name, **options, dataset=str(own / path), folder=own / "run")
    assert dry.steps == options["num_steps"]
    assert all(np.isfinite(value) for value in found.values())
    if path == "words_mulaw":
        with pytest.raises(ValueError, match="samples per second: --sample-rate 8000"):
            main(name, dataset=str(own / path), length=300)


def in_memory(kind):
    """Data of one's own that a notebook holds, by one call."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, 4, 4), np.uint8), np.arange(40) % 2
    rows = [
        {"image": Image.fromarray(x), "label": int(y)} for x, y in zip(images, labels, strict=True)
    ]
    if kind == "arrays":
        return data.from_arrays(images, labels=(labels,))
    if kind == "DataFrame":
        return data.from_arrays(Frame(a=rng.normal(size=40), label=labels))
    if kind == "Hugging Face":  # a dict of splits of dicts, as `datasets` has them
        return data.from_examples({"train": rows[:30], "test": rows[30:]})
    return data.from_examples(list(zip(images, labels.tolist(), strict=True)))


@pytest.mark.parametrize(
    "kind",
    [
        "arrays",
        *(
            pytest.param(k, marks=pytest.mark.matrix)
            for k in ("DataFrame", "Hugging Face", "sequence")
        ),
    ],
)
def test_data_in_memory_are_trained_on_by_one_call(kind, main, dry, tmp_path):
    found = main("made", **MADE | {"dataset": in_memory(kind)}, folder=tmp_path / "run")
    assert dry.steps == MADE["num_steps"]
    assert all(np.isfinite(value) for value in found.values())


def test_held_out_data_are_scored_where_they_should_be(main, dry):
    """On the test set, with its transforms; of a text, on the last tenth."""
    for name, options in (("made", MADE), ("vae", VAE), ("transformer", TRANSFORMER)):
        main(name, **options | {"dataset": "digits_dequantized"})
        assert all(isinstance(split, data.Split) for split in dry.scored), name
        assert {(len(split), split.seed, split.bound) for split in dry.scored} == {(180, 2, True)}
        assert {split.seed for split in dry.validated} == {1}
        dry.scored.clear()
    main("transformer", **TRANSFORMER)
    text, (scored,) = data.load("python_docs", window=24), dry.scored
    np.testing.assert_array_equal(scored.x, np.concatenate([text.validation.x, text.test.x]))
    assert dry.how[-1]["correlated"]


def overfitting(tmp_path):
    """Options for a file of few examples of fair bits, which a model learns by heart."""
    rng = np.random.default_rng(0)
    parts = {
        k: rng.integers(0, 2, (n, 3, 4)).astype(float)
        for k, n in (("train", 20), ("validation", 100), ("test", 200))
    }
    np.savez(tmp_path / "bits.npz", **parts)
    return MADE | {
        "dataset": str(tmp_path / "bits.npz"),
        "binary": True,
        "num_steps": 100,
        "learning_rate": 0.03,
        "weight_decay": 0.0,
        "ema_decay": 0.5,
    }


def test_a_run_that_overfits_reports_the_best_of_validation(main, tmp_path, capsys):
    """Fair bits: 12 log 2 = 8.32 nats is the least; what has learnt by heart is far above."""
    options, folder = overfitting(tmp_path), tmp_path / "run"
    found = main("made", **options, folder=folder)
    printed = capsys.readouterr().out
    best, last = results.read(folder / "result.json")
    assert (best.metric, last.metric) == tuple(
        "negative log-likelihood" + more for more in ("", ", last step")
    )
    assert best.steps < last.steps == 100
    assert found[best.metric] == best.value < last.value - 0.5
    assert 8.0 < best.value < 10.0
    assert f"= {best.value / 12 / np.log(2):.3f} bits/dim" in printed
    risen = rf"validation has risen from \d\.\d\d nats at step {best.steps} to .* at step 100"
    assert re.search(risen, printed)
    for file in ("config.json", "metrics.jsonl", "samples.png", "params.safetensors"):
        assert (folder / file).stat().st_size > 0, file
    assert "folder" not in json.loads((folder / "config.json").read_text())
    assert len([*(folder / "samples").glob("*.png")]) == 10
    rates = [row["eval/learning_rate"] for row in train.read_metrics(folder)]
    assert rates[0] == pytest.approx(0.03, rel=0.1)
    assert rates[-1] == 0.0
    again = main("made", **options, folder=folder)  # resumed: the same
    assert again == found | {"seconds": pytest.approx(0, abs=10)}
    with pytest.raises(ValueError, match=r"different configuration(.|\n)*hidden"):
        main("made", **options | {"hidden": (9,)}, folder=folder)


@pytest.mark.matrix
def test_a_recurrent_network_trains_on_a_text_and_writes_one(main, tmp_path, monkeypatch):
    words = "the cat sat on a mat. " * 40
    monkeypatch.setattr(
        loading, "load", lambda c, kind, window: data.from_texts("cats", [words] * 3, window)
    )
    found = main("char_rnn", **CHAR_RNN, folder=tmp_path)
    assert 1.5 < found["negative log-likelihood"] < 4.0  # log 11 = 2.4 at first
    written = (tmp_path / "samples.txt").read_text("utf-8")
    assert len(written) == 100
    assert set(written) <= set(words)
    (row,) = results.read(tmp_path / "result.json")
    assert (row.unit, row.split) == ("nats/char", "validation + test")


def test_rnade_scores_every_fold(main, tmp_path, monkeypatch):
    """Parameters of zeros make every conditional a Normal, of a scale that the head states."""
    fitted = []

    def fit_fold(c, model, key, x, validation):
        fitted.append((x, validation))
        shapes = jax.eval_shape(model.init, key)
        return jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes)

    monkeypatch.setattr(folds, "fit_fold", fit_fold)
    options = {"hidden": (4,), "num_components": 2, "num_rounds": 3, "num_folds": 2}
    found = main("rnade", dataset="grid25", **options, folder=tmp_path)
    assert 1.0 < found[folds.METRIC] / 2 < 3.0  # a Normal's entropy: 1.42
    (row,) = results.read(tmp_path / "result.json")
    assert (row.metric, row.count) == ("negative log-likelihood, mean of folds", 12_000)
    assert (row.steps, row.model) == (600, "RNADE 4, 2 Normals, 1 order")
    (x, validation), (other, _) = fitted
    assert (len(x), len(validation)) == (48_000, 6_000)
    np.testing.assert_allclose(np.concatenate([x, validation]).std(0), 1.0, rtol=1e-5)
    assert not np.array_equal(x, other)


def test_tabular_models_are_fitted_scored_and_ordered(main, experiment, tmp_path, capsys):
    """Nothing is trained in steps, so there are no metrics.jsonl and no checkpoints."""
    kinds, nats = experiment("tabular").Graph, {}
    for graph in kinds:
        folder = tmp_path / graph.name
        found = main("tabular", graph=graph, smoothings=(0.1,), folder=folder)
        nats[graph] = found["negative log-likelihood"]
    assert nats[kinds.independent] > nats[kinds.chain] > nats[kinds.tree]
    assert "127 parameters: smoothing 0.1" in capsys.readouterr().out
    kept = {"config.json", "run.json", "result.json", "samples.png", "params.safetensors"}
    assert {p.name for p in folder.iterdir()} == kept


def test_factor_analysis_is_scored_as_integers_and_a_text_in_nats_per_character(main, tmp_path):
    """More factors than one say more of digits; a chain of characters reports its last tenth."""
    options = {"num_steps": 2, "num_factors": 4}
    nats = [main("factor_analysis", isotropic=by, **options) for by in (True, False)]
    assert 120.0 < nats[1]["negative log-likelihood"] < nats[0]["negative log-likelihood"] < 190.0
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be that is the question " * 60, encoding="utf-8")
    options = {"dataset": str(text), "chain": True, "window": 16, "num_windows": 40}
    main("hmm", **options, folder=tmp_path / "run")
    (row,) = results.read(tmp_path / "run" / "result.json")
    assert (row.unit, row.split, row.model) == ("nats/char", "validation + test", "Markov chain")
    assert 0.3 < row.value < 1.5


@pytest.mark.matrix
def test_wavenet_writes_the_sound_it_samples(main, dry, tmp_path):
    label, x = np.arange(30) % 10, np.random.default_rng(0).integers(0, 256, (30, 256))
    np.savez(tmp_path / "sound.npz", x=x, label=label, num_values=256)
    options = WAVENET | {"dataset": str(tmp_path / "sound.npz"), "sample_rate": 4000}
    main("wavenet", **options, softmax=True, batch_size=8, folder=tmp_path)
    with wave.open(str(tmp_path / "samples.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (4000, 10 * 256)


def table_of(experiment, folder, capsys):
    """What the quickstart prints, after two steps each."""
    module = experiment("quickstart")
    steps = {"made_steps": 2, "vae_steps": 2, "gan_steps": 2}
    scores = module.main(module.Config(**steps, eval_samples=2, folder=folder))
    assert set(scores) == {"MADE", "VAE"}
    assert {p.name for p in folder.iterdir()} == {"samples.png", "learning_curves.png"}
    printed = capsys.readouterr().out
    for word in ("independent pixels", "lzma", "MADE", "VAE", "GAN", "bound", "107.4"):
        assert word in printed
    return printed


@pytest.mark.matrix
def test_quickstart_prints_one_table_and_two_pictures(
    experiment, dry, tmp_path, capsys, monkeypatch
):
    rows = [{"step": 1, "eval/nats": 1.0, "eval/squared_mmd": 1.0}]
    monkeypatch.setattr(train, "read_metrics", lambda folder: rows)
    sampled = np.zeros((40, 8, 8), np.int32), 1.0
    monkeypatch.setattr(tables, "sample", lambda model, params, num: sampled)
    monkeypatch.setattr(tables, "two_sample", lambda unseen, x: ("0.50", "0.0"))
    table_of(experiment, tmp_path, capsys)
    made, vae, gan = (experiment(name).Config() for name in ("made", "vae", "gan"))
    asked = experiment("quickstart").Config()
    wanted = made.num_steps, vae.num_steps, gan.num_steps
    assert (asked.made_steps, asked.vae_steps, asked.gan_steps) == wanted


@pytest.mark.matrix
def test_quickstart_trains_its_three_models(experiment, tmp_path, capsys):
    assert "exact" in table_of(experiment, tmp_path, capsys)


@pytest.mark.slow
def test_made_reaches_its_number_on_fixed_binarized_mnist(experiment, prepared):
    """Published: 94.5 with 500 units."""
    made = experiment("made")
    prepared("binarized_mnist")
    assert fitting.main(made.build, made.PRESETS["mnist"])["negative log-likelihood"] <= 91.2


@pytest.mark.slow
def test_gan_covers_the_grid_of_25_gaussians(experiment):
    """Published best: 24.8 modes, 93.6 %, 0.04."""
    gan = experiment("gan")
    found = fitting.main(gan.build, gan.PRESETS["grid25"])
    assert found["modes captured"] >= 24
    assert found["samples of high quality"] >= 70.0
    assert found["reverse KL of mode counts"] <= 0.1


def test_the_results_table_is_that_of_the_committed_files():
    folder, page = EXPERIMENTS / "results", EXPERIMENTS / "README.md"
    assert results.main([str(folder), str(page), "--check"]) == 0


def test_committed_results_can_be_run_again_by_anybody(experiment):
    """Their commands name a file and a preset of it, with options that it understands."""
    for path in (EXPERIMENTS / "results").rglob("result.json"):
        for row in results.read(path):
            name, *arguments = shlex.split(row.command)[1:]
            assert (EXPERIMENTS.parent / name).is_file(), path
            assert pathlib.Path(name).stem == row.experiment, path
            command.parse(experiment(row.experiment).PRESETS, arguments)
            assert row.revision, path
