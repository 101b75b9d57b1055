r"""RNADE: a mixture for every element of real data, tested on ten folds as in its papers.

python experiments/rnade.py  # the claw density: seconds on 2 CPU cores
TFDS_DATA_DIR=... python experiments/rnade.py --dataset wine_quality/white --hidden 100 \
    --num-rounds 60 --weight-decay 0.5
    10.16 nats, 4 minutes on one CPU core. Uria et al. (2013), arXiv:1306.0186: 10.23 (red: 9.36).
TFDS_DATA_DIR=... python experiments/rnade.py --dataset wine_quality/white --hidden 512 512 \
    --num-orders 32 --num-rounds 150
    9.48 of all orders. Uria et al. (2014), arXiv:1310.1757: 9.67 (red: 8.76; here 8.49).
Each tenth in turn is the test set; another decides when to stop; the rest normalise the dimensions.
"""

import dataclasses
import functools
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from gm import data, train
from gm import distributions as dist
from gm.losses import likelihood, order_agnostic
from gm.metrics import Score, results
from gm.models.autoregressive import NADE, DeepNADE, Ensemble

STEPS = 200  # of a round
METRIC = "negative log-likelihood, mean of folds"
ONE, MANY = "Uria et al. 2013, arXiv:1306.0186", "Uria et al. 2014, arXiv:1310.1757, many orders"
PUBLISHED = {  # with one order, and with many
    "wine_quality/red": ({METRIC: (9.36, ONE)}, {METRIC: (8.76, MANY)}),
    "wine_quality/white": ({METRIC: (10.23, ONE)}, {METRIC: (9.67, MANY)}),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """What to train on, and how."""

    dataset: str = "claw"
    hidden: tuple[int, ...] = (50,)
    """Units in each hidden layer; several layers, or orders, train in all orders at once."""
    num_components: int = 20
    num_orders: int = 1
    """Over which probabilities are averaged."""
    min_scale: float = 0.01
    num_folds: int = 10
    num_rounds: int = 25
    batch_size: int = 100
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    seed: int = 0
    folder: pathlib.Path | None = None


@functools.partial(jax.jit, static_argnames=("c", "scored"))
def fit(c: Config, scored, key, x, validation):
    """The parameters that, of those after each round, score best on the validation examples."""
    many, one = order_agnostic.order_agnostic_nll, likelihood.negative_log_likelihood
    model, loss = (scored.model, many) if isinstance(scored, Ensemble) else (scored, one)
    schedule = optax.cosine_decay_schedule(c.learning_rate, c.num_rounds * STEPS)
    optimizer = train.with_ema(optax.adamw(schedule, weight_decay=c.weight_decay), 0.99)

    def step(state, key):
        params, opt_state = state
        key_batch, key_loss = jax.random.split(key)
        batch = {"x": x[jax.random.randint(key_batch, (c.batch_size,), 0, len(x))]}
        grads = jax.grad(lambda p: loss(model, p, key_loss, batch)[0])(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    def one_round(carry, key):
        state, best, least = carry
        state, _ = jax.lax.scan(step, state, jax.random.split(key, STEPS))
        averaged = train.averaging.averaged(*state)
        nats = -jnp.mean(jax.vmap(scored.log_prob, (None, 0))(averaged, validation))
        best = jax.tree.map(lambda new, old: jnp.where(nats < least, new, old), averaged, best)
        return (state, best, jnp.minimum(nats, least)), nats

    key_init, key_train = jax.random.split(key)
    params = model.init(key_init)
    carry = (params, optimizer.init(params)), params, jnp.array(jnp.inf)
    return jax.lax.scan(one_round, carry, jax.random.split(key_train, c.num_rounds))[0][1]


def main(c: Config) -> dict[str, float]:
    """Trains and scores every fold; returns the numbers."""
    dataset, begin = data.load(c.dataset), time.perf_counter()
    head, event = dist.MixtureOfNormalsHead(c.num_components, c.min_scale), dataset.event
    if len(c.hidden) > 1 or c.num_orders > 1:
        model = Ensemble(DeepNADE(event, head, c.hidden, wiring_seed=0), c.num_orders)
        judge = dataclasses.replace(model, num_members=min(8, c.num_orders))
    else:
        # Of a rectified unit's outputs, one example far out can cost a fold thousands of nats.
        model = judge = NADE(event, head, *c.hidden, activation=jnp.tanh, rescaled=True)
    splits = (dataset.train, dataset.validation, dataset.test)
    x = np.random.default_rng(c.seed).permutation(np.concatenate([s.x for s in splits]))
    key, size, nats = jax.random.key(c.seed), len(x) // 10, []
    for fold in range(c.num_folds):
        test, rest = np.split(np.roll(x, -fold * size, axis=0), [size])
        test, rest = ((part - rest.mean(0)) / rest.std(0) for part in (test, rest))
        params = fit(c, judge, jax.random.fold_in(key, fold), rest[size:], rest[:size])
        nats.append(-np.asarray(jax.vmap(jax.jit(model.log_prob), (None, 0))(params, test)))
    score = Score.mean(np.concatenate(nats))
    print(f"{dataset.name}: {score}")
    if c.folder is not None:
        sizes = f"{'x'.join(map(str, c.hidden))}, {c.num_components} Normals"
        name = f"RNADE {sizes}, {c.num_orders} order{'s' * (c.num_orders > 1)}"
        fields = {"experiment": "rnade", "principle": "maximum likelihood", "model": name}
        fields |= {"steps": c.num_rounds * STEPS, "seconds": time.perf_counter() - begin}
        fields["published"] = PUBLISHED.get(dataset.name, ({}, {}))[c.num_orders > 1]
        results.write(c.folder, results.record_all({METRIC: score}, dataset, **fields))
    return {"nats": score.value}


if __name__ == "__main__":
    main(tyro.cli(Config))
