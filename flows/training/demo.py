"""`conceptbooth demo`: the main job on a bundled sample concept."""

from flows.output.console import DONE, FAILED, notices, print_json
from model.errors import InputError
from model.methods.limits import as_written
from tasks.concepts.concepts import load_concept
from tasks.dvc.command import make_samples
from tasks.dvc.samples import sample_is_current
from tasks.project.params import load_params
from tasks.project.settings import Settings


def run_demo(settings: Settings, *, as_json: bool) -> int:
    """Make the samples' images where they are not up to date, train one as `train` does, show what came out.

    Raises:
        InputError: the parameters name no demo concept, or one that is not there.
        WorkFailed: DVC could not make the images.
    """
    params = load_params(settings.params_file)
    name = params.demo
    if name is None or (params.samples and name not in params.samples):
        there = f"one of {', '.join(params.samples)}" if params.samples else "the name of a concept"
        raise InputError(f"{settings.params_file.name}: demo = {as_written(name)}; write {there}")
    load_concept(settings, name)
    # all of them, because `conceptbooth train` on another one is what a person tries next
    stale = [sample for sample in params.samples if not sample_is_current(settings, sample)]
    if stale:
        notices().print(f"making the images of {', '.join(stale)} (dvc repro)")
        make_samples(settings, stale)

    from flows.training.summary import show_next_steps, show_outcomes
    from flows.training.train import run_training

    (outcome,) = run_training(settings, [name])
    if as_json:
        print_json(outcome.to_json())
    else:
        show_outcomes([outcome])
        if outcome.error is None:
            show_next_steps(name)
    return FAILED if outcome.error else DONE
