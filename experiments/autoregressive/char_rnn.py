"""A recurrent network on characters, by truncated backpropagation through time.

The hidden state is carried from window to window. Cho et al. (2014), arXiv:1406.1078; Hochreiter &
Schmidhuber (1997).

python experiments/autoregressive/char_rnn.py
    What the standard library says of itself; no download.
python experiments/autoregressive/char_rnn.py shakespeare
    Tiny Shakespeare: 1.49 nats/char on the last tenth, 5 to 6 minutes on one CPU core.
"""

import dataclasses

from gm.recipes import command, options


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
    """Characters of a text that is scored or sampled, each from an empty state."""
    num_steps: int = 2000
    learning_rate: float = 5e-3
    weight_decay: float = 0.1
    ema_decay: float = 0.99
    clip_norm: float = 64.0
    steps_per_dispatch: int = 10


PRESETS = {"python_docs": Config(), "shakespeare": Config("tiny_shakespeare", num_steps=2500)}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

import jax

from gm import data
from gm import distributions as dist
from gm.losses import likelihood
from gm.models.autoregressive import CausalModel
from gm.networks import GRU, LSTM, RecurrentNetwork
from gm.recipes import loading, texts
from gm.recipes.experiment import Experiment


def build(c: Config) -> Experiment:
    """Trained on short windows that go on where the last ended, scored on long ones."""
    short = loading.load(c, "text", window=c.window)
    long = loading.load(c, "text", window=c.eval_window)
    network = RecurrentNetwork(cell=LSTM if c.lstm else GRU, widths=c.widths)
    head = dist.head_for(short.event, ordered=False)
    trained, model = (CausalModel(d.event, head, network) for d in (short, long))

    def memory(params):
        return jax.vmap(trained.initial_hidden_state, None, axis_size=c.batch_size)(params)

    on_device = c.steps_per_dispatch > 1
    own = {"trained": trained, "loss": likelihood.truncated_bptt_nll}
    own |= {"memory": memory, "num_texts": 1, "batch_size": 128}
    own["batches"] = data.truncated_bptt_windows(
        short.train, c.batch_size, c.seed, on_device=on_device
    )
    name = f"{'LSTM' if c.lstm else 'GRU'} {'+'.join(map(str, c.widths))}"
    return texts.experiment(c, long, model, name, **own)


if __name__ == "__main__":
    command.run(ASKED, build)
