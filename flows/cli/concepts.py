"""The commands that change a concept that is there: its images, its name, whether there is one."""

from pathlib import Path
from typing import Annotated

from typer import Argument, BadParameter, Exit, Option

from flows.cli.panel import AsJson, Panel, complete_concept, project

panel = Panel("Every day")
Name = Annotated[
    str,
    Argument(metavar="NAME", help="A concept of this project.", autocompletion=complete_concept, show_default=False),
]
Yes = Annotated[bool, Option("--yes", help="Do not ask.")]
DryRun = Annotated[bool, Option("--dry-run", help="Say what would become of it, and do nothing.")]


@panel.command(
    "images red-teapot",
    "images red-teapot --add photos/new/*.jpg",
    "images red-teapot --remove 02.png --replace IMG_2041.jpg sharper.heic",
    "images red-teapot --mend",
)
def images(
    name: Name,
    more: Annotated[
        list[str] | None,
        Argument(metavar="[FILES]", help="Further files of --add, --remove or --replace.", show_default=False),
    ] = None,
    add: Annotated[list[Path] | None, Option(metavar="FILES", help="Images, or folders of them.")] = None,
    remove: Annotated[
        list[str] | None, Option(metavar="FILES", help="Images of the concept, as they are stored or were brought.")
    ] = None,
    replace: Annotated[
        tuple[str, Path] | None, Option(metavar="OLD NEW", help="An image, and the file that takes its place.")
    ] = None,
    mend: Annotated[
        bool, Option("--mend", help="Take out metadata, and enter in images.yaml, of what was put there by hand.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List a concept's images, or put some in, take some out, exchange some.

    The set is checked as a whole, like a new one; all problems are reported together, and nothing is written if there
    are any. What changed trains anew the next time.
    """
    from flows.concepts.images import run_images
    from tasks.concepts.image_edits import ImageChange

    given = {"add": [*map(str, add or ())], "remove": list(remove or ()), "replace": [*map(str, replace or ())]}
    if more:  # what a shell makes of `--add photos/*.jpg`: one file for the option, the others behind it
        used = [option for option, files in given.items() if files]
        if len(used) != 1:
            raise BadParameter(f"{more[0]}: say one of --add, --remove and --replace before it")
        given[used[0]] += more
    pairs = given["replace"]
    if len(pairs) % 2:
        raise BadParameter(f"--replace takes pairs of an image and a file; {pairs[-1]} has no other half")
    change = ImageChange(
        add=tuple(map(Path, given["add"])),
        remove=tuple(given["remove"]),
        replace=tuple((old, Path(new)) for old, new in zip(pairs[::2], pairs[1::2], strict=True)),
        mend=mend,
    )
    run_images(project(), name, change, as_json=as_json)


@panel.command("rename red-teapot blue-teapot", "rename red-teapot blue-teapot --dry-run")
def rename(
    name: Name,
    new: Annotated[str, Argument(metavar="NEW", help="2 to 64 lowercase letters, digits, - and _.")],
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give a concept another name. Registered versions and releases stay under the old one, which is said first."""
    from flows.concepts.moves import run_rename

    raise Exit(run_rename(project(), name, new, yes=yes, dry_run=dry_run, as_json=as_json))


@panel.command("remove red-teapot --dry-run", "remove red-teapot --yes")
def remove(name: Name, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Remove a concept from the project: what becomes of its versions, releases and images is said first."""
    from flows.concepts.moves import run_removal

    raise Exit(run_removal(project(), name, yes=yes, dry_run=dry_run, as_json=as_json))
