"""Masked autoregressive flows of small tables, cross-validated as RNADE is (`rnade.py`).

Papamakarios et al. (2017), arXiv:1705.07057, with the transformer of Ho et al. (2019), "Flow++",
arXiv:1902.00275: mixtures of logistics. On 2 CPU cores:

python experiments/flows/folds.py
    Red wine: 9.18 nats, 4 minutes beside other work (RNADE here: 9.25; in its paper: 9.36).
python experiments/flows/folds.py wine_white
    White wine: not run yet.
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.Folds):
    """What to train on, and how."""

    dataset: str = "wine_quality/red"
    hidden: tuple[int, ...] = (128,)
    """Units in each hidden layer of each network."""
    num_layers: int = 2
    """Autoregressive layers, in one order and its reverse in turn."""
    num_components: int = 8
    """Logistics of each mixture CDF."""
    batch_size: int = 100
    learning_rate: float = 2e-3
    weight_decay: float = 0.5
    num_rounds: int = 8
    noise: float = 0.1


PRESETS = {"wine_red": Config(), "wine_white": Config("wine_quality/white", num_rounds=15)}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

from gm import distributions as dist
from gm.bijections import transformers
from gm.models import flows
from gm.recipes import folds, loading
from gm.recipes.experiment import Experiment

SOURCE = "Uria et al. 2013, arXiv:1306.0186: RNADE of one order"
PUBLISHED = {
    "wine_quality/red": {folds.METRIC: (9.36, SOURCE)},
    "wine_quality/white": {folds.METRIC: (10.23, SOURCE)},
}


def build(c: Config) -> Experiment:
    """A masked autoregressive flow of mixture CDFs, scored on every fold."""
    dataset = loading.load(c, "vectors")
    mixture = transformers.Inverse(transformers.MixtureCDF(c.num_components))
    sizes = {"hidden": c.hidden, "family": dist.Logistic}
    model = flows.autoregressive_flow(dataset.event, mixture, c.num_layers, **sizes)
    name = f"MAF of mixture CDFs, {c.num_layers} x {'x'.join(map(str, c.hidden))}, "
    name += f"{c.num_components} logistics"
    return folds.experiment(c, dataset, model, name, published=PUBLISHED)


if __name__ == "__main__":
    command.run(ASKED, build)
