"""Small trainings that `reliability.py` kills, stops, poisons and restarts.

    python benchmarks/victims.py --kind made --folder FOLDER

One autoregressive model, one latent-variable model and one game on the 8x8 digits; between them
they feed the step in all three ways: batch by batch, stacked, and gathered on the device. Rows,
pictures, evaluations and checkpoints come far more often than anybody wants, so that a kill has
much to interrupt. The last line is the SHA-256 of the whole state and of the best parameters.
"""

import dataclasses
import functools
import os
import pathlib
import signal
import threading
from collections.abc import Iterator
from typing import Any, Literal

import tyro


@dataclasses.dataclass(frozen=True)
class Config:
    """What to train, and what to do to it."""

    folder: pathlib.Path
    kind: Literal["made", "vae", "gan"] = "made"
    num_steps: int = 300
    batch_size: int = 32
    devices: int = 0
    """How many devices to use; 0 for all, on all hosts."""
    fsdp: bool = False
    nan_at: int = -1
    """The step whose batch weighs NaN."""
    signal_after: float = -1.0
    """Seconds after the first batch at which the process sends itself SIGTERM."""
    log_every: int = 7
    checkpoint_every: int = 10


class Watched:
    """Batches with a weight, which is NaN at one step; says where they were when a signal came."""

    def __init__(self, batches: Any, c: Config) -> None:
        self.batches, self.c, self.asked = batches, c, 0
        self.indices = batches.indices

    def starting_at(self, step: int) -> Iterator[dict]:
        """As the batches do."""
        import numpy as np

        if self.c.signal_after >= 0.0:
            threading.Timer(self.c.signal_after, self.signal).start()
        for n, batch in enumerate(self.batches.starting_at(step), step):
            self.asked = n + 1
            weight = np.nan if n == self.c.nan_at else 1.0
            yield {**batch, "weight": np.full(len(batch["x"]), weight, np.float32)}

    def signal(self) -> None:
        """SIGTERM, from another thread than the one that trains."""
        print("signalled while training step", self.asked, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)


def weighted(loss: Any) -> Any:
    """The loss times the mean weight of its batch: 1, unless the batch is the bad one."""
    import jax.numpy as jnp

    def with_weight(params: Any, key: Any, batch: Any) -> tuple[Any, dict]:
        value, metrics = loss(params, key, batch)
        return value * jnp.mean(batch["weight"]), metrics

    return with_weight


def learn(c: Config) -> tuple[Any, Any, Any, Any]:
    """What make_step takes (with None for a game's optimizer), params, and batches."""
    import jax
    import optax

    from gm import data, train
    from gm import distributions as dist
    from gm.losses import adversarial, likelihood, variational
    from gm.models.autoregressive import MADE
    from gm.models.implicit import Critic, Generator
    from gm.models.latent import VAE
    from gm.networks import MLP

    digits, keys = data.load("digits"), jax.random.split(jax.random.key(0))
    event, adam = digits.event, optax.adam(1e-3)
    head, batches = dist.head_for(event), digits.train.batches(c.batch_size)
    optimizer = train.with_ema(optax.chain(optax.clip_by_global_norm(10.0), adam))
    if c.kind == "gan":
        digits = digits.map(data.UniformDequantization())
        generator = Generator(digits.event, MLP((64,), event.shape), latent_dim=4)
        critic = Critic(digits.event, MLP((64,), (), 2))
        losses = adversarial.wasserstein(generator, critic)
        players = {
            "critic": train.Player(losses["critic"], adam, updates=2),
            "generator": train.Player(losses["generator"], optimizer),
        }
        params = {"critic": critic.init(keys[0]), "generator": generator.init(keys[1])}
        return players, None, params, digits.train.batches(2 * c.batch_size, on_device=True)
    if c.kind == "vae":
        encoder, decoder = MLP((64,), (16,), 3), MLP((64,), (*event.shape, head.num_params))
        model = VAE(event, head, encoder, decoder, latent_dim=8)
        loss = functools.partial(variational.negative_elbo, model)
    else:
        model = MADE(event, head, hidden=(64,))
        loss = functools.partial(likelihood.negative_log_likelihood, model)
    return weighted(loss), optimizer, model.init(keys[0]), Watched(batches, c)


def main(c: Config) -> None:
    """Trains to the end, if nothing comes between."""
    import jax

    from gm import train

    jax.config.update("jax_compilation_cache_dir", str(c.folder.parent / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    loss, optimizer, params, batches = learn(c)
    mesh = train.data_mesh(jax.devices()[: c.devices or None])
    rule = functools.partial(train.fsdp, min_size=1) if c.fsdp else train.replicated
    step = train.make_step(loss, optimizer, mesh=mesh, rule=rule)
    state = train.init(params, loss if optimizer is None else optimizer, jax.random.key(1))
    best = train.Best("first")
    state = train.run(
        step,
        state,
        batches,
        c.num_steps,
        folder=c.folder,
        log_every=c.log_every,
        checkpoint_every=c.checkpoint_every,
        evaluate=lambda state: {"first": jax.tree.leaves(state.params)[0].sum()},
        evaluate_every=15,
        best=best,
        plot=lambda state, path: path.write_text("a picture"),
        plot_every=20,
        steps_per_dispatch={"made": 1, "vae": 4, "gan": 3}[c.kind],
        progress=False,
    )
    if jax.process_index() == 0 and not c.fsdp:
        print("sha256", train.digest((state, best.params)), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config))
