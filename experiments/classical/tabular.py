"""Tables in closed form: the best tree, a chain, or independent elements.

Chow & Liu (1968), "Approximating discrete probability distributions with dependence trees".

python experiments/classical/tabular.py
    8x8 digits in black and white: 20.67 nats of the Chow-Liu tree; --graph chain 23.65, independent
    24.57; 8 seconds on 2 CPU cores.
python experiments/classical/tabular.py mnist
    Fixed binarized MNIST: 134.99, 145.35 and 205.79 nats, 35 seconds.
python experiments/classical/tabular.py dna
    The DNA set of Larochelle & Murray (2011): 87.72, 89.86 and 100.39 nats; mushrooms: 20.96, 28.28
    and 34.24.
"""

import dataclasses
import enum

from gm.recipes import command, options


class Graph(enum.Enum):
    """What an element depends on."""

    tree = enum.auto()
    chain = enum.auto()
    independent = enum.auto()


@dataclasses.dataclass(frozen=True)
class Config(options.Data):
    """What to fit, and to what."""

    dataset: str = "digits_threshold"
    """Any discrete set that gm.data.load takes: digits, binarized_mnist, mine.npz, ..."""
    graph: Graph = Graph.tree
    """The Chow-Liu tree, the element before it, or nothing."""
    smoothings: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0)
    """Pseudo-counts of every value in every row; validation chooses one."""


SETS = {"digits": "digits_threshold", "mnist": "binarized_mnist"}
SETS |= {name: name for name in ("dna", "mushrooms")}
PRESETS = {preset: Config(name) for preset, name in SETS.items()}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

import functools

from gm.models.classical import BayesianNetwork, graphs
from gm.recipes import closed_form, loading
from gm.recipes.experiment import Experiment


def build(c: Config) -> Experiment:
    """A Bayesian network of that graph, by maximum likelihood."""
    dataset = loading.load(c, "integers")
    event, x = dataset.event, dataset.train.x
    if c.graph is Graph.tree:
        graph, name = graphs.chow_liu(x, event.num_values), "Chow-Liu tree"
    elif c.graph is Graph.chain:
        graph, name = graphs.chain(event.size), "Markov chain"
    else:
        graph, name = graphs.empty(event.size), "independent elements"
    model = BayesianNetwork(event, graph)
    fits = {f"smoothing {s:g}": functools.partial(model.fit, x, smoothing=s) for s in c.smoothings}
    name += f", {model.num_params:,} parameters"
    return closed_form.experiment(c, dataset, model, name, fits)


if __name__ == "__main__":
    command.run(ASKED, build)
