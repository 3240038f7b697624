"""`conceptbooth whence`: where pictures come from, by their marks or by what was drawn, down to the images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from flows.lineage.tree import images_table, lineage_head
from flows.output.console import BAD_INPUT, DONE, FAILED, notices, print_json, results
from model.errors import InputError
from model.marks.content_credentials import Credentials
from model.marks.marking import Mark
from tasks.concepts.image_checks import find_images
from tasks.lineage.drawn_index import Recognised
from tasks.lineage.origin import Origin, open_origins
from tasks.lineage.words import SHORT, when_words
from tasks.project.settings import Settings

_STYLES = {"Trusted": "bold green", "Valid": "green", "Invalid": "bold red", "Unchecked": "yellow"}
_CONFIDENCE = {"high": "green", "medium": "yellow", "low": "bold yellow"}


def show_whence(settings: Settings, asked: Sequence[Path], *, record: bool, as_json: bool) -> int:
    """Print where each picture comes from; a folder stands for the pictures in it. The exit code.

    `record` keeps what the marks say, so that copies without them are recognised later.

    Raises:
        InputError: the only picture that was asked for is none, or nothing is known of it; folders without pictures.
        WorkFailed: the store cannot be read or written.
    """
    if record and settings.drawn_records == "none":
        raise InputError("--record: the setting drawn_records is none, so nothing of drawn pictures is kept")
    found = find_images(asked)
    if found.problems:
        raise InputError(*found.problems)
    alone = len(asked) == 1 and not asked[0].is_dir()
    origins: list[Origin] = []
    unknown: dict[Path, str] = {}
    with open_origins(settings) as known:
        for file in found.files:
            try:
                origins.append(known.of(file))
            except InputError as error:
                if alone:
                    raise
                unknown[file] = str(error)
        taken = known.take_in(origins) if record else 0
        notes = known.notes
    if as_json:
        listed = [origin.to_json() for origin in origins]
        told = (
            listed[0] if alone else {"pictures": listed, "unknown": {str(file): said for file, said in unknown.items()}}
        )
        print_json(told | ({"recorded": taken} if record else {}))
    else:
        for note in notes:
            notices().print(Text(note, style="yellow"), soft_wrap=True)
        _tell_one(origins[0]) if alone else _tell_all(origins, unknown)
        if record:
            results().print(f"{taken} of {len(origins)} pictures are newly on record", soft_wrap=True)
    if not origins:
        return BAD_INPUT
    return FAILED if unknown or any(_is_bad(origin) for origin in origins) else DONE


def _is_bad(origin: Origin) -> bool:
    return bool(origin.problems) or origin.lineage is None or bool(origin.lineage["problems"])


def _tell_all(origins: Sequence[Origin], unknown: Mapping[Path, str]) -> None:
    """A row a picture, then what became of each version, and what nothing is known of."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("picture", "made by", "told by"):
        table.add_column(title, overflow="fold", min_width=10)
    versions: dict[str, str] = {}
    for origin in origins:
        concept, _, number = origin.made_by
        reference = _reference(origin)
        versions[reference] = _state(origin)
        named = f"{concept} version {number}" if number is not None else reference
        told = (
            "its mark" if origin.mark else f"a record, {origin.record.confidence} confidence" if origin.record else ""
        )
        if origin.credentials:
            told += f"; C2PA {origin.credentials.state}"
        said = Text("; ".join((told, *origin.problems)), style="bold red" if origin.problems else "")
        table.add_row(Text(origin.picture.name), Text(named), said)
    console = results()
    if origins:
        console.print(table)
    for reference, state in versions.items():
        console.print(Text.assemble((reference, "bold"), f"  {state}"), soft_wrap=True)
    for problem in unknown.values():
        notices().print(Text(problem, style="yellow"), soft_wrap=True)
    counted = f"{len(origins)} of {len(origins) + len(unknown)} pictures lead back to a version"
    console.print(Text(f"{counted}. One of them in full: conceptbooth whence PICTURE", style="dim"), soft_wrap=True)


def _reference(origin: Origin) -> str:
    concept, content, number = origin.made_by
    version = origin.lineage and origin.lineage["version"]
    return f"{concept}/{version['version'] if version else number or content[:SHORT]}"


def _state(origin: Origin) -> str:
    """What became of its version, and from how many images it came."""
    lineage = origin.lineage
    if lineage is None:
        return "not known to this project"
    if revoked := lineage["revoked"]:
        became = f"revoked on {revoked['at'][:10]}: {revoked['reason']}"
    elif lineage["promotions"]:
        became = f"promoted (record {lineage['promotions'][-1]['seq']})"
    else:
        became = "registered" if lineage["version"] else "not registered"
    return f"{became}; trained on {len(lineage['images'])} images"


def _tell_one(origin: Origin) -> None:
    console = results()
    concept, content, version = origin.made_by
    number = "" if version is None else f" version {version}"
    _say("made by", f"AI: concept {concept}{number}, content {content[:SHORT]}")
    if origin.mark:
        _tell_mark(origin.mark)
    if origin.record:
        _tell_record(origin.record, marked=origin.mark is not None)
    if origin.mark or origin.credentials:
        _tell_credentials(origin.credentials)
    for problem in origin.problems:
        _say("problem", problem, "bold red")
    lineage = origin.lineage
    if lineage is None:
        said = f"neither registry nor store of this project knows content {content[:SHORT]} of {concept}"
        notices().print(Text(said), style="yellow", soft_wrap=True)
        return
    for note in lineage["notes"]:
        notices().print(Text(note, style="dim"), soft_wrap=True)
    console.print(lineage_head(lineage))
    if lineage["images"]:
        console.print(images_table(lineage))
    known = lineage["version"]
    reference = f"{concept}/{known['version']}" if known else concept
    console.print(Text(f"All of it: conceptbooth lineage {reference}", style="dim"), soft_wrap=True)


def _tell_mark(mark: Mark) -> None:
    _say("prompt", mark.prompt)
    if mark.negative_prompt:
        _say("negative", mark.negative_prompt)
    _say("seed", f"{mark.seed}, picture {mark.index}")
    if options := [
        f"{name} {value}"
        for name in ("steps", "guidance", "word_norm", "word_turn", "size")
        if (value := getattr(mark, name))
    ]:
        _say("options", ", ".join(options))


def _tell_record(record: Recognised, *, marked: bool) -> None:
    done = "drawn" if record.told_by == "drawing" else "taken in by the mark that it had,"
    who = f"signed by {record.signed_by}" if record.signed_by else f"{record.unsigned}: a claim"
    _say("record", f"{done} {when_words(record.at)}; {who}", "" if record.signed_by else "yellow")
    _say("likeness", f"{record.confidence} confidence: {record.how}", _CONFIDENCE[record.confidence])
    if record.others:
        _say("as near", "; ".join(record.others), "yellow")
    if not marked:
        _say("prompt", record.prompt if record.prompt is not None else "not on record", "" if record.prompt else "dim")
        _say("seed", f"{record.seed}, picture {record.index}")


def _tell_credentials(credentials: Credentials | None) -> None:
    if credentials is None:
        _say("C2PA", "no manifest: what stands here is not signed", "dim")
        return
    by = f", signed by {credentials.signed_by}" if credentials.signed_by else ""
    at = f" at {credentials.at}" if credentials.at else ""
    said = "; ".join((f"{credentials.state}{by}{at}", *credentials.problems))
    _say("C2PA", said, _STYLES.get(credentials.state, ""))


def _say(title: str, said: str, style: str = "") -> None:
    results().print(Text.assemble((f"{title:<10}", "bold"), (said, style)), soft_wrap=True)
