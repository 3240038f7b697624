"""`conceptbooth export`: a version in the form that another program loads."""

from pathlib import Path

from rich.text import Text

from flows.output.console import notices, print_json, results
from flows.output.progress import TerminalReporter
from tasks.export.export import Form, export_version
from tasks.project.settings import Settings
from tasks.registry.cleared_tags import mend_cleared_tags
from tasks.registry.reference import VersionReference
from tasks.registry.versions import form_of, resolve


def run_export(
    settings: Settings,
    reference: VersionReference,
    form: Form,
    place: Path,
    *,
    rank: int | None,
    measure: bool,
    as_json: bool,
) -> None:
    """Write the version and say what was written. Raises as `resolve` and `export_version`."""
    reporter = TerminalReporter(notices())
    reporter.prepare("reading the registry")
    try:
        mend_cleared_tags(settings, reference.concept)
        version = resolve(settings, reference)
        done = export_version(settings, version, form, place, rank=rank, measure=measure, reporter=reporter)
    finally:
        reporter.end()
    if as_json:
        facts = {"concept": version.concept, "version": version.version, "form": form, "made_from": form_of(version)}
        print_json({**facts, "place": str(place), "files": done.files, "lost": done.lost, "scores": done.scores})
        return
    for file in done.files:
        results().print(str(place / file), soft_wrap=True, markup=False)
    if done.lost:
        notices().print(Text(done.lost), soft_wrap=True)
    said = (
        f"{version.concept} version {version.version}, made from its {form_of(version)} form: README.md says how it is "
        "loaded and where it comes from"
    )
    notices().print(Text(said, style="dim"), soft_wrap=True)
