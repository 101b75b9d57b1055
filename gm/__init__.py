"""Deep generative models in JAX: a generative-model algorithm = a model + a learning principle.

Models are frozen dataclasses of pure functions of one example; learning principles are pure loss
functions; `jit` and `vmap` compose them, and one data-parallel loop trains them. Import modules,
not names: `from gm.losses import variational`, then `variational.negative_elbo`.
"""
