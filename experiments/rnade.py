r"""RNADE: a mixture for every element of real data, tested on ten folds as in its papers.

python experiments/rnade.py  # the claw density: 1.345 nats, 30 seconds on one core
TFDS_DATA_DIR=... python experiments/rnade.py --dataset wine_quality/white --hidden 100 \
    --num-rounds 60 --weight-decay 0.5
    10.16 nats, 4 minutes on one CPU core. Uria et al. (2013), arXiv:1306.0186: 10.23 (red: 9.36).
TFDS_DATA_DIR=... python experiments/rnade.py --dataset wine_quality/white --hidden 512 512 \
    --num-orders 32 --num-rounds 150
    9.48 of all orders. Uria et al. (2014), arXiv:1310.1757: 9.67 (red: 8.76; here 8.49).
Each tenth in turn is the test set; another decides when to stop; the rest normalise the dimensions.
"""

import dataclasses

import command
import options


@dataclasses.dataclass(frozen=True)
class Config(options.Rounds):
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
    num_folds: int = 10
    """Of the ten tenths, how many are test sets in turn."""
    batch_size: int = 100
    learning_rate: float = 2e-3


if __name__ == "__main__":
    CONFIG = command.parse(Config)

import time
from typing import Any

import jax
import jax.numpy as jnp
import loading
import numpy as np
import rounds

from gm import data
from gm import distributions as dist
from gm.metrics import Score, results
from gm.models.autoregressive import NADE, DeepNADE, Ensemble

METRIC = "negative log-likelihood, mean of folds"
ONE, MANY = "Uria et al. 2013, arXiv:1306.0186", "Uria et al. 2014, arXiv:1310.1757, many orders"
PUBLISHED = {  # with one order, and with many
    "wine_quality/red": ({METRIC: (9.36, ONE)}, {METRIC: (8.76, MANY)}),
    "wine_quality/white": ({METRIC: (10.23, ONE)}, {METRIC: (9.67, MANY)}),
}


def assemble(c: Config) -> tuple[data.Dataset, Any, Any]:
    """The data, the model that is tested, and a cheaper one that decides when to stop."""
    dataset = loading.load(c, "vectors")
    head, event = dist.MixtureOfNormalsHead(c.num_components, c.min_scale), dataset.event
    if len(c.hidden) > 1 or c.num_orders > 1:
        model = Ensemble(DeepNADE(event, head, c.hidden, mask_seed=0), c.num_orders)
        return dataset, model, dataclasses.replace(model, num_members=min(8, c.num_orders))
    # Of a rectified unit's outputs, one example far out can cost a fold thousands of nats.
    model = NADE(event, head, *c.hidden, activation=jnp.tanh, rescaled=True)
    return dataset, model, model


def main(c: Config) -> dict[str, float]:
    """Trains and scores every fold; returns the numbers."""
    (dataset, model, judge), begin = assemble(c), time.perf_counter()
    splits = (dataset.train, dataset.validation, dataset.test)
    x = np.random.default_rng(c.seed).permutation(np.concatenate([s.x for s in splits]))
    key, nats = jax.random.key(c.seed), []
    for i in range(c.num_folds):
        test, validation, rest = loading.fold(x, i)
        params = rounds.fit(c, judge, jax.random.fold_in(key, i), rest, validation)
        nats.append(-np.asarray(jax.vmap(jax.jit(model.log_prob), (None, 0))(params, test)))
    score = Score.mean(np.concatenate(nats))
    print(f"{dataset.name}: {score}")
    if c.folder is not None:
        sizes = f"{'x'.join(map(str, c.hidden))}, {c.num_components} Normals"
        name = f"RNADE {sizes}, {c.num_orders} order{'s' * (c.num_orders > 1)}"
        fields = {"experiment": "rnade", "principle": "maximum likelihood", "model": name}
        fields |= {"steps": c.num_rounds * rounds.STEPS, "seconds": time.perf_counter() - begin}
        fields["published"] = PUBLISHED.get(dataset.name, ({}, {}))[c.num_orders > 1]
        results.write(c.folder, results.record_all({METRIC: score}, dataset, **fields))
    return {"nats": score.value}


if __name__ == "__main__":
    command.run(main, CONFIG)
