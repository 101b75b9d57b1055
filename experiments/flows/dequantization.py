"""Dequantized flows of integers: what their bound loses, and what variational noise wins back.

Ho et al. (2019), "Flow++", arXiv:1902.00275, section 3.1. Bounds of 1, 16 and 64 samples of noise
for each example; exact models of the same digits: made.py, pixelcnn.py. On 2 CPU cores:

python experiments/flows/dequantization.py
    8x8 digits, 17 levels, uniform noise: not run yet.
python experiments/flows/dequantization.py variational
    The same with a flow of the noise: not run yet.
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.Latent):
    """What to train on, and how."""

    variational: bool = False
    """A flow of the noise given x, in place of uniform noise."""
    num_layers: int = 2
    """Autoregressive layers of mixture CDFs."""
    num_components: int = 5
    """Logistics of each mixture."""
    hidden: tuple[int, ...] = (256,)
    """Units in each hidden layer of each network, of the noise too."""
    noise_layers: int = 4
    """Affine couplings of the noise."""
    logit_margin: float = 1e-6
    """The flow is one of the logits of margin + (1 - 2 margin) z."""
    num_steps: int = 3_000
    batch_size: int = 64
    learning_rate: float = 2e-3


PRESETS = {"digits": Config(), "variational": Config(variational=True)}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

from gm import distributions as dist
from gm.bijections import transformers
from gm.core import Event
from gm.models import flows
from gm.recipes import latent, loading
from gm.recipes.experiment import Experiment

EXAMPLES = 1_000  # that the last layer is fitted to
COUNTS = {f"negative log-likelihood, bound of {n}": n for n in (1, 16, 64)}


def build(c: Config) -> Experiment:
    """A masked autoregressive flow of mixture CDFs over dequantized integers."""
    dataset = loading.load(c, "integers")
    event = Event(dataset.event.shape)
    mixture = transformers.Inverse(transformers.MixtureCDF(c.num_components))
    sizes = {"num_layers": c.num_layers, "hidden": c.hidden, "family": dist.Logistic}
    density = flows.of_logits(flows.autoregressive_flow(event, mixture, **sizes), c.logit_margin)
    noise = None
    if c.variational:
        given = {"hidden": c.hidden, "context": Event((event.size,)), "family": dist.Logistic}
        noise = flows.of_logits(flows.realnvp(event, c.noise_layers, **given), 0.0)
    model = flows.Dequantized(dataset.event, density, noise)
    name = f"MAF of mixture CDFs, {c.num_layers} layers, {c.num_components} logistics, "
    name += "variational dequantization" if c.variational else "uniform dequantization"
    return latent.experiment(c, dataset, model, name, examples=EXAMPLES, counts=COUNTS)


if __name__ == "__main__":
    command.run(ASKED, build)
