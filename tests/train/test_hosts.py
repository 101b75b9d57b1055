"""Several hosts, here two processes of one machine: the same run, stopped and lost together."""

import os
import re
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from gm import train
from gm.train import checkpoints, hosts

ENVIRONMENT = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
LAUNCH = [sys.executable, "-W", "error", "-m", "gm.train.hosts"]

TRAIN = """
import functools, sys, time
import jax, jax.numpy as jnp, numpy as np, optax
from gm import data, train

folder, num_steps, pause, fsdp = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]
x = np.random.default_rng(0).normal(size=(256, 3)).astype(np.float32)
few, many = (data.from_arrays(part, x[:8], x[:8]).train for part in (x[:56], x[56:]))
nested = data.zipped(few=few.batches(16), many=many.batches(24, seed=1))

def loss(params, key, batch):
    noise = jax.random.normal(key, (len(batch["few"]["x"]), 4))
    spread = jnp.mean((batch["many"]["x"] @ params["w"]) ** 2)
    return jnp.mean((batch["few"]["x"] @ params["w"] - noise) ** 2) + 0.1 * spread, {}

class Batches:
    def __init__(self, batches):
        self.batches, self.indices = batches, batches.indices
    def starting_at(self, step):
        for batch in self.batches.starting_at(step):
            time.sleep(pause)
            yield batch

optimizer = train.with_ema(optax.adam(0.1))
rule = functools.partial(train.fsdp, min_size=1) if fsdp else train.replicated
step = train.make_step(loss, optimizer, rule=rule)
state = train.init({"w": np.ones((3, 4), np.float32)}, optimizer, jax.random.key(0))
print("hosts", jax.process_count(), "devices", jax.device_count(), flush=True)
best = train.Best("w")
state = train.run(
    step, state, Batches(nested), num_steps, folder=folder, log_every=1,
    checkpoint_every=5, progress=False, best=best,
    evaluate=lambda s: {"w": s.params["w"].sum()}, evaluate_every=4,
    plot=lambda s, path: path.write_text("x"),
)
assert state.params["w"].is_fully_replicated == (not fsdp)
print("sha256", train.digest(train.local(state)), flush=True)
print("best", best.step, best.value, train.digest(best.params), flush=True)
"""


