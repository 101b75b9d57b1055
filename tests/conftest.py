"""Every test sees eight CPU devices; warnings and rank promotion are errors."""

import gc
import os
from importlib import metadata

# Most of the time goes into compiling small programs that run once: LLVM need not polish them, nor
# cut them up for threads; and where an XLA still has its older code generator, that one is quicker.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 "
    "--xla_cpu_parallel_codegen_split_count=1"
    + " --xla_cpu_use_fusion_emitters=false"
    * metadata.version("jax").startswith("0.10."),
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hashlib
import pathlib
import platform

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def _cache() -> pathlib.Path:
    """Where compiled programs outlive a clone: one folder for each JAX release and processor."""
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    about = pathlib.Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else [platform.processor()]
    # What a program may use of a processor is in its flags; programs of another one may not run.
    names = ("model name", "flags", "Features")
    cpu = dict.fromkeys(line for line in lines if line.startswith(names) or not about.exists())
    key = hashlib.sha256("".join(cpu).encode()).hexdigest()[:12]
    return pathlib.Path(home) / "gm-tests" / f"jax-{jax.__version__}-{platform.machine()}-{key}"


gc.set_threshold(100_000, 50, 1000)  # traces make many objects, of which few are garbage
jax.config.update("jax_numpy_rank_promotion", "raise")
# Small programs too: the other worker, and the next run, need most of them.
jax.config.update("jax_compilation_cache_dir", str(_cache()))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)


@pytest.fixture
def random_params():
    """A function from `init` and its inputs to parameters without a zero; nothing is compiled."""

    def sample(init, *inputs, scale=0.5):
        generator = np.random.default_rng(0)
        shapes = jax.eval_shape(init, jax.random.key(0), *inputs)
        return jax.tree.map(
            lambda a: jnp.asarray(generator.normal(0.0, scale, a.shape), a.dtype), shapes
        )

    return sample


@pytest.fixture
def prepared():
    """A function that skips the calling test where a prepared TFDS data set is absent."""

    def name(dataset: str) -> str:
        folder = os.environ.get("TFDS_DATA_DIR", "")
        if not folder or not (pathlib.Path(folder) / dataset).exists():
            pytest.skip(f"needs {dataset} prepared under TFDS_DATA_DIR")
        return dataset

    return name
