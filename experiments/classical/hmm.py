"""Hidden Markov models of characters, by Baum-Welch.

Baum, Petrie, Soules & Weiss (1970); Rabiner (1989), "A tutorial on hidden Markov models".

python experiments/classical/hmm.py
    What the standard library says of itself; no download.
python experiments/classical/hmm.py shakespeare
    Tiny Shakespeare, 32 states fitted to a quarter of it: 2.375 nats/char on the last tenth, 23
    minutes on 2 busy CPU cores.
python experiments/classical/hmm.py chain
    A state for each character of it, which is a Markov chain, in one step: 2.494 nats/char.
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.Data):
    """What to fit, and to what."""

    dataset: str = "python_docs"
    """Any text that gm.data.load takes: tiny_shakespeare, ..."""
    num_states: int = 16
    """Hidden states."""
    chain: bool = False
    """A hidden state for each character, which emits nothing else, in place of num_states."""
    window: int = 128
    """Characters of an example; each starts from the distribution of the first state."""
    num_windows: int = 2000
    """Examples that are fitted, evenly spaced over the training text, at most."""
    num_steps: int = 100
    """Steps of Baum-Welch, at most."""
    restarts: int = 1
    """Starts, of which the likeliest end is kept."""


PRESETS = {
    "python_docs": Config(),
    "shakespeare": Config("tiny_shakespeare", num_states=32),
    "chain": Config("tiny_shakespeare", chain=True, num_windows=7_800),
}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Params
from gm.models.classical import HiddenMarkovModel, components
from gm.recipes import closed_form, loading
from gm.recipes.experiment import Experiment


def build(c: Config) -> Experiment:
    """A hidden Markov model of windows of a text."""
    dataset, key = loading.load(c, "text", window=c.window), jax.random.key(c.seed)
    num_values, train = dataset.event.num_values, dataset.train.x
    num_states = num_values if c.chain else c.num_states
    name = "Markov chain" if c.chain else f"hidden Markov model, {num_states} states"
    of = components.Categoricals(num_values, smoothing=0.0 if c.chain else 0.01)
    model = HiddenMarkovModel(dataset.event, num_states, of, smoothing=0.01)
    some = np.linspace(0, len(train) - 1, min(c.num_windows, len(train))).astype(int)

    def counted() -> Params:
        known = {"logits": jnp.log(jnp.eye(num_values, dtype=jnp.float32))[:, None]}
        begun = model.init(key) | {"emissions": known}
        return jax.jit(model.fit_step)(begun, key, train[some])[0]

    def fitted() -> Params:
        return model.fit(train[some], key, num_steps=c.num_steps, restarts=c.restarts)

    fits = {"Baum-Welch": counted if c.chain else fitted}
    own = {"principle": "maximum likelihood (Baum-Welch)"}
    return closed_form.experiment(c, dataset, model, name, fits, **own)


if __name__ == "__main__":
    command.run(ASKED, build)
