"""A comparison as a page for people: the table, how it came about, and the pictures, in Markdown."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.comparison.compare import Comparison
from model.errors import InputError
from tasks.comparison.fronts import Fronts
from tasks.comparison.pictures import write_webp
from tasks.comparison.results import ComparisonResults
from tasks.comparison.table import MEANINGS, TITLES, MethodTable, markdown_table, signed
from tasks.jobs.code_digest import PROJECT
from tasks.project.git import git_facts

BEGIN, END = "<!-- conceptbooth compare: begin -->", "<!-- conceptbooth compare: end -->"
CELLS = "cells.csv"
_IN_FULL = 3
"""Concepts whose attention and stages the page shows."""


@dataclass(frozen=True, kw_only=True)
class ReportProvenance:
    """How the page came about."""

    command: str
    seconds: float
    """That this command took; what it found in the store had been made before."""
    git: Mapping[str, Any] | None = field(default_factory=lambda: git_facts(PROJECT))
    """Commit of this checkout, and whether there were changes to it, before the page itself is one."""


def check_report(file: Path) -> None:
    """InputError unless a page can be written there, or into a page that has the marks."""
    if file.suffix != ".md":
        raise InputError(f"--report {file}: a page of Markdown is written, so its name ends in .md")
    if not file.absolute().parent.is_dir():
        raise InputError(f"--report {file}: there is no folder {file.parent}")
    if file.exists() and _marks(file.read_text(encoding="utf-8")) is None:
        raise InputError(
            f"--report {file}: holds other words, which would be lost; put the lines {BEGIN} and {END} where the "
            "comparison goes, or name another file"
        )


def write_report(file: Path, comparison: Comparison, provenance: ReportProvenance) -> None:
    """Write the page; of one that is there, what stands between the marks is replaced.

    Its pictures, and a list of all trainings with the keys of their pictures, go to a folder of its name beside it.
    """
    folder = file.with_suffix("")
    folder.mkdir(exist_ok=True)
    _write_cells(comparison.table, folder / CELLS)
    put_into(file, _sections(comparison, provenance, folder))


def put_into(file: Path, sections: Sequence[str]) -> None:
    """Write sections between the marks of the page, which is made if it is not there."""
    text = file.read_text(encoding="utf-8") if file.exists() else f"# Methods side by side\n\n{BEGIN}\n{END}\n"
    marks = _marks(text)
    assert marks is not None  # `check_report` has looked
    body = "\n\n".join([BEGIN, *sections, END])
    file.write_text(text[: marks[0]] + body + text[marks[1] :], encoding="utf-8")


def _marks(text: str) -> tuple[int, int] | None:
    begin, end = text.find(BEGIN), text.find(END)
    return (begin, end + len(END)) if 0 <= begin < end else None


def _sections(comparison: Comparison, provenance: ReportProvenance, folder: Path) -> list[str]:
    table, drawn = comparison.table, comparison.pictures
    meanings = "\n".join(f"- {TITLES[score]}: {MEANINGS[score]}" for score in table.scores)
    sections = [
        f"{table.over}; pictures of each: {table.pictures}, from the same noise for all methods. Means with "
        "95 % bootstrap intervals: one set of concepts, of prompts and of picture numbers is drawn for all, and seeds "
        "for each concept; differences are paired.",
        f"```\n{provenance.command}\n```",
        bullets(circumstances(comparison.results, provenance)),
        markdown_table(
            ["method", "seconds of training", "stages: steps x batch at rate"], _trained(comparison.results)
        ).rstrip(),
        "## Scores",
        table.to_markdown().rstrip(),
        f"{table.base_words}.",
        meanings,
        _shown("identity and text alignment of each method", drawn.plane, folder),
        *_at_equal_identity(table),
        *_by_aspect(table),
        "## By concept",
        _by_concept(table).rstrip(),
        f"[`{folder.name}/{CELLS}`]({folder.name}/{CELLS}) has every training: its scores, and the key under which the "
        "store has its pictures (`stages/evaluate/<key>`) and the value of each.",
        "## Pictures",
        "The first picture of each prompt, not picked ones; those of a column began at the same noise.",
    ]
    for number, name in enumerate(table.concepts):
        sections += [f"### {name}", _shown(f"{name} by each method", drawn.sheets[name], folder)]
        if number < _IN_FULL and name in drawn.stages:
            sections.append(_shown(f"{name} after each stage", drawn.stages[name], folder))
        if number < _IN_FULL and name in drawn.attention:
            sections.append(_shown(f"where words look in {name}'s pictures", drawn.attention[name], folder))
    return sections


def bullets(facts: Sequence[tuple[str, str]]) -> str:
    """Facts with their names, as a list."""
    return "\n".join(f"- {name}: {said}" for name, said in facts)


def circumstances(work: ComparisonResults, provenance: ReportProvenance) -> list[tuple[str, str]]:
    """Commit, time, machine, models."""
    manifests = {(m.stage, m.key): m for found in work.found.values() for m in found.values()}.values()
    trained = sum(manifest.wall_seconds for manifest in manifests if manifest.stage.startswith("train-"))
    drawn = sum(manifest.wall_seconds for manifest in manifests if not manifest.stage.startswith("train-"))
    git = provenance.git
    recipe = next(iter(work.jobs.values())).recipe
    return [
        ("commit", f"`{git['commit'][:12]}`{' with changes' if git['dirty'] else ''}" if git else "not in git"),
        ("wall time", f"{_hours(trained)} of training, {_hours(drawn)} of drawing and scoring"),
        ("of it this command", _hours(provenance.seconds)),
        ("machine", "; ".join(sorted({manifest.device for manifest in manifests}))),
        *((kind.replace("_", " "), f"digest `{model.digest[:12]}`") for kind, model in recipe.models.items()),
        ("guidance, steps", f"{recipe.params.sampling.guidance_scale:g}, {recipe.params.sampling.num_inference_steps}"),
    ]


def _trained(work: ComparisonResults) -> list[list[str]]:
    """For each method how long one training took, on average, and what its stages were."""
    rows = []
    for method in work.methods:
        trainings = [training for training in work.jobs if training.method == method]
        plans = work.jobs[trainings[0]].trainings
        seconds = [sum(work.found[training][plan.stage].wall_seconds for plan in plans) for training in trainings]
        stages = [plan.parameters["stage"] for plan in plans]
        said = [f"{s['name']} {s['max_train_steps']} x {s['batch_size']} at {s['learning_rate']:g}" for s in stages]
        rows.append([method, f"{sum(seconds) / len(seconds):.0f}", ", ".join(said)])
    return rows


def _at_equal_identity(table: MethodTable) -> list[str]:
    """What methods have of the prompt where their curves have the same identity; nothing without a sweep."""
    if not table.sweep:
        return []
    fronts = Fronts(table=table)
    if fronts.common_identity is None:
        return ["## At equal identity", "The curves have no identity in common: sweep more steps, or fewer."]
    first, *others = fronts.methods
    low, high = fronts.common_identity
    rows = []
    for identity in (low, (low + high) / 2, high):
        differences = [signed(fronts.difference_at(method, first, identity)) for method in others]
        texts = [str(fronts.text_at(method, identity)) for method in fronts.methods]
        rows.append([f"{identity:.2f}", *texts, *differences])
    titles = ["identity", *fronts.methods, *(f"{method} - {first}" for method in others)]
    return [
        "## At equal identity",
        "Text where the curves have the same identity, at the ends and in the middle of what all of them pass:",
        markdown_table(titles, rows).rstrip(),
    ]


def _by_aspect(table: MethodTable) -> list[str]:
    """What methods score on prompts that ask for one thing; nothing where all prompts ask for the same."""
    if not table.aspects:
        return []
    score, (first, *others) = "identity_x_text", table.methods
    called = {aspect: f"{aspect} ({len(places)})" for aspect, places in table.aspects.items()}
    means = [
        [words, *(str(table.mean_of(aspect, method, score)) for method in table.methods)]
        for aspect, words in called.items()
    ]
    differences = [
        [words, *(signed(table.difference_of(aspect, method, score)) for method in others)]
        for aspect, words in called.items()
    ]
    sections = [
        "## By aspect",
        f"{TITLES[score]} of the prompts with each tag of the prompt set, with their number:",
        markdown_table(["aspect", *table.methods], means).rstrip(),
    ]
    if others:
        titles = [f"{method} - {first}" for method in others]
        sections.append(markdown_table(["difference", *titles], differences).rstrip())
    return sections


def _by_concept(table: MethodTable) -> str:
    score = "identity_x_text"
    rows = [
        [concept, *(f"{table.values(method, score)[number].mean():.3f}" for method in table.methods)]
        for number, concept in enumerate(table.concepts)
    ]
    return markdown_table([TITLES[score], *table.methods], rows)


def _write_cells(table: MethodTable, file: Path) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["concept", "method", "seed", *table.scores, "evaluation", "weights_sha256"])
        for cell in table.cells:
            means = [f"{cell.mean(score):.4f}" if score in cell.values else "" for score in table.scores]
            writer.writerow([cell.concept, cell.method, cell.seed, *means, cell.evaluation, cell.weights])


def _shown(said: str, picture: Path, folder: Path) -> str:
    """A picture of the page."""
    file = write_webp(picture, folder)
    return f"![{said}]({folder.name}/{file.name})"


def _hours(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min {rest:02} s"
