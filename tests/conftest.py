"""Every test sees eight CPU devices; warnings and rank promotion are errors."""

import os

# Most of the time goes into compiling small programs that run once: LLVM need not polish them much.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=1"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import pathlib

import jax
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
jax.config.update("jax_numpy_rank_promotion", "raise")
# Small programs too: the other worker needs most of them.
jax.config.update("jax_compilation_cache_dir", str(ROOT / ".jax_cache"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)


@pytest.fixture
def prepared():
    """A function that skips the calling test where a prepared TFDS data set is absent."""

    def name(dataset: str) -> str:
        folder = os.environ.get("TFDS_DATA_DIR", "")
        if not folder or not (pathlib.Path(folder) / dataset).exists():
            pytest.skip(f"needs {dataset} prepared under TFDS_DATA_DIR")
        return dataset

    return name
