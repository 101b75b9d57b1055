"""RNADE: a mixture for every element of real data, cross-validated as in its papers.

Uria, Murray & Larochelle (2013), arXiv:1306.0186; (2014), arXiv:1310.1757. One CPU core:

python experiments/autoregressive/rnade.py
    The claw density: 1.345 nats, 30 seconds.
python experiments/autoregressive/rnade.py wine_white
    10.16 nats, 4 minutes (the paper of 2013: 10.23; red wine: 9.36).
python experiments/autoregressive/rnade.py wine_white_orders
    9.48 nats of 32 orders, 38 minutes (the paper of 2014: 9.67).
python experiments/autoregressive/rnade.py wine_red
    9.25 nats, 2 minutes; wine_red_orders: 8.49 of 16 orders, 2 minutes (the papers: 9.36, 8.76).
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.Folds):
    """What to train on, and how."""

    dataset: str = "claw"
    hidden: tuple[int, ...] = (50,)
    """Units in each hidden layer; several layers, or orders, train in all orders at once."""
    num_components: int = 20
    """Normals that an element's distribution is a mixture of."""
    num_orders: int = 1
    """Over which probabilities are averaged."""
    min_scale: float = 0.01
    """The least standard deviation of a Normal, where the data's is 1."""
    batch_size: int = 100
    learning_rate: float = 2e-3


RED, WHITE = Config("wine_quality/red", num_rounds=50), Config("wine_quality/white")
PRESETS = {
    "claw": Config(),
    "wine_red": dataclasses.replace(RED, hidden=(128, 128)),
    "wine_red_orders": dataclasses.replace(RED, hidden=(128, 128), num_orders=16),
    "wine_white": dataclasses.replace(WHITE, hidden=(100,), num_rounds=60, weight_decay=0.5),
    "wine_white_orders": dataclasses.replace(
        WHITE, hidden=(512, 512), num_orders=32, num_rounds=150
    ),
}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

import jax.numpy as jnp

from gm import distributions as dist
from gm.models.autoregressive import NADE, DeepNADE, Ensemble
from gm.recipes import folds, loading
from gm.recipes.experiment import Experiment

ONE, MANY = "Uria et al. 2013, arXiv:1306.0186", "Uria et al. 2014, arXiv:1310.1757, many orders"
PUBLISHED = {  # with one order, and with many
    "wine_quality/red": ((9.36, ONE), (8.76, MANY)),
    "wine_quality/white": ((10.23, ONE), (9.67, MANY)),
}


def build(c: Config) -> Experiment:
    """RNADE in one order, or an average over many of a deep one, scored on every fold."""
    dataset = loading.load(c, "vectors")
    head, event = dist.MixtureOfNormalsHead(c.num_components, c.min_scale), dataset.event
    sizes = f"{'x'.join(map(str, c.hidden))}, {c.num_components} Normals"
    name = f"RNADE {sizes}, {c.num_orders} order{'s' * (c.num_orders > 1)}"
    known = {name: {folds.METRIC: both[c.num_orders > 1]} for name, both in PUBLISHED.items()}
    own = {"published": known}
    if len(c.hidden) > 1 or c.num_orders > 1:
        model = Ensemble(DeepNADE(event, head, c.hidden, mask_seed=0), c.num_orders)
        own["chooser"] = dataclasses.replace(model, num_members=min(8, c.num_orders))
    else:  # of a rectified unit's outputs, one far example can cost a fold thousands of nats
        model = NADE(event, head, *c.hidden, activation=jnp.tanh, rescaled=True)
    return folds.experiment(c, dataset, model, name, **own)


if __name__ == "__main__":
    command.run(ASKED, build)
