"""A training in MLflow while it runs: its run from the first stage on, curves as they grow, pictures on the way.

A thread of its own writes, so that no step waits for a server; what fails is told once, and the training goes on: its
registration writes whatever is missing then. A training that was stopped finds its run again by its content.
"""

import json
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.files.process import is_over, this_process
from tasks.jobs.jobs import Job
from tasks.jobs.keys import StagePlan
from tasks.project.settings import Settings
from tasks.registry.run_facts import (
    CONCEPT_TAG,
    ENDED_TAG,
    FIGURES,
    PARENT_TAG,
    STAGE_KEY_TAG,
    TRAINER_TAG,
    TRAINING_TAG,
    live_run,
    log_parameters,
    registrar,
    run_by_stage,
    source_tags,
    stage_title,
)
from tasks.registry.runs import discard
from tasks.registry.training_facts import content_key, flat, stage_settings
from tasks.tracking.client import connect, experiment_id, import_mlflow, sorted_failures

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from model.training.curve import Step

PROCESS_TAG = "conceptbooth.process"
FLUSH_SECONDS = 5.0
_PATIENCE = 30.0
"""Seconds that the end of a training waits for what is still to be written."""
_SYSTEM_METRICS = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"


class LiveRuns:
    """The journal (`tasks.execution.journal`) of one training in MLflow."""

    def __init__(self, job: Job, warn: Callable[[str], None]) -> None:
        self._job, self._warn = job, warn
        self.key = content_key({plan.stage: plan for plan in job.stages})
        self._actions: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._failed = False
        self._client: MlflowClient
        self._experiment = self.run_id = ""
        self._stages: dict[str, str] = {}
        """Runs of stages that were begun, by stage."""
        self._monitor: Any = None

    def begin(self) -> None:
        """Have the run, which may be there from a try before; called again it changes nothing."""
        if self._thread is None:
            import_mlflow(self._job.settings)  # here, for two threads that import the same libraries hinder each other
            self._actions.put(self._open)
            self._thread = threading.Thread(target=self._write, name="mlflow", daemon=True)
            self._thread.start()

    @contextmanager
    def stage(self, plan: StagePlan) -> Iterator["_LiveStage"]:
        """Inside, this stage trains."""
        stage = _LiveStage(self, plan)
        self.put(lambda: stage.open(self._client, self._experiment, self.run_id))
        try:
            yield stage
        except BaseException as error:
            how = "FAILED" if isinstance(error, Exception) else "KILLED"
            self.put(lambda: stage.close(self._client, how))
            raise
        self.put(lambda: stage.close(self._client, "FINISHED"))

    def put(self, action: Callable[[], None]) -> None:
        """Have something written after all that was put before."""
        if self._thread is not None and not self._failed:
            self._actions.put(action)

    def close(self, error: BaseException | None = None) -> None:
        """Wait until all is written; `error` is what ended the training before it could be registered."""
        if self._thread is None:
            return
        if error is not None:
            self.put(lambda: self._end(error))
        self._actions.put(None)
        self._thread.join(_PATIENCE)
        if self._monitor is not None:
            self._monitor.finish()

    def settle(self, run_id: str) -> None:
        """The training is registered by this run; where that is another one than ours, ours is of no use."""
        if self._failed or not self.run_id or self.run_id == run_id:
            return
        with _told(self._warn), sorted_failures(self._job.settings):
            discard(self._client, self._client.get_run(self.run_id), "another run has registered the same training")

    def _write(self) -> None:
        while (action := self._actions.get()) is not None:
            try:
                with sorted_failures(self._job.settings):
                    action()
            except Exception as error:  # noqa: BLE001 - whatever it is, the training is worth more
                self._failed = True
                self._warn(f"MLflow shows no more of this training while it runs: {error}; the training goes on")
                return

    def _open(self) -> None:
        job, settings = self._job, self._job.settings
        self._client = client = connect(settings)
        self._experiment = experiment = experiment_id(client, settings)
        end_killed_runs(client, settings, experiment)
        tags = {PROCESS_TAG: json.dumps(this_process()), TRAINER_TAG: registrar(settings)}
        if run := live_run(client, experiment, self.key):
            self.run_id = run.info.run_id
            client.update_run(self.run_id, status="RUNNING")
            for name, value in tags.items():
                client.set_tag(self.run_id, name, value)
            if ENDED_TAG in run.data.tags:
                client.delete_tag(self.run_id, ENDED_TAG)
        else:
            name = job.concept.name
            tags |= {TRAINING_TAG: self.key, CONCEPT_TAG: name, **source_tags(name)}
            tags |= {"conceptbooth.method": job.recipe.method.name, "conceptbooth.preset": job.recipe.params.preset}
            self.run_id = client.create_run(experiment, tags=tags, run_name=f"{name}, in training").info.run_id
            log_parameters(client, self.run_id, stage_settings([plan.parameters["stage"] for plan in job.trainings]))
        if os.environ.get(_SYSTEM_METRICS, "").lower() in ("true", "1"):
            self._watch_the_machine()

    def _watch_the_machine(self) -> None:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self._monitor = SystemMetricsMonitor(self.run_id, tracking_uri=self._client.tracking_uri, resume_logging=True)
        self._monitor.start()

    def _end(self, error: BaseException) -> None:
        again = f"`conceptbooth train {self._job.concept.name}` goes on"
        said = str(error).strip().splitlines()[0][:300] if str(error).strip() else "it was stopped"
        self._client.set_tag(self.run_id, ENDED_TAG, f"{said}; {again}")
        self._client.set_terminated(self.run_id, status="FAILED" if isinstance(error, Exception) else "KILLED")


