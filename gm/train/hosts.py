"""The same script on several hosts, under `jax.distributed`: the command `gm hosts`.

`commands.HOSTS` says how it is started on clusters, on pods and by hand.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import runpy
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from typing import Any

import jax

from gm import commands
from gm.train import stopping

HEARTBEAT_SECONDS = 20  # a host without a heartbeat for this long is lost
GRACE_SECONDS = 40.0  # time for hosts of this machine to end by themselves after one has failed
END_SECONDS = 7 * 24 * 3600  # time that a finished host waits for one that still evaluates
SIGNS = re.compile(
    r"Gloo .* failed|NCCL|coordination|Socket closed|closed by peer|heartbeat|UNAVAILABLE"
)


def join(
    coordinator: str | None = None, num_hosts: int | None = None, host: int | None = None
) -> None:
    """Makes this process one of several; call it before any other use of JAX.

    The default arguments are `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID`,
    or are detected by JAX: SLURM, Open MPI, Kubernetes, TPU pods. It does nothing without a
    cluster, or on a second call.

    Args:
      coordinator: "address:port" of host 0.
      num_hosts: the number of processes.
      host: the index of this process, from 0.

    Raises:
      ValueError: some of the three are missing, or host is not in [0, num_hosts).
    """
    environment = os.environ.get
    num_hosts = _number(num_hosts, environment("JAX_NUM_PROCESSES"))
    host = _number(host, environment("JAX_PROCESS_ID"))
    if coordinator or num_hosts is not None or host is not None:
        coordinator = coordinator or environment("JAX_COORDINATOR_ADDRESS")
    given = {"coordinator": coordinator, "num_hosts": num_hosts, "host": host}
    missing = [name for name, value in given.items() if value is None]
    if 0 < len(missing) < 3:
        raise ValueError(f"hosts need coordinator, num_hosts and host together; got {given}.")
    if not missing and not 0 <= host < num_hosts:
        raise ValueError(f"host must be in [0, {num_hosts}); got {host}.")
    if num_hosts == 1 or jax.distributed.is_initialized():
        return
    # JAX's own handler would ignore SIGTERM if Python has no handler.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            num_hosts,
            host,
            # With explicit arguments, cluster detection must not assign one device per process.
            cluster_detection_method=None if missing else "deactivate",
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=END_SECONDS,  # a host that ends later makes all of them fail
        )
    except ValueError as error:
        if not missing or "coordinator_address" not in str(error):
            raise


def _number(given: int | None, text: str | None) -> int | None:
    return int(text) if given is None and text is not None else given


def explain(error: BaseException) -> str | None:
    """The message for an error caused by the loss of another host; None for other errors."""
    text = str(error)  # a collective fails with ValueError if each host has one device
    if not isinstance(error, (jax.errors.JaxRuntimeError, ValueError)) or not SIGNS.search(text):
        return None
    return (
        f"host {jax.process_index()} has lost another host ({text.splitlines()[0]}). The run is in "
        "its last checkpoint; start all hosts again."
    )


def work(options: argparse.Namespace) -> int:
    """Joins the other hosts, runs the script, and exits without waiting for a lost host."""
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    join(options.coordinator, options.num_hosts, options.host)
    target, *arguments = options.script
    sys.argv = [target, *arguments]
    try:
        if options.module:
            runpy.run_module(target, run_name="__main__", alter_sys=True)
        else:
            sys.path[0] = os.path.dirname(os.path.abspath(target))
            runpy.run_path(target, run_name="__main__")
        status: Any = 0
    except SystemExit as stop:
        status = stop.code
    except BaseException:
        traceback.print_exc()
        status = 1
    if status is not None and not isinstance(status, int):  # like Python with sys.exit("...")
        print(status, file=sys.stderr)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    if status not in (0, stopping.INTERRUPTED):
        os._exit(status)  # exit handlers would wait for all hosts
    if jax.distributed.is_initialized():
        jax.distributed.shutdown()
    return status


def _follow(launcher: int) -> None:
    """Sends SIGTERM to this process when its launcher has ended."""
    while os.getppid() == launcher:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)


class Watch:
    """Watches the processes of this machine, and reports when one of them is lost."""

    def __init__(self, lines: Sequence[Sequence[str]], names: Sequence[str]) -> None:
        self.names, self.processes = names, []
        for number in stopping.numbers():
            signal.signal(number, self.forward)
        environment = {**os.environ, "GM_COMMAND": shlex.join(sys.orig_argv)}
        for line in lines:
            # In separate sessions, so that Ctrl-C reaches them only once, through this process.
            self.processes.append(subprocess.Popen(line, env=environment, start_new_session=True))

    def forward(self, number: int, frame: Any) -> None:
        """Forwards a signal to every process."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    def wait(self) -> int:
        """Waits for all processes; after one has failed, the others get time to end."""
        deadline = float("inf")
        while any(process.poll() is None for process in self.processes):
            if any(process.poll() for process in self.processes):
                deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
            if time.monotonic() > deadline:
                self.forward(signal.SIGKILL, None)
            time.sleep(0.05)
        codes = [process.returncode for process in self.processes]
        for name, code in zip(self.names, codes, strict=True):
            if code < 0:
                self.say(name, -code)
        worst = next((code for code in codes if code), 0)
        return 128 - worst if worst < 0 else worst

    def say(self, name: str, number: int) -> None:
        """Prints how a process ended that a signal has killed."""
        ended = f"{name} was ended by {signal.Signals(number).name}"
        if number == signal.SIGABRT:
            ended = f"{name} has lost another host, and ended"
        print(
            f"{ended}. The run is in its last checkpoint; start all hosts again. To resume: "
            f"{shlex.join(sys.orig_argv)}",
            file=sys.stderr,
            flush=True,
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main(arguments: Sequence[str] | None = None, name: str = "python -m gm.train.hosts") -> int:
    """The launcher: starts and watches one or several worker processes."""
    parser = commands.hosts(name)
    options = parser.parse_args(arguments)
    if not options.script:
        parser.error("a script to run is missing")
    if options.worker:
        return work(options)
    same = [*(["-m"] if options.module else []), *options.script]
    worker = [sys.executable, *_interpreter_flags(), "-m", "gm.train.hosts", "--worker"]
    if options.local:
        meet = ("--coordinator", f"127.0.0.1:{_free_port()}", "--num-hosts", str(options.local))
        hosts = range(options.local)
        lines = [[*worker, *meet, "--host", str(i), *same] for i in hosts]
        return Watch(lines, [f"host {i}" for i in hosts]).wait()
    flags = {
        "coordinator": options.coordinator,
        "num-hosts": options.num_hosts,
        "host": options.host,
    }
    meet = [str(x) for k, v in flags.items() if v is not None for x in (f"--{k}", v)]
    this = "this host" if options.host is None else f"host {options.host}"
    return Watch([[*worker, *meet, *same]], [this]).wait()


def _interpreter_flags() -> list[str]:
    """The flags of this interpreter before -m or the script, such as -u and -W."""
    line = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv[1:])]
    return line[:-2] if line[-2:-1] == ["-m"] else line[:-1]


if __name__ == "__main__":
    raise SystemExit(main())
