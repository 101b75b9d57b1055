"""Every experiment traces whole; one of each family runs, and leaves what it promises."""

import dataclasses
import json
import pathlib
import re
import wave

import jax
import numpy as np
import pytest
from PIL import Image

from gm import data, train
from gm.losses import variational
from gm.metrics import results

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "experiments"
MADE = {"num_steps": 2, "hidden": (8,), "batch_size": 8}
VAE = MADE | {"latent_dim": 2, "eval_samples": 2}
PIXELS = {"num_steps": 2, "channels": 2, "batch_size": 8}
TEXT = {"num_steps": 2, "batch_size": 8, "steps_per_dispatch": 1}
TRANSFORMER = TEXT | {"width": 8, "num_layers": 1, "num_heads": 2, "window": 24}
CHAR_RNN = TEXT | {"widths": (8,), "sample_length": 300, "eval_window": 100}
GAN = {"num_steps": 2, "hidden": (8,), "batch_size": 8, "latent_dim": 2}
WAVENET = {"num_steps": 2, "channels": 4, "dilations": (1, 2), "eval_samples": 20}
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
    ("vae", VAE | {"num_samples": 3}, "VAE 8, 2 latents"),
]


@pytest.fixture
def files(tmp_path):
    """Images in colour with two labels, and real numbers, by their names."""
    x = (np.arange(40 * 27) % 256).astype(np.uint8).reshape(40, 3, 3, 3)
    np.savez(tmp_path / "colour.npz", x=x, label=np.arange(40) % 2, num_values=256)
    np.savez(tmp_path / "reals.npz", x=np.random.default_rng(0).normal(size=(40, 2)))
    return {name: str(tmp_path / f"{name}.npz") for name in ("colour", "reals")}


@pytest.mark.parametrize(
    ("name", "options", "label"), TRACED, ids=[f"{name}-{i}" for i, (name, *_) in enumerate(TRACED)]
)
def test_an_experiment_traces_whole(name, options, label, experiment, dry, files, tmp_path):
    """Step, scores and samples have the shapes they should, and the report names them."""
    module = experiment(name)
    config = module.Config(**options, folder=tmp_path / "run")
    config = dataclasses.replace(config, dataset=files.get(config.dataset, config.dataset))
    config.folder.mkdir()
    found = module.main(config)
    assert all(np.isfinite(value) for value in found.values())
    rows = results.read(config.folder / "result.json")
    assert {(row.experiment, row.model) for row in rows} == {(name, label)}
    assert (dry.steps, {row.steps for row in rows}) == (config.num_steps, {config.num_steps})
    given = {tuple(np.unique(y)) for y in dry.labels}
    num_labels = 2 if config.dataset == files["colour"] else 10
    assert given == ({tuple(range(num_labels))} if LABELLED in label else set())
    samples = "samples.txt" if rows[0].unit == "nats/char" else "samples.png"
    assert (config.folder / samples).stat().st_size > 0


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


@pytest.mark.parametrize(("name", "options", "path"), OWN, ids=[path for *_, path in OWN])
def test_data_of_ones_own_are_trained_on_by_one_command(name, options, path, experiment, dry, own):
    module = experiment(name)
    found = module.main(module.Config(**options, dataset=str(own / path), folder=own / "run"))
    assert dry.steps == options["num_steps"]
    assert all(np.isfinite(value) for value in found.values())
    if path == "words_mulaw":
        with pytest.raises(ValueError, match="samples per second: --sample-rate 8000"):
            module.main(module.Config(dataset=str(own / path), length=300))


def test_held_out_data_are_scored_where_they_should_be(experiment, dry):
    """On the test set, with its transforms; of a text, on the last tenth."""
    for name, options in (("made", MADE), ("vae", VAE), ("transformer", TRANSFORMER)):
        module = experiment(name)
        module.main(module.Config(**options | {"dataset": "digits_dequantized"}))
        assert all(isinstance(split, data.Split) for split in dry.scored), name
        assert {(len(split), split.seed, split.bound) for split in dry.scored} == {(180, 2, True)}
        assert {split.seed for split in dry.validated} == {1}
        dry.scored.clear()
    experiment("transformer").main(experiment("transformer").Config(**TRANSFORMER))
    text, (scored,) = data.load("python_docs", window=24), dry.scored
    np.testing.assert_array_equal(scored, np.concatenate([text.validation.x, text.test.x]))
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


