"""Every model, at a small size, keeps every law that its capabilities call for.

Adding a row to `ROWS` is how a model joins: one for each kind of network and capability. `MATRIX`
has their variants (contexts, heads, orders, colours), and networks that compile for long and are
held to the paper's equations by tests of their own, under a marker that CI runs: -m matrix.
"""

import jax
import jax.numpy as jnp
import pytest

from gm import distributions as dist
from gm import laws
from gm.bijections import Affine
from gm.core import Event
from gm.models import flows
from gm.models.autoregressive import (
    FVSBN,
    MADE,
    NADE,
    CausalModel,
    DeepNADE,
    Ensemble,
    PixelModel,
)
from gm.models.classical import (
    BayesianNetwork,
    Bernstein,
    Empirical,
    FactorAnalysis,
    GaussianCopula,
    HiddenMarkovModel,
    Histogram,
    Independent,
    IntervalNearestNeighbors,
    KernelDensity,
    Mixture,
    bandwidths,
    bins,
    coin,
    components,
    full_table,
    graphs,
    kernels,
    probabilistic_pca,
    product_of_marginals,
)
from gm.models.flows import Flow, Standard
from gm.models.implicit import Critic, Generator
from gm.models.latent import (
    RBM,
    VAE,
    VQVAE,
    Codebook,
    FiniteScalar,
    LadderVAE,
    LatentDirichletAllocation,
    Rung,
    VampPrior,
    WithPrior,
    posteriors,
    sigmoid_belief_network,
)
from gm.networks import (
    GRU,
    LSTM,
    MLP,
    ConvDecoder,
    ConvEncoder,
    DiagonalBiLSTM,
    GatedPixelCNN,
    PixelCNN,
    PixelCNNPlusPlus,
    PixelRNN,
    PixelSNAIL,
    RecurrentNetwork,
    RowLSTM,
    Transformer,
    WaveNet,
)
from tests.models import tenants

BITS = Event((5,), 2)
TRITS = Event((2, 2), 3)
TEXT = Event((4,), 3)
LINE = Event(())
PLANE = Event((2,))
SQUARE = Event((3, 3), 2)
COLOURS = Event((2, 2, 2), 2)


def binary_vae(outputs=4, latent_dim=2, posterior=None):
    encoder, decoder = MLP((8,), (outputs,), input_ndim=2), MLP((8,), (5, 1))
    head = dist.BernoulliHead()
    return VAE(BITS, head, encoder, decoder, latent_dim=latent_dim, posterior=posterior)


def ladder(**options):
    low = Rung((1,), MLP((), (6,), input_ndim=2), MLP((), (1, 2)), MLP((4,), (5, 1)))
    top = Rung((1,), MLP((4,), (6,)), MLP((), (1, 2)), MLP((4,), (1, 2)))
    return LadderVAE(BITS, dist.BernoulliHead(), (low, top), **options)


