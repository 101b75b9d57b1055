r"""Richer posteriors: bijections of z that an encoder's Normal is moved by, given a context h(x).

    q(z | x) = pushforward of N(m(x), diag s(x)^2) through f(. ; h(x))

Each function returns f, the field `posterior` of a `VAE`, whose encoder has 2K + E outputs: mean,
raw scale and h. They start near the identity, so that training starts from the diagonal Normal;
the autoregressive one starts as a diagonal affine map of z that h gives, so from a diagonal Normal
too. A sample and its density cost one evaluation of f. Rezende & Mohamed (2015), arXiv:1505.05770.

    VAE(event, head, MLP((200,), (2 * 50 + 32,), 3), decoder, latent_dim=50,
        posterior=posteriors.inverse_autoregressive(50, 32))
"""

from __future__ import annotations

from gm.bijections import (
    Affine,
    Amortized,
    Chain,
    Inverse,
    MaskedAutoregressive,
    Planar,
    Sylvester,
    transformers,
)
from gm.core import Event
from gm.networks import MLP

MODERATE = transformers.Affine(2.0)  # scales of a layer between 1/7 and 7


def full_covariance(latent_dim: int, context_dim: int) -> Amortized:
    """q(z | x) = N(m, L L^T): a lower triangular L with a positive diagonal, linear in h.

    Kingma & Welling (2019), arXiv:1906.02691, section 2.5.1.

    Args:
      latent_dim: K; there are K (K - 1) / 2 covariances.
      context_dim: E, the size of h.
    """
    return _amortized(Affine(Event((latent_dim,)), "triangular"), context_dim)


def planar(latent_dim: int, context_dim: int, num_layers: int = 10) -> Chain:
    """Planar flows with directions linear in h: Rezende & Mohamed (2015), section 4.1.

    Args:
      latent_dim, context_dim: K and E.
      num_layers: planar maps, each of rank one.
    """
    layers = [_amortized(Planar(Event((latent_dim,))), context_dim) for _ in range(num_layers)]
    return Chain(tuple(layers))


def sylvester(
    latent_dim: int, context_dim: int, num_layers: int = 4, num_units: int | None = None
) -> Chain:
    """Householder-Sylvester flows: van den Berg et al. (2018), arXiv:1803.05649, section 4.2.

    Args:
      latent_dim, context_dim: K and E.
      num_layers: Sylvester maps.
      num_units: M, the rank of each; K by default.
    """
    units = latent_dim if num_units is None else num_units
    layers = [
        _amortized(Sylvester(Event((latent_dim,)), units), context_dim) for _ in range(num_layers)
    ]
    return Chain(tuple(layers))


def inverse_autoregressive(
    latent_dim: int,
    context_dim: int,
    num_layers: int = 2,
    *,
    hidden: tuple[int, ...] = (200,),
    transformer: transformers.Transformer = MODERATE,
) -> Chain:
    """IAF: Kingma et al. (2016), arXiv:1606.04934; orders reversed from layer to layer.

    A sample costs one forward pass of a masked network for each layer; the density of a given z
    takes the K elements in turn. `transformers.Spline()` makes them spline flows (Durkan et al.,
    2019, arXiv:1906.04032). The paper's scales are sigmoids; here they lie between 1/7 and 7.

    Args:
      latent_dim, context_dim: K and E.
      num_layers: autoregressive maps.
      hidden: units in each hidden layer of each network.
      transformer: of every element.
    """
    layers = [
        Inverse(
            MaskedAutoregressive(
                Event((latent_dim,)),
                transformer,
                hidden,
                order=tuple(range(latent_dim))[:: -1 if i % 2 else 1],
                context_dim=context_dim,
            )
        )
        for i in range(num_layers)
    ]
    return Chain(tuple(layers))


def _amortized(bijection: Affine | Planar | Sylvester, context_dim: int) -> Amortized:
    """The bijection with parameters that are linear in the context."""
    return Amortized(bijection, context_dim, MLP((), (), output_scale=0.0))