def test_a_run_that_overfits_reports_the_best_of_validation(experiment, tmp_path, capsys):
    """Fair bits: 12 log 2 = 8.32 nats is the least; what has learnt by heart is far above."""
    made = experiment("made")
    config = made.Config(**overfitting(tmp_path), folder=tmp_path / "run")
    found = made.main(config)
    printed = capsys.readouterr().out
    best, last = results.read(config.folder / "result.json")
    assert (best.metric, last.metric) == tuple(
        "negative log-likelihood" + more for more in ("", ", last step")
    )
    assert best.steps < last.steps == 100
    assert found["nats"] == best.value < last.value - 0.5
    assert 8.0 < best.value < 10.0
    assert found["bits_per_dim"] == pytest.approx(best.value / 12 / np.log(2))
    risen = rf"validation has risen from \d\.\d\d nats at step {best.steps} to .* at step 100"
    assert re.search(risen, printed)
    for file in ("config.json", "metrics.jsonl", "samples.png"):
        assert (config.folder / file).stat().st_size > 0, file
    assert "folder" not in json.loads((config.folder / "config.json").read_text())
    assert len([*(config.folder / "samples").glob("*.png")]) == 10
    assert made.main(config) == found | {"seconds": pytest.approx(0, abs=10)}  # resumed: the same
    with pytest.raises(ValueError, match=r"different configuration(.|\n)*hidden"):
        made.main(dataclasses.replace(config, hidden=(9,)))


def test_a_vae_is_scored_by_the_bound_and_with_more_samples(experiment, dry, tmp_path):
    module = experiment("vae")
    module.main(module.Config(**VAE | {"eval_samples": 7}, folder=tmp_path))
    bound, estimate = results.read(tmp_path / "result.json")
    assert (bound.num_samples, estimate.num_samples) == (1, 7)
    assert (bound.metric, estimate.published) == ("negative ELBO", None)
    for num, loss in ((1, variational.negative_elbo), (3, variational.negative_iwae)):
        found = module.assemble(module.Config(**VAE | {"num_samples": num}))[2]
        assert getattr(found, "func", found) is loss
        assert getattr(found, "keywords", {}).get("num_samples", 1) == num


def test_a_vae_trains_and_is_scored_twice(experiment, tmp_path):
    module = experiment("vae")
    found = module.main(module.Config(**VAE, folder=tmp_path))
    bound, estimate = results.read(tmp_path / "result.json")
    assert (bound.num_samples, estimate.num_samples) == (1, 2)
    assert {bound.kind, estimate.kind} == {"bound"}
    assert 100 < found[estimate.metric] < found[bound.metric] < 300
    assert (tmp_path / "samples.png").stat().st_size > 0


def test_a_gan_plays_the_wasserstein_game_on_points_and_counts_modes(experiment, tmp_path):
    module = experiment("gan")
    options = GAN | {"wasserstein": True, "critic_updates": 2, "dataset": "grid25"}
    found = module.main(module.Config(**options, folder=tmp_path))
    assert 0 <= found["modes captured"] <= 25
    rows = results.read(tmp_path / "result.json")
    assert {row.principle for row in rows} == {"Wasserstein game"}
    assert {row.metric: row.published for row in rows}["modes captured"] == 24.8


@pytest.mark.matrix
def test_a_class_conditional_gated_pixelcnn_and_the_classifier_accuracy_of_its_samples(
    experiment, tmp_path
):
    module = experiment("pixelcnn")
    options = PIXELS | {"num_layers": 1, "gated": True, "conditional": True, "eval_samples": 20}
    found = module.main(module.Config(**options, l1=1e-4, folder=tmp_path))
    assert np.isfinite(found["nats"])
    real, sampled = (found[f"classifier accuracy of {x}"] for x in ("test examples", "samples"))
    assert real > 90.0 > sampled
    rows = results.read(tmp_path / "result.json")
    assert [row.metric for row in rows] == [
        "negative log-likelihood",
        "classifier accuracy of test examples",
        "classifier accuracy of samples",
    ]
    assert {row.model for row in rows} == {"Gated PixelCNN 1x2" + LABELLED}


def test_a_recurrent_network_trains_on_a_text_and_writes_one(experiment, tmp_path, monkeypatch):
    module, words = experiment("char_rnn"), "the cat sat on a mat. " * 40

    def load(c, kind, window):
        return data.from_texts("cats", [words] * 3, window)

    monkeypatch.setattr(experiment("loading"), "load", load)
    found = module.main(module.Config(**CHAR_RNN, folder=tmp_path))
    assert 1.5 < found["nats/char"] < 4.0  # log 11 = 2.4 at first
    written = (tmp_path / "samples.txt").read_text("utf-8")
    assert len(written) == 300
    assert set(written) <= set(words)
    (row,) = results.read(tmp_path / "result.json")
    assert (row.unit, row.split) == ("nats/char", "validation + test")


