"""Class-conditional WaveNet by maximum likelihood, and the classifier accuracy of its samples.

van den Oord et al. (2016), arXiv:1609.03499. One CPU core:

python experiments/autoregressive/wavenet.py
    8x8 digits, each a row of 64 pixels: class-conditional 73.6 nats, classifier accuracy of the
    samples 95 %; 80 seconds.
python experiments/autoregressive/wavenet.py speech --folder runs/wavenet
    Spoken digits (Free Spoken Digit Dataset) at 4 kHz, 2,048 samples of 256 mu-law levels; samples
    in samples.wav. After 55 minutes 3.30 bits a sample, and the classifier agrees with 59.8 % of
    the samples (98.8 % of real ones): it wants more steps.
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.ClassConditional):
    """What to train on, and how."""

    dataset: str = "digits"
    """Any name that gm.data.load takes and that has labels: digits, fsdd_decimated_mulaw, ..."""
    sample_rate: int | None = None
    """Of sound, in Hz, after preprocessing: it is classified by its spectrogram, and written."""
    length: int = 4096
    """Of sound, samples per recording before preprocessing."""
    channels: int = 32
    """Features of the residual blocks."""
    skip_channels: int = 64
    """Features of the sum of all blocks."""
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    """Elements between the two that a block looks at."""
    repeats: int = 2
    """How often the dilations follow one another."""
    softmax: bool = False
    """A logit for each value, as in the paper, in place of 10 discretised logistics."""
    num_steps: int = 800
    weight_decay: float = 0.1
    eval_batch_size: int = 32


SOUND = Config("fsdd_decimated_mulaw", sample_rate=4000, softmax=True, channels=48, repeats=1)
LONG = dataclasses.replace(SOUND, dilations=tuple(2**i for i in range(10)), num_steps=4000)
SPEECH = dataclasses.replace(LONG, batch_size=16, weight_decay=0.01, clip_norm=1.0)
PRESETS = {"digits": Config(), "speech": SPEECH}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

import functools
import pathlib

import numpy as np

from gm import data, plot
from gm import distributions as dist
from gm.metrics import classifier_accuracy
from gm.models.autoregressive import CausalModel
from gm.networks import WaveNet
from gm.recipes import class_conditional, loading, samples
from gm.recipes.experiment import Experiment


def seen(c: Config, x: np.ndarray) -> np.ndarray:
    """What is shown and classified: images as they are, spectrograms of sound, low notes below."""
    if c.sample_rate is None:
        return x
    window, sound = c.sample_rate * 32 // 1000, np.asarray(data.mu_law_decode(x))
    return classifier_accuracy.log_spectrogram(sound, window).swapaxes(1, 2)[:, ::-1]


def build(c: Config) -> Experiment:
    """A class-conditional WaveNet, which writes what it samples as sound."""
    dataset = loading.load(c, length=c.length)
    labels = loading.labels_of(dataset)
    if len(dataset.event.shape) == 1 and c.sample_rate is None:
        raise ValueError("sound is shown by its samples per second: --sample-rate 8000, say.")
    sizes = {"channels": c.channels, "skip_channels": c.skip_channels}
    network = WaveNet(dilations=c.dilations * c.repeats, **sizes)
    head = dist.head_for(dataset.event, ordered=not c.softmax)
    model = CausalModel(dataset.event, head, network, labels)
    name, see = (
        f"WaveNet, {len(network.dilations)} blocks of {c.channels}",
        functools.partial(seen, c),
    )
    made = class_conditional.experiment(c, dataset, model, name, features=see)

    def picture(params, path: pathlib.Path) -> None:
        test, x = dataset.test, samples.sample(model, params, c.seed, 30)
        real = np.argsort(test.y, kind="stable")[:: max(len(test) // 30, 1)][:30]
        y = np.argsort(np.arange(30) % labels.num_values, kind="stable")
        panels = {"data": see(test.x[real]), "WaveNet": see(x[y])}
        plot.save(plot.side_by_side(panels, columns=6), path)
        if c.sample_rate is not None:
            sound = np.asarray(data.mu_law_decode(x[: labels.num_values])).ravel()
            data.write_wav(path.with_suffix(".wav"), sound, c.sample_rate)

    return dataclasses.replace(made, picture=picture)


if __name__ == "__main__":
    command.run(ASKED, build)
