r"""RNADE: a mixture for every element of real data, tested on ten folds as in its papers.

python experiments/rnade.py
    The claw density, one fold: seconds on 2 CPU cores.
TFDS_DATA_DIR=... python experiments/rnade.py --dataset wine_quality/red
    Uria, Murray & Larochelle (2013), arXiv:1306.0186: 9.36 nats (red), 10.23 (white).
TFDS_DATA_DIR=... python experiments/rnade.py --dataset wine_quality/red --num-orders 32
    Order ensembles; Uria, Murray & Larochelle (2014), arXiv:1310.1757: 8.76 (red), 9.67 (white).

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
from gm.models.autoregressive import NADE, Ensemble
from gm.train import averaging

STEPS = 50  # of a round
METRIC = "negative log-likelihood, mean of folds"
ONE, MANY = "Uria et al. 2013, arXiv:1306.0186", "Uria et al. 2014, arXiv:1310.1757, many orders"
PUBLISHED = {
    "wine_quality/red": ((9.36, ONE), (8.76, MANY)),
    "wine_quality/white": ((10.23, ONE), (9.67, MANY)),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """What to train on, and how."""

    dataset: str = "claw"
    hidden: int = 50
    num_components: int = 10
    num_orders: int = 1
    min_scale: float = 0.01
    num_folds: int = 10
    num_rounds: int = 100
    batch_size: int = 100
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    seed: int = 0
    folder: pathlib.Path | None = None


@functools.partial(jax.jit, static_argnames=("c", "model"))
def fit(c: Config, model, key, x, validation):
    """The parameters that, of those after each round, score best on the validation examples."""
    one, many = likelihood.negative_log_likelihood, order_agnostic.member_nll
    loss = many if isinstance(model, Ensemble) else one
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
        averaged = averaging.averaged(*state)
        nats = -jnp.mean(jax.vmap(model.log_prob, (None, 0))(averaged, validation))
        best = jax.tree.map(lambda new, old: jnp.where(nats < least, new, old), averaged, best)
        return (state, best, jnp.minimum(nats, least)), nats

    key_init, key_train = jax.random.split(key)
    params = model.init(key_init)
    carry = (params, optimizer.init(params)), params, jnp.array(jnp.inf)
    (_, best, _), _ = jax.lax.scan(one_round, carry, jax.random.split(key_train, c.num_rounds))
    return best


def main(c: Config) -> dict[str, float]:
    """Trains and scores every fold; returns the numbers."""
    dataset, begin = data.load(c.dataset), time.perf_counter()
    head = dist.MixtureOfNormalsHead(c.num_components, c.min_scale)
    many = c.num_orders > 1
    options = {"activation": jax.nn.relu, "rescaled": True, "wiring_seed": 0 if many else None}
    model = NADE(dataset.event, head, c.hidden, **options)
    model = Ensemble(model, c.num_orders) if many else model
    x = np.concatenate([s.x for s in (dataset.train, dataset.validation, dataset.test)])
    x = x[np.random.default_rng(c.seed).permutation(len(x))]
    size, nats = len(x) // 10, []
    for fold in range(c.num_folds):
        test, rest = np.split(np.roll(x, -fold * size, axis=0), [size])
        test, rest = ((part - rest.mean(0)) / rest.std(0) for part in (test, rest))
        key = jax.random.fold_in(jax.random.key(c.seed), fold)
        params = fit(c, model, key, rest[size:], rest[:size])
        nats.append(-np.asarray(jax.jit(jax.vmap(model.log_prob, (None, 0)))(params, test)))
    score = Score.mean(np.concatenate(nats))
    print(f"{dataset.name}: {score}")
    known = PUBLISHED.get(dataset.name, (None, None))[many]
    if c.folder is not None:
        label = f"RNADE {c.hidden}, {c.num_components} Normals, {c.num_orders} order(s)"
        fields = {"experiment": "rnade", "model": label, "principle": "maximum likelihood"}
        fields |= {"steps": c.num_rounds * STEPS, "published": known and {METRIC: known}}
        fields["seconds"] = time.perf_counter() - begin
        results.write(c.folder, results.record_all({METRIC: score}, dataset, **fields))
    return {"nats": score.value}


if __name__ == "__main__":
    main(tyro.cli(Config))