ROWS = {
    "MADE two layers, an order": MADE(
        BITS, dist.BernoulliHead(), hidden=(7, 12), order=(3, 0, 4, 1, 2), direct=False
    ),
    "MADE mixture of Normals": MADE(PLANE, dist.MixtureOfNormalsHead(3), hidden=(16,)),
    "FVSBN Categorical, given a vector": FVSBN(TRITS, dist.CategoricalHead(3), context=Event((2,))),
    "NADE": NADE(BITS, dist.BernoulliHead(), 7, order=(3, 0, 4, 1, 2)),
    "deep NADE": DeepNADE(BITS, dist.BernoulliHead(), (7, 6), order=(3, 0, 4, 1, 2)),
    "Gated PixelCNN, class-conditional": CausalModel(
        SQUARE,
        dist.BernoulliHead(),
        GatedPixelCNN(channels=3, num_layers=2, first_size=3, head_channels=4),
        Event((), 3),
    ),
    "coin": coin(),
    "mixture of Gaussians": Mixture(PLANE, 2, components.Gaussians(2)),
    "mixture of Bernoullis": Mixture(BITS, 2, components.Bernoullis(5)),
    "factor analysis": FactorAnalysis(PLANE, 1),
    "histogram": Histogram(LINE),
    "kernel density": KernelDensity(PLANE),
    "Bernstein polynomial": Bernstein(LINE, 6, -4.0, 4.0),
    "empirical distribution": Empirical(BITS),
    "Bayesian network, an order": BayesianNetwork(TRITS, ((3,), (0, 3), (1,), ())),
    "WaveNet Categorical": CausalModel(
        TRITS, dist.CategoricalHead(3), WaveNet(channels=6, skip_channels=5, dilations=(1, 2, 1))
    ),
    "Transformer": CausalModel(
        TEXT, dist.CategoricalHead(3), Transformer(width=8, num_layers=2, num_heads=2)
    ),
    "LSTM": CausalModel(TEXT, dist.CategoricalHead(3), RecurrentNetwork(cell=LSTM, widths=(5, 4))),
    "VAE Bernoulli": VAE(
        BITS,
        dist.BernoulliHead(),
        MLP((8,), (4,), input_ndim=2),
        MLP((8,), (5, 1)),
        latent_dim=2,
    ),
    "VAE, VampPrior": VampPrior(binary_vae(2, 1), 3),
    "ladder VAE": ladder(),
    "VQ-VAE": VQVAE(
        BITS,
        dist.BernoulliHead(),
        MLP((), (2, 2), input_ndim=2),
        MLP((8,), (5, 1), input_ndim=2),
        Codebook(3, 2),
        (2,),
        MADE(Event((2,), 3), dist.CategoricalHead(3), hidden=(5,)),
    ),
    "VAE of two layers": tenants.TwoLayers(),
    "VAE of discrete latents": tenants.Discrete(),
    "dequantized flow": tenants.Dequantized(),
    "affine flow": Flow(PLANE, Standard(PLANE), Affine(PLANE, "triangular")),
    "MAF": flows.maf(PLANE, 2, hidden=(8,)),
    "Generator": Generator(PLANE, MLP((8,), (2,)), latent_dim=3),
    "Critic": Critic(PLANE, MLP((8,), ())),
    "Critic of two parts": Critic((PLANE, TEXT), MLP((8,), ())),
}

