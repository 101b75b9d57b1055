"""What each command of gm can be told, and its `--help`: answered before JAX is imported."""

from __future__ import annotations

import argparse
import pathlib

LAWS = """\
Holds models to the laws that their capabilities call for, and says how long that took.

WHAT is FILE.py, FILE.py:NAME or MODULE:NAME. NAME is a model, a table {name: model}, or a function
of no arguments that gives either; MODELS where nothing is said. Without WHAT it is the project's
own table, in a checkout. Take small models: many laws sum over all states or integrate over x. The
exit status is 0 where no law is broken, 1 where one is, 2 where there is nothing to check.

    gm laws gm.models.classical:coin
"""
INSPECT = """\
The state of a run's folder.

Says which checkpoints are intact, what the newest of them holds and what is wrong with the others,
how the last process ended, how to resume, and how to replay a step that was not finite. Reads every
byte of every checkpoint and changes nothing. The exit status is 0 where all is intact, 1 where a
checkpoint is damaged or a file broken, 2 where there is no checkpoint to resume from.
"""
HOSTS = """\
The same script on several hosts, under `jax.distributed`.

    python -m gm.train.hosts [--coordinator ADDRESS:PORT --num-hosts N --host I] SCRIPT [ARGS...]
    python -m gm.train.hosts --local 2 SCRIPT [ARGS...]        # two processes of this machine

`gm hosts` is the same, by the `gm` of whichever environment comes first in PATH.

Start one process on every host (on GPU clusters, one for each GPU), with the same code, the same
arguments and a folder that all of them see. Each reads its own part of each batch; host 0 writes.
Without flags the hosts find each other as JAX finds them:

SLURM, one task for each GPU:

    #SBATCH --nodes=2 --ntasks-per-node=8 --gpus-per-node=8 --signal=TERM@120 --requeue
    srun python -m gm.train.hosts experiments/autoregressive/made.py --folder $SCRATCH/made

A TPU pod slice, from anywhere:

    gcloud compute tpus tpu-vm ssh NAME --worker=all \\
        --command="cd gm && python -m gm.train.hosts SCRIPT --folder /shared/made"

Kubernetes, an Indexed Job with a headless service (or a JobSet), in each container:

    python -m gm.train.hosts --coordinator $JOB-0.$SERVICE:1234 --num-hosts $N \\
        --host $JOB_COMPLETION_INDEX experiments/autoregressive/made.py --folder /shared/made

Two machines by hand: the same with `--coordinator 10.0.0.1:1234 --num-hosts 2 --host 0` on the
first, at whose address the others meet, and `--host 1` on the second. `JAX_COORDINATOR_ADDRESS`,
`JAX_NUM_PROCESSES` and `JAX_PROCESS_ID` say the same.

SIGTERM, SIGINT, SIGUSR1 or SIGHUP at any host stops all of them after the same step, with a
checkpoint. When a host is lost, the others cannot go on: they end with an error that says so,
within half a minute. Starting all hosts again with the same command resumes, on any number of
hosts.
"""
RESULTS = """\
One line of truth per experiment, `result.json`, and the table made of them.

    gm results experiments/results experiments/README.md [--check]

writes the table of every result file under the first path between the markers
`<!-- results:begin -->` and `<!-- results:end -->` of the second; with `--check` it writes nothing
and exits 1 where the table is stale. `python -m gm.metrics.results` does the same.
"""


def laws(name: str) -> argparse.ArgumentParser:
    """`gm laws`"""
    parser = _parser(name, LAWS)
    parser.add_argument("what", nargs="*", metavar="WHAT", help="models; see above")
    parser.add_argument("--seed", type=int, default=0, help="for parameters, points and samples")
    return parser


def inspect(name: str) -> argparse.ArgumentParser:
    """`gm inspect`"""
    parser = _parser(name, INSPECT)
    parser.add_argument("folder", nargs="+", type=pathlib.Path, help="of a run")
    return parser


def hosts(name: str) -> argparse.ArgumentParser:
    """`gm hosts`"""
    parser = _parser(name, HOSTS)
    parser.add_argument("--coordinator", help="address:port of host 0")
    parser.add_argument("--num-hosts", type=int, help="how many processes there are")
    parser.add_argument("--host", type=int, help="which of them this is, from 0")
    parser.add_argument("--local", type=int, help="start so many processes on this machine")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-m", dest="module", action="store_true", help="SCRIPT names a module")
    parser.add_argument("script", nargs=argparse.REMAINDER, help="and its arguments")
    return parser


def results(name: str) -> argparse.ArgumentParser:
    """`gm results`"""
    parser = _parser(name, RESULTS)
    parser.add_argument("folder", type=pathlib.Path, help="holds result files, at any depth")
    parser.add_argument("page", type=pathlib.Path, help="the Markdown page with the two markers")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    return parser


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    teach = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(name, description=description, formatter_class=teach)
