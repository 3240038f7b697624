"""The commands that show what there is and where it came from, and clear up what nothing needs."""

from pathlib import Path
from typing import Annotated

from typer import Argument, BadParameter, Exit, Option

from flows.cli.panel import AsJson, Panel, TrainedConcept, complete_concept, project

panel = Panel("Look inside")


@panel.command(
    "lineage red-teapot",
    "lineage red-teapot@champion --verify --html lineage.html",
    "lineage --image photos/IMG_2041.jpg",
    "lineage --near screenshot.png --json",
)
def lineage(
    name: Annotated[
        str | None,
        Argument(metavar="NAME", help="NAME, NAME@alias or NAME/version.", autocompletion=complete_concept),
    ] = None,
    verify: Annotated[bool, Option("--verify", help="Hash everything again and compare every link.")] = False,
    html: Annotated[Path | None, Option(help="Write a page that needs nothing but itself.")] = None,
    image: Annotated[str | None, Option(metavar="FILE|SHA256", help="Which models saw this image?")] = None,
    near: Annotated[Path | None, Option(metavar="FILE", help="Which models saw a picture that looks like it?")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a model was made from, down to each image; or which models an image went into.

    With --verify the exit code is 1 if a single byte or link is not as it was.
    """
    asked = [name, image, near]
    if sum(part is not None for part in asked) != 1 or (name is None and (verify or html)):
        raise BadParameter("one of NAME (with --verify, --html), --image or --near is needed")
    if name is not None:
        from flows.lineage.lineage import show_lineage
        from tasks.registry.reference import VersionReference

        settings, reference = project(), VersionReference.parse(name)
        raise Exit(show_lineage(settings, reference, proved=verify, as_json=as_json, page=html))
    from flows.lineage.sightings import show_sightings

    show_sightings(project(), image=image, near=near, as_json=as_json)


@panel.command("upgrade --dry-run", "upgrade")
def upgrade(
    dry_run: Annotated[bool, Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring what earlier versions left up to date: seals, signatures, damaged records.

    Seals the store's records, mends damaged ones from manifests and registry, and where a signing_key is set signs
    ledgers and releases and vouches for trainings that nobody signed. Says what stays unprovable, as does every later
    --verify. Run again, it changes nothing.
    """
    from flows.upkeep.upgrade import run_upgrade

    raise Exit(run_upgrade(project(), dry_run=dry_run, as_json=as_json))


@panel.command("gc --dry-run", "gc", "gc --forget red-teapot", "gc --forget-registry 1f0c83d2a94be657")
def gc(
    dry_run: Annotated[bool, Option("--dry-run", help="Show what would be removed, and remove nothing.")] = False,
    forget: Annotated[
        list[str] | None,
        Option(metavar="NAME", help="Let go of a concept that was removed, and that no other project trains."),
    ] = None,
    forget_registry: Annotated[
        list[str] | None,
        Option(metavar="ID", help="Let go of what another project has registered, whose MLflow is gone for good."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove what nothing needs any more: no registered or promoted version, no plan, no run of the last days.

    Says what goes, why, and how much room it took. Asks nothing. If somebody who may need something cannot be asked
    (MLflow, the production ledger, a concept that is broken), nothing is removed.
    """
    from flows.upkeep.gc import run_gc
    from tasks.upkeep.needs import Forgotten

    forgotten = Forgotten(concepts=forget or (), registries=forget_registry or ())
    raise Exit(run_gc(project(), dry_run=dry_run, forgotten=forgotten, as_json=as_json))


@panel.command("diff red-teapot 2 3", "diff red-teapot champion candidate --sheet two.png")
def diff(
    name: TrainedConcept,
    before: Annotated[str, Argument(metavar="VERSION", help="A version's number, or an alias.")],
    after: Annotated[str, Argument(metavar="VERSION", help="Another one.")],
    sheet: Annotated[Path | None, Option(help="Where to draw both, side by side from the same seeds.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what changed between two versions: images, parameters, code, base, scores, pictures."""
    from flows.lineage.diff import show_diff

    show_diff(project(), name, before, after, sheet=sheet, as_json=as_json)


@panel.command("gallery red-teapot", "gallery --index", "gallery --index -o concepts.html")
def gallery(
    name: Annotated[
        str | None, Argument(metavar="NAME", help="A trained concept.", autocompletion=complete_concept)
    ] = None,
    index: Annotated[bool, Option("--index", help="Write a page of all concepts.")] = False,
    output: Annotated[
        Path | None, Option("-o", "--output", metavar="FILE", help="Where that page goes; else beside the galleries.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say where the galleries of a concept's versions are, or write a page of all concepts.

    The page holds each concept's newest picture, scores, champion and state, with a filter.
    """
    if (name is None) != index or (output is not None and not index):
        raise BadParameter("either NAME, or --index (with -o FILE), is needed")
    from flows.concepts.gallery import show_gallery, write_index

    if name is not None:
        show_gallery(project(), name, as_json=as_json)
    else:
        write_index(project(), output, as_json=as_json)


@panel.command("ui")
def ui() -> None:
    """Start the Prefect and MLflow pages on this machine until Ctrl-C."""
    from flows.server.pages import serve

    serve(project())


@panel.command("doctor", "doctor --json")
def doctor(
    within: Annotated[float, Option(metavar="SECONDS", min=1, help="Who has not answered by then is a problem.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Check what is configured, reachable and missing, and what does not go together.

    A model of the hub whose commit is not known is pinned in params.yaml once the hub answers.
    """
    from flows.doctor.doctor import run_doctor

    raise Exit(run_doctor(project(), as_json=as_json, seconds=within))