MATRIX = {
    "MADE, three orders": Ensemble(MADE(BITS, dist.BernoulliHead(), (6,), mask_seed=0), 3),
    "VAE, class-conditional": VAE(
        TRITS,
        dist.CategoricalHead(3),
        MLP((4,), (2,), input_ndim=3),
        MLP((4,), (2, 2, 3)),
        latent_dim=1,
        context=Event((), 3),
    ),
    "RNADE mixture of Laplaces": NADE(
        PLANE, dist.MixtureOfLaplacesHead(2), 8, rescaled=True, order=(1, 0)
    ),
    "LDA": LatentDirichletAllocation(Event((3,), 3), 2, concentration=0.8),
    "Diagonal BiLSTM, class-conditional": CausalModel(
        SQUARE,
        dist.BernoulliHead(),
        PixelRNN(layer=DiagonalBiLSTM, channels=3, num_layers=2, first_size=3, head_channels=4),
        Event((), 2),
    ),
    "VAE, inverse autoregressive posterior": binary_vae(
        7, posterior=posteriors.inverse_autoregressive(2, 3, hidden=(6,))
    ),
    "VAE, prior of a flow": WithPrior(binary_vae(), flows.maf(PLANE, 1, hidden=(6,))),
    "RBM": RBM(BITS, 3),
    "sigmoid belief network of two layers": sigmoid_belief_network(BITS, (2, 2)),
    "VAE, posterior of full covariance": binary_vae(7, posterior=posteriors.full_covariance(2, 3)),
    "VAE, planar posterior": binary_vae(7, posterior=posteriors.planar(2, 3, 2)),
    "VAE, Sylvester posterior": binary_vae(7, posterior=posteriors.sylvester(2, 3, 1, 2)),
    "VAE, prior of a mixture": WithPrior(
        binary_vae(), Mixture(PLANE, 3, components.DiagonalGaussians(2))
    ),
    "VAE, autoregressive prior": WithPrior(
        binary_vae(), MADE(PLANE, dist.MixtureOfNormalsHead(2), hidden=(6,))
    ),
    "ladder VAE, steps from the prior": ladder(relative=True),
    "RBM of many hidden bits": RBM(BITS, 7),
    "VQ-VAE, finite scalar quantization": VQVAE(
        BITS,
        dist.BernoulliHead(),
        MLP((), (2, 2), input_ndim=2),
        MLP((8,), (5, 1), input_ndim=2),
        FiniteScalar((3, 2)),
        (2,),
    ),
    "VAE of a cluster and a place in it": tenants.Mixed(),
    "spline couplings, class-conditional": flows.spline_coupling(
        PLANE, 2, num_bins=4, hidden=(8,), context=Event((), 3)
    ),
    "kernel density, edges": KernelDensity(
        LINE, bandwidths.improved_sheather_jones, kernels.epanechnikov(), (-1.0, jnp.inf)
    ),
    "nearest neighbours on an interval": IntervalNearestNeighbors(LINE, 5, -4.0, 4.0),
    "hidden Markov model": HiddenMarkovModel(Event((3,), 3), 2, components.Categoricals(3)),
    "PixelCNN": CausalModel(
        SQUARE,
        dist.BernoulliHead(),
        PixelCNN(channels=6, num_layers=2, first_size=5, head_channels=6),
    ),
    "Row LSTM": CausalModel(
        SQUARE,
        dist.BernoulliHead(),
        PixelRNN(layer=RowLSTM, channels=3, num_layers=2, first_size=3, head_channels=4),
    ),
    "VAE Categorical, convolutional": VAE(
        TRITS,
        dist.CategoricalHead(3),
        ConvEncoder((4,), (2,)),
        ConvDecoder((4,), (2, 2, 3)),
        latent_dim=1,
    ),
    "VAE of two layers, five dimensions": tenants.TwoLayers(3, 2),
    "PixelCNN++": PixelModel(
        Event((2, 2), 3), PixelCNNPlusPlus(channels=1, num_blocks=1, num_levels=1), 1
    ),
    "PixelSNAIL": PixelModel(
        Event((2, 2), 3),
        PixelSNAIL(channels=2, num_blocks=1, num_layers=1, key_channels=1, value_channels=2),
        1,
    ),
    "MADE Bernoulli": MADE(BITS, dist.BernoulliHead(), hidden=(16,)),
    "MADE units where the data varies": MADE(
        BITS, dist.BernoulliHead(), hidden=(6,), degrees=((0, 1, 1, 1, 1, 3),)
    ),
    "MADE Categorical": MADE(TRITS, dist.CategoricalHead(3), hidden=(12,), order=(2, 0, 3, 1)),
    "MADE with a mask_seed, class-conditional": MADE(
        BITS, dist.BernoulliHead(), hidden=(7, 6), mask_seed=1, context=Event((), 3)
    ),
    "MADE, three masks": Ensemble(
        MADE(BITS, dist.BernoulliHead(), hidden=(12,), mask_seed=0, random_order=False), 3
    ),
    "FVSBN": FVSBN(BITS, dist.BernoulliHead(), order=(3, 0, 4, 1, 2)),
    "NADE Categorical, class-conditional": NADE(
        TRITS, dist.CategoricalHead(3), 6, context=Event((), 4)
    ),
    "RNADE mixture of Normals": NADE(
        PLANE, dist.MixtureOfNormalsHead(2), 8, activation=jax.nn.relu, rescaled=True
    ),
    "RNADE mixture of Logistics": NADE(PLANE, dist.MixtureOfLogisticsHead(2), 8, rescaled=True),
    "EoNADE, three orders": Ensemble(DeepNADE(BITS, dist.BernoulliHead(), (7,), mask_seed=0), 3),
    "EoNADE, class-conditional": Ensemble(
        DeepNADE(TRITS, dist.CategoricalHead(3), (7,), mask_seed=0, context=Event((), 2)), 2
    ),
    "PixelCNN in colour, given a vector": CausalModel(
        COLOURS,
        dist.BernoulliHead(),
        PixelCNN(channels=3, num_layers=1, first_size=3, head_channels=4),
        Event((2,)),
    ),
    "Gated PixelCNN in colour": CausalModel(
        COLOURS,
        dist.BernoulliHead(),
        GatedPixelCNN(channels=3, num_layers=2, first_size=3, head_channels=4),
    ),
    "PixelCNN++ in colour, class-conditional": PixelModel(
        Event((2, 1, 3), 3),
        PixelCNNPlusPlus(channels=2, num_blocks=1, num_levels=2),
        2,
        Event((), 3),
    ),
    "PixelSNAIL in colour, given a vector": PixelModel(
        Event((2, 1, 3), 3),
        PixelSNAIL(channels=3, num_blocks=1, num_layers=1, key_channels=2, value_channels=3),
        2,
        Event((2,)),
    ),
    "probabilistic PCA": probabilistic_pca(PLANE, 1),
    "mixture of Categoricals": Mixture(TRITS, 2, components.Categoricals(3, 4)),
    "hidden Markov model of Gaussians": HiddenMarkovModel(
        PLANE, 2, components.DiagonalGaussians(1)
    ),
    "hidden Markov model of bits, an associative scan": HiddenMarkovModel(
        Event((3, 2), 2), 3, components.Bernoullis(2), parallel=True
    ),
    "histogram by Bayesian blocks": Histogram(Event((1,)), bins.bayesian_blocks),
    "kernel density of neighbours": KernelDensity(PLANE, bandwidths.NearestNeighbors(10)),
    "kernel density, adaptive, on an interval": KernelDensity(
        LINE, kernel=kernels.biweight(), support=(-2.0, 2.0), adaptive=0.5
    ),
    "Gaussian copula": GaussianCopula(PLANE, KernelDensity(LINE)),
    "independent Bernstein polynomials": Independent(PLANE, Bernstein(LINE, 3, -4.0, 4.0)),
    "product of marginals": product_of_marginals(TRITS),
    "Markov chain of order two": BayesianNetwork(BITS, graphs.chain(5, 2)),
    "full table": full_table(BITS),
    "affine flow, full, of logistic noise": Flow(
        PLANE, Standard(PLANE, dist.Logistic), Affine(PLANE, "full")
    ),
    "NICE": flows.nice(PLANE, 4, hidden=(8,)),
    "RealNVP": flows.realnvp(PLANE, 4, hidden=(8,), context=Event((2,))),
    "IAF, class-conditional": flows.iaf(PLANE, 1, hidden=(8,), context=Event((), 3)),
    "autoregressive splines": flows.spline_maf(PLANE, 2, num_bins=4, hidden=(8,)),
    "NAF": flows.naf(PLANE, 1, num_units=3, hidden=(8,)),
    "WaveNet Bernoulli, class-conditional": CausalModel(
        BITS,
        dist.BernoulliHead(),
        WaveNet(channels=6, skip_channels=5, dilations=(1, 2)),
        Event((), 3),
    ),
    "WaveNet given a part of a context for each element": CausalModel(
        TRITS,
        dist.CategoricalHead(3),
        WaveNet(channels=6, skip_channels=5, dilations=(1, 2), local=True),
        Event((*TRITS.shape, 2)),
    ),
    "Transformer, class-conditional": CausalModel(
        TEXT,
        dist.CategoricalHead(3),
        Transformer(width=8, num_layers=1, num_heads=2),
        Event((), 3),
    ),
    "GRU, given a vector": CausalModel(
        TEXT, dist.CategoricalHead(3), RecurrentNetwork(cell=GRU, widths=(5, 4)), Event((2,))
    ),
    "VAE, convolutional, given a vector": VAE(
        TRITS,
        dist.CategoricalHead(3),
        ConvEncoder((4,), (2,)),
        ConvDecoder((4,), (2, 2, 3)),
        latent_dim=1,
        context=Event((2,)),
    ),
    "Generator, class-conditional": Generator(PLANE, MLP((8,), (2,)), 3, Event((), 3)),
    "Critic, class-conditional": Critic(PLANE, MLP((8,), ()), context=Event((), 3)),
    "Critic of pairs": Critic(PLANE, MLP((8,), (), input_ndim=2), pack=2),
}

MODELS = ROWS | MATRIX


@pytest.mark.parametrize(
    "name", [*ROWS, *(pytest.param(name, marks=pytest.mark.matrix) for name in MATRIX)]
)
def test_model_keeps_every_law(name):
    verdicts = laws.check(MODELS[name], jax.random.key(1))
    assert all(verdict.startswith("holds") for verdict in verdicts.values()), verdicts