class _LiveStage:
    """The run of one stage."""

    def __init__(self, runs: LiveRuns, plan: StagePlan) -> None:
        self._runs, self._plan = runs, plan
        self._points: list[Any] = []
        self._flushed = time.monotonic()
        self._run_id = ""
        self._known_step = 0
        self._known_pictures: set[tuple[str, int]] = set()

    def step(self, step: "Step") -> None:
        """Keep a point of the curves, and have them written every few seconds."""
        if step.is_point:
            values = step.written()
            self._points += [
                (name, values[name], int(time.time() * 1000), step.step) for name in FIGURES if name in values
            ]
        if self._points and time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self._flush()

    def pictures(self, step: int, prompts: Sequence[str], files: Sequence[Path]) -> None:
        """Have the pictures of a step written."""
        for prompt, file in zip(prompts, files, strict=True):
            self._runs.put(lambda prompt=prompt, file=file: self._log_picture(step, prompt, file))  # type: ignore[misc]

    def open(self, client: "MlflowClient", experiment: str, parent: str) -> None:
        """Find the run of a try before, with what it has, or make one."""
        if run := run_by_stage(client, experiment, parent, self._plan.key):
            self._run_id = run.info.run_id
            client.update_run(self._run_id, status="RUNNING")
            if "loss" in run.data.metrics:
                history = client.get_metric_history(self._run_id, "loss")
                self._known_step = max((point.step for point in history), default=0)
            for file in client.list_artifacts(self._run_id, "images"):
                if found := re.match(r"images/(.+?)\+step\+(\d+)\+", file.path):
                    self._known_pictures.add((found[1], int(found[2])))
            return
        concept = self._runs._job.concept.name
        tags = {PARENT_TAG: parent, "conceptbooth.stage": self._plan.stage, STAGE_KEY_TAG: self._plan.key}
        name = f"{concept}: {stage_title(self._plan.stage)}"
        self._run_id = client.create_run(experiment, tags=tags | source_tags(concept), run_name=name).info.run_id
        log_parameters(client, self._run_id, flat({**self._plan.parameters["stage"], "seed": self._plan.seed}))

    def close(self, client: "MlflowClient", status: str) -> None:
        """The stage is over."""
        self._send(client, self._points)
        client.set_terminated(self._run_id, status=status)

    def _flush(self) -> None:
        points, self._points, self._flushed = self._points, [], time.monotonic()
        self._runs.put(lambda: self._send(self._runs._client, points))

    def _send(self, client: "MlflowClient", points: Sequence[tuple[str, float, int, int]]) -> None:
        from mlflow.entities import Metric

        new = [Metric(*point) for point in points if point[3] > self._known_step]
        if new:
            client.log_batch(self._run_id, metrics=new)

    def _log_picture(self, step: int, prompt: str, file: Path) -> None:
        from model.reading.pictures import open_picture

        name = picture_name(prompt)
        if (name, step) not in self._known_pictures:
            self._known_pictures.add((name, step))
            with open_picture(file, ("PNG",)) as picture:
                self._runs._client.log_image(self._run_id, picture.convert("RGB"), key=name, step=step)


def picture_name(prompt: str) -> str:
    """A prompt as MLflow lets pictures be called: letters, digits, blanks, dots and dashes."""
    return " ".join(re.sub(r"[^A-Za-z0-9_. -]", " ", prompt.replace("{}", "V")).split())


def end_killed_runs(client: "MlflowClient", settings: Settings, experiment: str) -> None:
    """Mark the runs of this project that still say RUNNING, and whose process on this machine is no more."""
    query = f"tags.`{TRAINER_TAG}` = '{registrar(settings)}' and attributes.status = 'RUNNING'"
    for run in client.search_runs([experiment], query):
        process = {}
        with suppress(ValueError):
            process = json.loads(run.data.tags.get(PROCESS_TAG, "{}"))
        if not is_over(process):
            continue
        name = run.data.tags.get(CONCEPT_TAG, "NAME")
        said = f"its process was killed; `conceptbooth train {name}` goes on from its last checkpoint"
        client.set_tag(run.info.run_id, ENDED_TAG, said)
        unfinished = f"tags.`{PARENT_TAG}` = '{run.info.run_id}' and attributes.status = 'RUNNING'"
        for stage in client.search_runs([experiment], unfinished):
            client.set_terminated(stage.info.run_id, status="KILLED")
        client.set_terminated(run.info.run_id, status="KILLED")


@contextmanager
def _told(warn: Callable[[str], None]) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the training is registered; what is left over only looks untidy
        warn(f"a run of MLflow's was left over: {error}")
