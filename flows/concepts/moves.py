"""`conceptbooth rename` and `conceptbooth remove`: what becomes of versions and releases is said first."""

import shlex
from collections.abc import Sequence

from rich.text import Text

from flows.concepts.standing import Standing, standing
from flows.output.console import DONE, ask, notices, print_json, results
from flows.output.invocation import command, path_from_here
from tasks.concepts.moves import Kept, check_removal, check_rename, remove_concept, rename_concept
from tasks.project.base_limits import base_limits
from tasks.project.settings import Settings, shown_path

_LEFT: dict[Kept, str] = {
    "git": "git and DVC have all of it: `git checkout HEAD -- {folder} && dvc checkout {folder}/images.dvc` brings it "
    "back",
    "cache": "its description is not in git's newest commit and is lost; its images stay in DVC's cache",
    "nowhere": "its images are on record nowhere else: THEY ARE LOST",
}


def run_rename(settings: Settings, old: str, new: str, *, yes: bool, dry_run: bool, as_json: bool) -> int:
    """Say what stays under the old name, ask, and move the folder.

    Raises:
        InputError: it cannot be renamed so, or nobody is there to be asked; nothing was done.
        WorkFailed: the disk failed.
    """
    concept = check_rename(settings, old, new, base_limits(settings))
    found = standing(settings, old)
    train = f"{command()} train {new}"
    said = [*found.words]
    if found.versions:
        said.append(f"`{train}` trains it anew, since [V] is called by its name, and registers version 1 of that")
    if not as_json:
        _tell(f"{old} becomes {new}", said)
    if not dry_run:
        if (found.versions or found.serving is not None) and not yes:
            ask(f"rename {old} {new}", "Rename it?", as_json=as_json)
        rename_concept(settings, concept, new)
    folders = [path_from_here(settings.concepts_dir / name) for name in (old, new)]
    if as_json:
        print_json(_document(found, said) | {"name": new, "before": old, "dry_run": dry_run})
        return DONE
    _end("Renamed" if not dry_run else "Nothing was done (--dry-run).", folders, dry_run=dry_run)
    if not dry_run:
        results().print(f"  teach it:  {train}", soft_wrap=True)
    return DONE


def run_removal(settings: Settings, name: str, *, yes: bool, dry_run: bool, as_json: bool) -> int:
    """Say what stays and what is lost, ask, and take the folder away.

    Raises:
        InputError: there is no such concept, it cannot go, or nobody is there to be asked; nothing was done.
        WorkFailed: the disk failed.
    """
    concept, kept = check_removal(settings, name)
    found = standing(settings, name)
    folder = shown_path(settings, concept.folder)
    said = [*found.words, _LEFT[kept].format(folder=folder)]
    if found.serving is not None:
        said.append(f"nights train it no more: what serves stays as it is; `{command()} rollback {name}` takes it back")
    if found.versions:
        said.append(f"`{command()} registry delete {name}/VERSION` deletes a version that nothing counts on")
    if not as_json:
        _tell(f"{name} is removed from this project", said)
    if not dry_run:
        if not yes:
            ask(f"remove {name}", f"Remove the concept {name}?", as_json=as_json)
        remove_concept(settings, concept)
    if as_json:
        print_json(_document(found, said) | {"name": name, "kept": kept, "dry_run": dry_run, "removed": not dry_run})
        return DONE
    said_last = "Removed" if not dry_run else "Nothing was done (--dry-run)."
    _end(said_last, [path_from_here(concept.folder)], dry_run=dry_run)
    return DONE


def _document(found: Standing, said: Sequence[str]) -> dict[str, object]:
    return {
        "model": found.model,
        "versions": list(found.versions),
        "serving": found.serving,
        "unknown": list(found.unknown),
        "said": list(said),
    }


def _tell(headline: str, said: Sequence[str]) -> None:
    notices().print(Text(headline, style="bold"), soft_wrap=True)
    for sentence in said:
        notices().print(Text(f"  {sentence}", style="bold red" if "LOST" in sentence else ""), soft_wrap=True)


def _end(said: str, folders: Sequence[str], *, dry_run: bool) -> None:
    results().print(Text(said), soft_wrap=True)
    if not dry_run:
        paths = " ".join(shlex.quote(folder) for folder in folders)
        results().print(f"  keep it:   git add --all {paths} && git commit", soft_wrap=True)
