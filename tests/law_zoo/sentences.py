"""The laws by short names, and the spaces of the zoo."""

from gm.core import Event

BITS, LINE, PLANE = Event((3,), 2), Event((1,)), Event((2,))

VALUE, SAMPLING = "a model is a value", "sampling is a function of its key"
GRADIENTS, SUM = "gradients reach every parameter", "a density sums to one"
FOLLOW, PROCESS = "samples follow the density", "samples follow the generative process"
CAUSAL, FACES = (
    "no element sees itself or a later one",
    "incremental sampling agrees with the forward pass",
)
SIZES = "a bijection keeps the number of elements"
INVERSE, JACOBIAN = "a bijection inverts itself", "log_det is the Jacobian's"
CONDITIONALS, BOUNDS = "log p is the sum of conditionals", "elbo <= iwae <= log p(x)"
BOUND = "a lower bound sums to at most one"
LIKELIHOOD = "p(x | z) sums to one"
FITTED = "a fit follows its data"