def test_rnade_scores_every_fold(experiment, tmp_path, monkeypatch):
    """Parameters of zeros make every conditional a Normal, of a scale that the head states."""
    module, fitted = experiment("rnade"), []

    def fit(c, model, key, x, validation):
        fitted.append((x, validation))
        shapes = jax.eval_shape(model.init, key)
        return jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes)

    monkeypatch.setattr(experiment("rounds"), "fit", fit)
    options = {"hidden": (4,), "num_components": 2, "num_rounds": 3, "num_folds": 2}
    found = module.main(module.Config("grid25", **options, folder=tmp_path))
    assert 1.0 < found["nats"] / 2 < 3.0  # a Normal's entropy: 1.42
    (row,) = results.read(tmp_path / "result.json")
    assert (row.metric, row.count) == ("negative log-likelihood, mean of folds", 12_000)
    assert (row.steps, row.model) == (600, "RNADE 4, 2 Normals, 1 order")
    (x, validation), (other, _) = fitted
    assert (len(x), len(validation)) == (48_000, 6_000)
    np.testing.assert_allclose(np.concatenate([x, validation]).std(0), 1.0, rtol=1e-5)
    assert not np.array_equal(x, other)


def test_tabular_models_are_fitted_scored_and_ordered(experiment, tmp_path, capsys):
    """Nothing is trained in steps, so there are no metrics.jsonl and no checkpoints."""
    module = experiment("tabular")
    nats = module.main(module.Config(smoothings=(0.1,), folder=tmp_path))
    assert nats["independent elements"] > nats["Markov chain"] > nats["Chow-Liu tree"]
    assert "127 parameters, smoothing 0.1" in capsys.readouterr().out
    rows = results.read(tmp_path / "result.json")
    assert {row.experiment for row in rows} == {"tabular"}
    assert {p.name for p in tmp_path.iterdir()} == {
        "config.json",
        "run.json",
        "result.json",
        "samples.png",
    }


def test_seeds_of_a_game_are_counted_apart(experiment, dry, tmp_path, capsys):
    module, options = experiment("gan_seeds"), experiment("options")
    game = options.Game(**GAN | {"dataset": "grid25"})
    found = module.main(module.Config(game, num_seeds=3, folder=tmp_path))
    assert 0 <= found["modes captured"] <= 25
    assert "seed 2: modes captured" in capsys.readouterr().out
    assert {row.count for row in results.read(tmp_path / "result.json")} == {3}
    digits = data.load("digits_dequantized")
    x = digits.train.x[:360]
    other = {k: module.judge(digits, a)["squared MMD"].value for k, a in ((1, x), (2, 1.0 - x))}
    assert abs(other[1]) < 0.1 * other[2]


@pytest.mark.matrix
def test_seeds_of_a_game_train_as_one(experiment, tmp_path):
    module, options = experiment("gan_seeds"), experiment("options")
    game = options.Game(**GAN | {"dataset": "grid25"})
    assert module.main(module.Config(game, num_seeds=3, folder=tmp_path))["modes captured"] <= 25
    for file in ("config.json", "metrics.jsonl", "result.json", "samples.png"):
        assert (tmp_path / file).stat().st_size > 0, file


def test_wavenet_writes_the_sound_it_samples(experiment, dry, tmp_path):
    module, label = experiment("wavenet"), np.arange(30) % 10
    x = np.random.default_rng(0).integers(0, 256, (30, 256))
    np.savez(tmp_path / "sound.npz", x=x, label=label, num_values=256)
    options = WAVENET | {"dataset": str(tmp_path / "sound.npz"), "sample_rate": 4000}
    config = module.Config(**options, softmax=True, batch_size=8, folder=tmp_path)
    assert np.isfinite(module.main(config)["nats"])
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


def test_quickstart_prints_one_table_and_two_pictures(
    experiment, dry, tmp_path, capsys, monkeypatch
):
    rows = [{"step": 1, "eval/nats": 1.0, "eval/squared_mmd": 1.0}]
    monkeypatch.setattr(train, "read_metrics", lambda folder: rows)
    sampled = np.zeros((40, 8, 8), np.int32), 1.0
    monkeypatch.setattr(experiment("cells"), "sample", lambda model, params, num: sampled)
    monkeypatch.setattr(experiment("cells"), "two_sample", lambda unseen, x: ("0.50", "0.0"))
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
    module = experiment("made")
    options = {"hidden": (500,), "batch_size": 32, "learning_rate": 2e-3, "weight_decay": 0.03}
    config = module.Config(prepared("binarized_mnist"), num_steps=32000, **options)
    assert module.main(config)["nats"] <= 91.2


@pytest.mark.slow
def test_gan_covers_the_grid_of_25_gaussians(experiment):
    """Published best: 24.8 modes, 93.6 %, 0.04."""
    module = experiment("gan")
    found = module.main(module.Config("grid25", latent_dim=2, num_steps=40000))
    assert found["modes captured"] >= 24
    assert found["samples of high quality"] >= 70.0
    assert found["reverse KL of mode counts"] <= 0.1


def test_the_results_table_is_that_of_the_committed_files():
    assert results.main([str(FOLDER / "results"), str(FOLDER / "README.md"), "--check"]) == 0


def test_committed_results_can_be_run_again_by_anybody():
    for path in (FOLDER / "results").rglob("result.json"):
        for row in results.read(path):
            assert row.command.startswith("python experiments/"), path
            assert row.revision, path
