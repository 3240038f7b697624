"""`conceptbooth generate`: pictures of a registered concept in new scenes, and where they are."""

from dataclasses import asdict

from flows.output.console import notices, print_json, results
from flows.output.progress import TerminalReporter
from model.bases.prompt import prompt_hints
from tasks.drawing.generate import DrawingRequest, generate_pictures
from tasks.project.settings import Settings
from tasks.registry.reference import VersionReference


def run_generate(settings: Settings, reference: VersionReference, request: DrawingRequest, *, as_json: bool) -> None:
    """Draw the pictures and print where they are. Raises as `generate_pictures`."""
    reporter = TerminalReporter(notices())
    try:
        drawn = generate_pictures(settings, reference, request, reporter)
    finally:
        reporter.end()
    for hint in (hint for prompt in request.prompts for hint in prompt_hints(prompt)):
        notices().print(f"hint: {hint}", style="yellow", soft_wrap=True, markup=False)
    if as_json:
        facts = {"concept": drawn.concept, "version": drawn.version, "base": drawn.base, "seed": request.seed}
        print_json({**facts, "pictures": [asdict(picture) for picture in drawn.pictures]})
        return
    for picture in drawn.pictures:
        results().print(picture.file, soft_wrap=True, markup=False)
