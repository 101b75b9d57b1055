r"""A recurrent network on characters, its state carried from window to window.

python experiments/char_rnn.py
    What the standard library says of itself; no download.
TFDS_DATA_DIR=... python experiments/char_rnn.py --dataset tiny_shakespeare --num-steps 2500
    1.49 nats/char on the last tenth, 5 to 6 minutes on one CPU core.
"""

import dataclasses

import command
import options


@dataclasses.dataclass(frozen=True)
class Config(options.Fast):
    """What to train on, and how."""

    dataset: str = "python_docs"
    """Any text that gm.data.load takes: tiny_shakespeare, ..."""
    lstm: bool = False
    """Long short-term memory in place of gated recurrent units, which learn sooner here."""
    widths: tuple[int, ...] = (512,)
    """Features of each layer."""
    window: int = 64
    """Characters through which gradients go back; the state goes on."""
    eval_window: int = 1000
    """Characters of a window that is scored, each from an empty state."""
    num_steps: int = 2000
    learning_rate: float = 5e-3
    weight_decay: float = 0.1
    ema_decay: float = 0.99
    steps_per_dispatch: int = 10
    sample_length: int = 500
    """Characters of a text that is sampled."""


if __name__ == "__main__":
    CONFIG = command.parse(Config)

import functools
import pathlib

import fitting
import jax
import loading
import texts

from gm import core, data, metrics, train
from gm import distributions as dist
from gm.core import Event
from gm.losses import likelihood
from gm.models.autoregressive import CausalModel
from gm.networks import GRU, LSTM, RecurrentNetwork


def assemble(c: Config) -> tuple[data.Dataset, CausalModel, fitting.Loss]:
    """The data in short windows, the model of one, and its loss."""
    dataset = loading.load(c, "text", window=c.window)
    network = RecurrentNetwork(cell=LSTM if c.lstm else GRU, widths=c.widths)
    model = CausalModel(dataset.event, dist.head_for(dataset.event, ordered=False), network)
    return dataset, model, likelihood.truncated_bptt_nll


def of_length(model: CausalModel, length: int) -> CausalModel:
    """The model, with the same parameters, of texts of another length."""
    return dataclasses.replace(model, event=Event((length,), model.event.num_values))


def fit(c: Config) -> tuple[data.Dataset, CausalModel, fitting.Fitted]:
    """Data in long windows, a model of them, and what its training came to."""
    dataset, model, loss = assemble(c)
    held_out = loading.load(c, "text", window=c.eval_window)
    long, text = of_length(model, c.eval_window), of_length(model, c.sample_length)

    def validate(state: train.State) -> dict[str, float]:
        score = metrics.evaluate(long, state.averaged, held_out.validation)
        return {"nats per char": score.per_char(long.event).value}

    def picture(state: train.State, path: pathlib.Path) -> None:
        texts.show(c, dataset, text, state.averaged, path, num=1)

    optimizer = texts.optimizer(c, float(c.window))  # losses are sums over a window
    step = train.make_step(functools.partial(loss, core.in_precision(model, c.dtype)), optimizer)
    key_init, key_train = jax.random.split(jax.random.key(c.seed))
    params = fitting.init(model, key_init)
    memory = jax.vmap(model.initial_hidden_state, None, axis_size=c.batch_size)(params)
    state = train.init(params, optimizer, key_train, memory)
    many = c.steps_per_dispatch
    batches = data.truncated_bptt_windows(dataset.train, c.batch_size, c.seed, on_device=many > 1)
    saved = picture if c.folder else None
    keep = {"plot": saved, "steps_per_dispatch": many, "by": "nats per char"}
    return held_out, long, fitting.run(c, step, state, batches, validate, **keep)


def main(c: Config) -> dict[str, float]:
    """Trains, scores the last tenth of the text, samples; returns the numbers."""
    dataset, model, fitted = fit(c)
    label = f"{'LSTM' if c.lstm else 'GRU'} {'+'.join(map(str, c.widths))}"
    own = {"experiment": "char_rnn", "batch_size": 128}
    found = texts.report(c, dataset, model, fitted, label, **own)
    if c.folder is not None:
        text = of_length(model, c.sample_length)
        texts.show(c, dataset, text, fitted.params, c.folder / "samples.png", num=1)
        print((c.folder / "samples.txt").read_text("utf-8"))
    return found


if __name__ == "__main__":
    command.run(main, CONFIG)
