"""Argument parsers and help texts of gm's commands, without an import of JAX."""

from __future__ import annotations

import argparse
import pathlib

LAWS = """\
Checks the laws that apply to models, and prints one line with the time for each model.

WHAT is FILE.py, FILE.py:NAME or MODULE:NAME. NAME is a model, a table {name: model}, or a function
without arguments that returns either; the default is MODELS. Without WHAT, in a checkout, the
project's own table is checked. Use small models: many laws sum over all states or integrate over x.
The exit status is 0 if no law is broken, 1 if one is, 2 if there is nothing to check.

    gm laws gm.models.classical:coin
"""
INSPECT = """\
Reports the state of a run's folder.

It shows which checkpoints are intact, the arrays of the newest and the damage of the others, how
the last process ended, how to resume, and how to replay a step that was not finite. It reads every
byte of every checkpoint and changes nothing. The exit status is 0 if all is intact, 1 if a
checkpoint or another file is damaged, 2 if there is no checkpoint to resume from.
"""
HOSTS = """\
Runs the same script on several hosts, under `jax.distributed`.

    python -m gm.train.hosts [--coordinator ADDRESS:PORT --num-hosts N --host I] SCRIPT [ARGS...]
    python -m gm.train.hosts --local 2 SCRIPT [ARGS...]        # two processes of this machine

`gm hosts` is the same command, from the first environment in PATH.

Start one process on every host (on GPU clusters, one per GPU), with the same code, the same
arguments and a shared folder. Each reads its own part of each batch, and host 0 writes. Without
flags the hosts find each other by JAX's cluster detection:

SLURM, one task for each GPU:

    #SBATCH --nodes=2 --ntasks-per-node=8 --gpus-per-node=8 --signal=TERM@120 --requeue
    srun python -m gm.train.hosts experiments/autoregressive/made.py --folder $SCRATCH/made

A TPU pod slice, from anywhere:

    gcloud compute tpus tpu-vm ssh NAME --worker=all \\
        --command="cd gm && python -m gm.train.hosts SCRIPT --folder /shared/made"

Kubernetes, an Indexed Job with a headless service (or a JobSet), in each container:

    python -m gm.train.hosts --coordinator $JOB-0.$SERVICE:1234 --num-hosts $N \\
        --host $JOB_COMPLETION_INDEX experiments/autoregressive/made.py --folder /shared/made

Two machines by hand: add `--coordinator 10.0.0.1:1234 --num-hosts 2 --host 0` on the first, whose
address this is, and the same with `--host 1` on the second. The environment variables
`JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID` have the same effect.

SIGTERM, SIGINT, SIGUSR1 or SIGHUP at any host stops all of them after the same step, with a
checkpoint. When a host is lost, the others cannot continue and end with an error within half a
minute. Start all hosts again with the same command to resume, on any number of hosts.
"""
RESULTS = """\
Generates the table of results from the `result.json` files of experiments.

    gm results experiments/results experiments/README.md [--check]

writes a table of all result files in the first path between the markers
`<!-- results:begin -->` and `<!-- results:end -->` of the second. With `--check` it writes nothing
and exits with 1 if the table is out of date. `python -m gm.metrics.results` does the same.
"""


def laws(name: str) -> argparse.ArgumentParser:
    """`gm laws`"""
    parser = _parser(name, LAWS)
    parser.add_argument("what", nargs="*", metavar="WHAT", help="models; see above")
    parser.add_argument("--seed", type=int, default=0, help="seed of params, points and samples")
    return parser


def inspect(name: str) -> argparse.ArgumentParser:
    """`gm inspect`"""
    parser = _parser(name, INSPECT)
    parser.add_argument("folder", nargs="+", type=pathlib.Path, help="folder of a run")
    return parser


def hosts(name: str) -> argparse.ArgumentParser:
    """`gm hosts`"""
    parser = _parser(name, HOSTS)
    parser.add_argument("--coordinator", help="address:port of host 0")
    parser.add_argument("--num-hosts", type=int, help="number of processes")
    parser.add_argument("--host", type=int, help="index of this process, from 0")
    parser.add_argument("--local", type=int, help="number of processes to start on this machine")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-m", dest="module", action="store_true", help="SCRIPT names a module")
    parser.add_argument("script", nargs=argparse.REMAINDER, help="script and its arguments")
    return parser


def results(name: str) -> argparse.ArgumentParser:
    """`gm results`"""
    parser = _parser(name, RESULTS)
    parser.add_argument("folder", type=pathlib.Path, help="folder of result files, at any depth")
    parser.add_argument("page", type=pathlib.Path, help="Markdown page with the two markers")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    return parser


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    teach = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(name, description=description, formatter_class=teach)
