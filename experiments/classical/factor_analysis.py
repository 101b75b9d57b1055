"""Factor analysis and probabilistic PCA.

Rubin & Thayer (1982), "EM algorithms for ML factor analysis"; Tipping & Bishop (1999),
"Probabilistic principal component analysis".

python experiments/classical/factor_analysis.py
    8x8 digits with uniform noise, 20 factors: 131.70 nats; --isotropic 152.03. A Gaussian of full
    covariance 130.07, by mixture.py --dataset digits_dequantized --num-components 1; ten of them
    133.7.
python experiments/classical/factor_analysis.py wine
    Red wine, 5 factors: 3.41 nats; --isotropic 3.96. A Gaussian 3.28, ten of them 0.14.

`--isotropic` is probabilistic PCA, in closed form. All take 66 seconds or less on 2 busy CPU cores.
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.Data):
    """What to fit, and to what."""

    dataset: str = "digits_dequantized"
    """Real vectors: any such name or file that gm.data.load takes."""
    num_factors: int = 20
    """Latent dimensions."""
    isotropic: bool = False
    """One scale of the noise for all elements: probabilistic PCA."""
    num_steps: int = 1000
    """Steps of expectation maximization, at most."""


PRESETS = {
    "digits": Config(),
    "wine": Config("wine_quality/red", num_factors=5, standardize=True),
}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

import functools

from gm.models.classical import FactorAnalysis
from gm.recipes import closed_form, loading
from gm.recipes.experiment import Experiment


def build(c: Config) -> Experiment:
    """A linear-Gaussian model, by maximum likelihood."""
    dataset = loading.load(c, "vectors")
    model = FactorAnalysis(dataset.event, c.num_factors, isotropic=c.isotropic)
    kind = "probabilistic PCA" if c.isotropic else "factor analysis"
    how = "the closed form" if c.isotropic else "expectation maximization"
    fits = {how: functools.partial(model.fit, dataset.train.x, num_steps=c.num_steps)}
    own = {"principle": f"maximum likelihood ({'closed form' if c.isotropic else 'EM'})"}
    name = f"{kind}, {c.num_factors} factors"
    return closed_form.experiment(c, dataset, model, name, fits, **own)


if __name__ == "__main__":
    command.run(ASKED, build)