def launch(script, *arguments, flags=("--local", "2")):
    return subprocess.Popen(
        [*LAUNCH, *flags, str(script), *map(str, arguments)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(TRAIN)
    return path


def digests(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return re.findall(r"sha256 (\w+)", out)


@pytest.mark.matrix
def test_two_hosts_train_as_one_and_a_signal_to_one_stops_both(script, tmp_path):
    """Stopped by SIGINT to host 1 alone, resumed, equal to never stopped; equal to one host.

    On batches of two sizes, with parameters that all devices of both hosts share out.
    """
    pair = launch(script, tmp_path / "pair", 60, 0.1, "fsdp")
    saves = tmp_path / "pair" / "checkpoints"
    while pair.poll() is None and not [*saves.glob("0*")]:
        time.sleep(0.02)
    subprocess.run(["pkill", "-INT", "-f", f"worker.*--host 1 .*{tmp_path}/pair"], check=True)
    _, err = pair.communicate(timeout=60)
    assert pair.returncode == 130, err
    assert re.search(r"stopped by another host at step \d+ of 60.*To resume: .*--local 2", err)
    assert checkpoints.steps(tmp_path / "pair")[-1] < 60
    ends = []
    for folder in ("pair", "whole"):
        out, err = launch(script, tmp_path / folder, 60, 0.0, "fsdp").communicate(timeout=120)
        for word in ("sha256", "best"):  # the same on both hosts
            ends.append(set(re.findall(rf"{word} (.+)", out)))
            assert len(ends[-1]) == 1, err
    assert ends[:2] == ends[2:]
    rows = train.read_metrics(tmp_path / "whole")
    assert [row["step"] for row in rows] == list(range(1, 61))
    best = rows[-1]["best/step"], rows[-1]["best/w"]
    assert best[1] == min(row["eval/w"] for row in rows if "eval/w" in row)
    assert ends[3].pop().startswith("{} {} ".format(*best))

    one = launch(script, tmp_path / "one", 60, 0.0, flags=())
    assert len(digests(one)) == 1
    for a, b in zip(rows, train.read_metrics(tmp_path / "one"), strict=True):
        np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-4)  # another order of sums


@pytest.mark.slow
@pytest.mark.parametrize(("host", "rule"), [(0, ()), (1, ("fsdp",))])
def test_when_a_host_is_lost_the_other_says_so_and_the_pair_resumes(host, rule, script, tmp_path):
    pair = launch(script, tmp_path / "pair", 500, 0.01, *rule)
    while pair.poll() is None and not [*(tmp_path / "pair" / "checkpoints").glob("0*")]:
        time.sleep(0.02)
    subprocess.run(["pkill", "-KILL", "-f", f"worker.*--host {host} .*{tmp_path}/pair"], check=True)
    _, err = pair.communicate(timeout=90)
    assert pair.returncode != 0
    assert f"host {host} was ended by SIGKILL. The run is in its last checkpoint" in err
    assert f"host {1 - host} has lost another host" in err
    assert "To resume: " in err
    end = checkpoints.steps(tmp_path / "pair")[-1] + 3
    assert len(set(digests(launch(script, tmp_path / "pair", end, 0.0, *rule)))) == 1


def test_scripts_get_their_arguments_and_give_their_status(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import sys; print(sys.argv); sys.exit(int(sys.argv[1]))")
    for status in (0, 3):
        process = launch(script, status, "--flag", flags=())
        out, _ = process.communicate(timeout=60)
        assert process.returncode == status
        assert f"['{script}', '{status}', '--flag']" in out


@pytest.mark.slow
def test_an_error_on_one_host_ends_both_with_its_traceback(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import jax, numpy as np\n"
        "from gm import train\n"
        "from gm.train import sharding\n"
        "for n in range(10**6):\n"
        "    assert not np.asarray(sharding.any_host(False, train.data_mesh()))\n"
        "    if n == 5 and jax.process_index() == 1: raise KeyError('only here')\n"
    )
    pair = launch(script)
    _, err = pair.communicate(timeout=60)
    assert "KeyError: 'only here'" in err
    assert pair.returncode != 0


def test_joining_needs_all_three_or_none(monkeypatch):
    with pytest.raises(ValueError, match="coordinator, num_hosts and host together"):
        hosts.join("10.0.0.1:1234", 2)
    with pytest.raises(ValueError, match=r"host must be in \[0, 2\); got 2"):
        hosts.join("10.0.0.1:1234", 2, 2)
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    monkeypatch.setenv("JAX_PROCESS_ID", "5")
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "10.0.0.1:1234")
    with pytest.raises(ValueError, match=r"host must be in \[0, 2\); got 5"):
        hosts.join()
    hosts.join(num_hosts=1, host=0)  # alone


def test_errors_of_a_lost_host_are_told_from_others():
    gloo = jax.errors.JaxRuntimeError("UNKNOWN: Gloo all-reduce failed: Connection closed by peer")
    assert "host 0 has lost another host (UNKNOWN: Gloo" in hosts.explain(gloo)
    assert hosts.explain(jax.errors.JaxRuntimeError("out of memory")) is None
    assert hosts.explain(ValueError("Gloo")) is None


def test_the_launcher_teaches_and_wants_a_script(capsys):
    with pytest.raises(SystemExit):
        hosts.main([])
    assert "a script to run is missing" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        hosts.main(["--help"])
    assert "srun python -m gm.train.hosts" in capsys.readouterr().out


def test_a_collective_of_one_device_per_host_fails_with_a_value_error():
    gloo = "UNKNOWN: Gloo all-reduce failed: [pair.cc:547] Connection closed by peer [127.0.0.1]:1"
    assert "has lost another host" in hosts.explain(ValueError(gloo))
    assert hosts.explain(ValueError("Gloo")) is None


@pytest.mark.slow
@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_a_script_outside_of_run_ends_with_its_launcher(end, tmp_path):
    """SIGTERM reaches a script that does not handle it; a launcher that is killed leaves no one."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, pathlib, sys, time, jax\n"
        "pathlib.Path(sys.argv[1], f'pid{jax.process_index()}').write_text(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    launcher = subprocess.Popen(
        [sys.executable, "-m", "gm.train.hosts", "--local", "2", str(script), str(tmp_path)]
    )
    pids = [tmp_path / "pid0", tmp_path / "pid1"]
    while not all(pid.exists() and pid.read_text() for pid in pids):
        time.sleep(0.05)
    getattr(launcher, end)()
    status = launcher.wait(10)
    assert status == (143 if end == "terminate" else -9)
    deadline = time.monotonic() + 10
    while any(_alive(int(pid.read_text())) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _alive(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (ProcessLookupError, FileNotFoundError):
        return False
