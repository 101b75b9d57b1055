"""Every experiment runs at its smallest size, prints its help, and leaves what it promises."""

import dataclasses
import importlib
import json
import pathlib
import subprocess
import sys
import wave

import numpy as np
import pytest
import tyro

from gm.metrics import results

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "experiments"


@pytest.fixture
def experiment(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


SMALL = {
    "made": {"num_steps": 2, "hidden": (8,), "batch_size": 8},
    "fvsbn": {"num_steps": 2, "batch_size": 8},
    "nade": {"num_steps": 2, "hidden": 8, "batch_size": 8},
    "deep_nade": {"num_steps": 2, "hidden": (8, 8), "batch_size": 8, "num_orders": 2},
    "pixelcnn": {"num_steps": 2, "channels": 2, "num_layers": 1, "batch_size": 8},
    "vae": {"num_steps": 2, "hidden": (8,), "batch_size": 8, "latent_dim": 2, "eval_samples": 2},
    "gan": {"num_steps": 2, "hidden": (8,), "batch_size": 8, "latent_dim": 2},
    "wavenet": {"num_steps": 2, "channels": 4, "dilations": (1, 2), "eval_samples": 20},
    "transformer": {"num_steps": 2, "width": 8, "num_layers": 1, "num_heads": 2, "window": 24},
    "char_rnn": {"num_steps": 2, "widths": (8,), "batch_size": 8, "sample_length": 300},
    "pixelcnnpp": {"num_steps": 2, "channels": 2, "num_blocks": 1, "batch_size": 8},
    "pixelrnn": {"num_steps": 2, "channels": 2, "num_layers": 1, "batch_size": 8},
}
TEXT = ("transformer", "char_rnn")


@pytest.mark.parametrize("name", SMALL)
def test_an_experiment_trains_scores_and_writes_its_folder(name, experiment, tmp_path):
    module = experiment(name)
    found = module.main(module.Config(**SMALL[name], folder=tmp_path))
    assert all(np.isfinite(value) for value in found.values())
    samples = "samples.txt" if name in TEXT else "samples.png"
    for file in ("config.json", "metrics.jsonl", "result.json", samples):
        assert (tmp_path / file).stat().st_size > 0, file
    rows = results.read(tmp_path / "result.json")
    assert all(row.experiment == name for row in rows)
    assert "folder" not in json.loads((tmp_path / "config.json").read_text())
    if name in TEXT:
        assert 3.0 < found["nats/char"] < 6.0  # log 96 = 4.56 at first
        assert len((tmp_path / samples).read_text("utf-8")) >= 250
        assert [(row.unit, row.split) for row in rows] == [("nats/char", "validation + test")]


def test_gan_plays_the_wasserstein_game_on_points_and_counts_modes(experiment):
    module = experiment("gan")
    options = SMALL["gan"] | {"wasserstein": True, "critic_updates": 2, "dataset": "grid25"}
    found = module.main(module.Config(**options))
    assert 0 <= found["modes captured"] <= 25


def test_seeds_of_a_game_train_as_one_and_are_counted_apart(experiment, tmp_path, capsys):
    module, gan = experiment("gan_seeds"), experiment("gan")
    game = gan.Config(**SMALL["gan"] | {"dataset": "grid25"})
    found = module.main(module.Config(game, num_seeds=3, folder=tmp_path))
    assert 0 <= found["modes captured"] <= 25
    assert "seed 2: modes captured" in capsys.readouterr().out
    for file in ("config.json", "metrics.jsonl", "result.json", "samples.png"):
        assert (tmp_path / file).stat().st_size > 0, file
    digits = module.Config(gan.Config(**SMALL["gan"]), num_seeds=2)
    assert np.isfinite(module.main(digits)["squared MMD"])


def test_made_trains_in_half_precision_with_its_data_on_the_device(experiment, tmp_path):
    module = experiment("made")
    options = SMALL["made"] | {"num_steps": 20, "dtype": "bfloat16", "steps_per_dispatch": 5}
    found = module.main(module.Config(**options, folder=tmp_path))
    assert np.isfinite(found["nats"])
    assert len([*(tmp_path / "samples").glob("*.png")]) == 10


def test_made_and_nade_train_in_several_orders_and_through_several_masks(experiment, tmp_path):
    for name, options in (
        ("made", {"num_masks": 2, "l1": 1e-4, "l1_direct": 1e-3}),
        ("made", {"num_masks": 2, "shuffled": True}),
        ("nade", {"num_orders": 2}),
    ):
        module = experiment(name)
        assert np.isfinite(module.main(module.Config(**SMALL[name] | options))["nats"])


def test_gated_pixelcnn_is_given_the_label_and_its_samples_are_judged(experiment, tmp_path):
    module = experiment("pixelcnn")
    options = SMALL["pixelcnn"] | {"gated": True, "conditional": True, "eval_samples": 20}
    options["places"] = True
    found = module.main(module.Config(**options, l1=1e-4, folder=tmp_path))
    assert np.isfinite(found["nats"])
    assert found["recognised test examples"] > 90.0 > found["recognised samples"]
    rows = results.read(tmp_path / "result.json")
    assert len(rows) == 3
    assert {row.model for row in rows} == {"Gated PixelCNN 1x2, with places, given the label"}


@pytest.mark.parametrize("num_orders", [1, 2])
def test_rnade_scores_every_fold(num_orders, experiment, tmp_path):
    module = experiment("rnade")
    options = {"hidden": (4,), "num_components": 2, "num_rounds": 2, "num_folds": 2}
    options |= {"num_orders": num_orders, "folder": tmp_path}
    assert np.isfinite(module.main(module.Config(**options))["nats"])
    (row,) = results.read(tmp_path / "result.json")
    assert row.metric == "negative log-likelihood, mean of folds"


def test_made_scores_real_values_and_text(experiment):
    module = experiment("made")
    for dataset in ("claw", "digits_threshold"):
        found = module.main(module.Config(**SMALL["made"], dataset=dataset))
        assert np.isfinite(found["nats"])


@pytest.mark.slow
def test_transformer_draws_images_and_trains_with_dropout(experiment, tmp_path):
    module = experiment("transformer")
    options = SMALL["transformer"] | {"dataset": "digits", "dropout": 0.2, "dtype": "bfloat16"}
    found = module.main(module.Config(**options, steps_per_dispatch=1, folder=tmp_path))
    assert np.isfinite(found["nats"])
    assert (tmp_path / "samples.png").stat().st_size > 0


def test_lstm_trains_on_characters_with_batches_of_the_host(experiment):
    module = experiment("char_rnn")
    options = SMALL["char_rnn"] | {"lstm": True, "steps_per_dispatch": 1, "eval_window": 100}
    assert np.isfinite(module.main(module.Config(**options))["nats/char"])


@pytest.mark.slow
def test_pixelsnail_trains_on_images_in_colour_given_the_label(experiment, tmp_path):
    module, x = experiment("pixelcnnpp"), np.arange(40 * 27) % 256
    file = tmp_path / "images.npz"
    x, label = x.astype(np.uint8).reshape(40, 3, 3, 3), np.arange(40) % 2
    np.savez(file, x=x, label=label, num_values=256)
    options = SMALL["pixelcnnpp"] | {"snail": True, "conditional": True, "dataset": str(file)}
    found = module.main(module.Config(**options, folder=tmp_path / "run"))
    assert np.isfinite(found["bits_per_dim"])


def test_wavenet_writes_the_sound_it_draws(experiment, tmp_path, prepared):
    module = experiment("wavenet")
    options = SMALL["wavenet"] | {"dataset": prepared("fsdd") + "_decimated_mulaw"}
    options |= {"length": 512, "sample_rate": 4000, "softmax": True, "batch_size": 8}
    found = module.main(module.Config(**options, folder=tmp_path))
    assert np.isfinite(found["nats"])
    with wave.open(str(tmp_path / "samples.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (4000, 10 * 256)


def test_a_folder_of_another_configuration_is_refused_with_the_difference(experiment, tmp_path):
    module = experiment("made")
    config = module.Config(**SMALL["made"], folder=tmp_path)
    module.main(config)
    with pytest.raises(ValueError, match=r"different configuration(.|\n)*hidden"):
        module.main(dataclasses.replace(config, hidden=(9,)))


def test_tabular_models_are_fitted_scored_and_ordered(experiment, tmp_path, capsys):
    """Nothing is trained in steps, so there are no metrics.jsonl and no checkpoints."""
    module = experiment("tabular")
    nats = module.main(module.Config(smoothings=(0.1,), folder=tmp_path))
    assert nats["independent elements"] > nats["Markov chain"] > nats["Chow-Liu tree"]
    assert "127 parameters, smoothing 0.1" in capsys.readouterr().out
    rows = results.read(tmp_path / "result.json")
    assert {row.experiment for row in rows} == {"tabular"}
    assert {p.name for p in tmp_path.iterdir()} == {"config.json", "result.json", "samples.png"}


def test_quickstart_prints_one_table_and_two_pictures(experiment, tmp_path, capsys):
    module = experiment("quickstart")
    steps = {"made_steps": 2, "vae_steps": 2, "gan_steps": 2}
    scores = module.main(module.Config(**steps, eval_samples=2, folder=tmp_path))
    assert set(scores) == {"MADE", "VAE"}
    assert {p.name for p in tmp_path.iterdir()} == {"samples.png", "learning_curves.png"}
    printed = capsys.readouterr().out
    for word in ("independent pixels", "lzma", "MADE", "VAE", "GAN", "exact", "bound", "107.4"):
        assert word in printed


@pytest.mark.parametrize("name", ["quickstart", "gan_seeds", "tabular", "rnade", *SMALL])
def test_help_comes_from_the_configuration(name, experiment, capsys):
    with pytest.raises(SystemExit, match="0"):
        tyro.cli(experiment(name).Config, args=["--help"])
    assert "--seed" in capsys.readouterr().out


def test_an_experiment_is_started_as_a_script():
    command = [sys.executable, str(FOLDER / "made.py"), "--help"]
    assert "--seed" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


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
