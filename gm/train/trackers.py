"""Trackers of the rows of a run: TensorBoard, or any function of a row.

    board = wandb.init(project="made", id="made-1", resume="allow")
    state = train.run(..., on_row=lambda row: board.log(row, step=row["step"]))
    board.finish()

A tracker cannot disturb the run: it runs on a separate thread with a bounded queue of rows, and one
that fails or blocks gets no more rows, which is reported in one line. An object with `close()` is
closed after its last row. A run that resumes from a checkpoint repeats the rows after it.
TensorBoard also gets the pictures of `run(..., plot=)`.
"""

from __future__ import annotations

import functools
import importlib.util
import pathlib
import queue
import struct
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

Tracker = Callable[[Mapping[str, Any]], Any]  # a function of a row, {"step": 100, "loss": 0.5, ...}

PENDING = 4096  # the largest number of queued rows
PATIENCE_SECONDS = 1.0  # timeout if the queue is full
END_SECONDS = 5.0  # timeout for the remaining rows at the end
_CLOCK = ("step", "seconds", "compile_seconds", "device_gib")


class Follower:
    """Passes rows to a tracker, as long as it accepts them.

    Args:
      name: the name of the tracker in messages.
      make: makes the tracker, on its own thread. Its close(), if it has one, is called after the
        last row.
      say: prints a message.
      pictures: whether it also accepts {"step": 100, "samples": path of a PNG}.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Tracker],
        say: Callable[[str], None],
        pictures: bool = False,
    ) -> None:
        self.pictures = pictures
        self.name, self._make, self._say = name, make, say
        self._rows: queue.Queue[Mapping | None] = queue.Queue(PENDING)
        self._left = threading.Event()
        # A daemon thread, so that the process does not wait for it at exit.
        self._thread = threading.Thread(target=self._follow, name=f"gm {name}", daemon=True)
        self._thread.start()

    def __call__(self, row: Mapping[str, Any] | None) -> None:
        """Queues a row; None marks the end."""
        if not self._left.is_set():
            try:
                self._rows.put(row, timeout=PATIENCE_SECONDS)
            except queue.Full:
                self._leave(f"has {PENDING} queued rows and accepts none")

    def close(self) -> None:
        """Waits for the queued rows, for at most `END_SECONDS`."""
        self(None)
        if not self._left.is_set():
            self._thread.join(END_SECONDS)
            if self._thread.is_alive():
                self._leave(f"has not accepted its rows {END_SECONDS:g} s after the end")

    def _follow(self) -> None:
        try:
            tracker = self._make()
            try:
                while (row := self._rows.get()) is not None:
                    tracker(row)
            finally:
                getattr(tracker, "close", lambda: None)()
        except BaseException as error:  # SystemExit too, which must not end the run
            self._leave(f"has failed ({type(error).__name__}: {error!s:.200})")

    def _leave(self, why: str) -> None:
        """Passes no more rows."""
        if not self._left.is_set():
            self._left.set()
            self._say(f"{self.name} {why}: it gets no more rows. metrics.jsonl has all of them.")


class TensorBoard:
    """Writes rows as TensorBoard events; each member of an ensemble has its own chart.

    It uses only the file writer of tensorboardX, whose main writer passes events to a thread over a
    pipe and blocks for ever if that thread has died.

    Args:
      folder: the folder of the events.
      start: the step from which the run starts; later events are hidden.
    """

    def __init__(self, folder: pathlib.Path, start: int) -> None:
        from tensorboardX import event_file_writer, summary
        from tensorboardX.proto import event_pb2

        folder.mkdir(parents=True, exist_ok=True)
        self._event, self._scalar, self._summary = event_pb2.Event, summary.scalar, summary.Summary
        self._file = event_file_writer.EventsWriter(str(folder / "events"))
        if start:
            began = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._write(start, session_log=began)

    def __call__(self, row: Mapping[str, Any]) -> None:
        """Writes the numbers of a row, or a picture."""
        charts = {}
        for name, value in row.items():
            if isinstance(value, pathlib.Path):
                self._picture(row["step"], name, value)
            elif isinstance(value, list):
                charts |= {f"{name}/{member}": x for member, x in enumerate(value)}
            elif name not in _CLOCK:
                charts[name] = value
        for name, x in charts.items():
            self._write(row["step"], summary=self._scalar(name, x))
        self._file.flush()

    def _picture(self, step: int, name: str, path: pathlib.Path) -> None:
        """Writes a picture, if it is a PNG."""
        png = path.read_bytes() if path.is_file() else b""
        if png.startswith(b"\x89PNG"):
            width, height = struct.unpack(">II", png[16:24])
            image = self._summary.Image(height=height, width=width, encoded_image_string=png)
            value = self._summary.Value(tag=name, image=image)
            self._write(step, summary=self._summary(value=[value]))

    def _write(self, step: int, **what: Any) -> None:
        self._file.write_event(self._event(step=step, wall_time=time.time(), **what))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def followers(
    folder: pathlib.Path | None,
    start: int,
    say: Callable[[str], None],
    on_row: Tracker | None = None,
) -> list[Follower]:
    """The trackers of a run: TensorBoard, if it is installed and there is a folder, and on_row."""
    found = []
    if folder is not None and importlib.util.find_spec("tensorboardX") is not None:
        board = functools.partial(TensorBoard, folder / "tensorboard", start)
        found.append(Follower("TensorBoard", board, say, pictures=True))
    if on_row is not None:
        found.append(Follower("on_row", lambda: on_row, say))
    return found
