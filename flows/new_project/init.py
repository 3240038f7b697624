"""`conceptbooth init`: a project for a base, in one command, and what to do next in it."""

import shlex
from dataclasses import asdict
from pathlib import Path

from rich.text import Text

from flows.output.console import notices, print_json, results, warn
from flows.output.invocation import command, path_from_here
from model.errors import InputError, WorkFailed
from tasks.new_project.new_project import SAMPLE, NewProject, commit_all, make_project
from tasks.new_project.samples import add_samples
from tasks.project.private import keep_private
from tasks.project.settings import load_settings


def run_init(folder: Path, base: str, *, as_json: bool) -> None:
    """Make the project and say what is in it.

    Raises:
        InputError: the folder holds something, or no such base; nothing was written.
        WorkFailed: the disk or git failed; nothing is left.
    """
    with notices().status("Making the project ..."):
        made = make_project(folder, base)
        samples = [] if made.choice.photographs else _first_sample(made)
    if as_json:
        models = {n: asdict(getattr(made.choice, n)) for n in ("base", "evaluator", "identity_model")}
        print_json({"folder": str(made.folder), **models, "samples": samples})
        return
    console = results()
    said = f"Made {path_from_here(made.folder)}, a project on {made.choice.title}: in git, with DVC set up"
    console.print(said, soft_wrap=True)
    for model in made.choice.models:
        if model.unpinned:
            later = "is not pinned to a commit yet: `conceptbooth doctor` does it once the hub answers"
            console.print(Text(f"  {model.reference} {later}"), soft_wrap=True)
    if made.choice.licence is None:
        console.print(Text("  base_licence in params.yaml is yours to say: a release asks for it"), soft_wrap=True)
    console.print(Text("Try next", style="bold"))
    for line, what in _steps(made, samples):
        console.print(Text.assemble("  ", (line, "cyan")), soft_wrap=True)
        if what:
            console.print(Text(f"      {what}", style="dim"), soft_wrap=True)


def _first_sample(made: NewProject) -> list[str]:
    """Add the sample that `demo` trains. The project is whole without it, so a failure is told, and no more."""
    try:
        settings = load_settings(made.folder)
        keep_private(settings.home)
        added = [each.concept.name for each in add_samples(settings, [SAMPLE])]
        commit_all(made.folder, f"The sample {SAMPLE}")
    except (InputError, WorkFailed) as error:
        warn(f"the sample {SAMPLE} was not added: {error}; `conceptbooth samples {SAMPLE}` does it once that is mended")
        return []
    return added


def _steps(made: NewProject, samples: list[str]) -> list[tuple[str, str]]:
    own = command()
    call = own if own == "conceptbooth" else shlex.quote(str(Path(shlex.split(own)[0]).absolute()))
    begin = (f"cd {shlex.quote(path_from_here(made.folder))}", "")
    doctor = (f"{call} doctor", "what is configured, reachable, missing")
    if samples:
        return [begin, (f"{call} demo", f"trains the sample {SAMPLE}, a few minutes on two CPU cores"), doctor]
    add = (f"{call} add red-teapot photos/*.jpg --category teapot", "a concept, from 3 to 8 photographs of one thing")
    return [begin, doctor, add, (f"{call} train red-teapot", "on a GPU")]
