"""The commands of whoever owns concepts: add, train, draw."""

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, BadParameter, Exit, Option

from flows.cli.panel import (
    AsJson,
    ConceptNames,
    Panel,
    SomeConcepts,
    TrainedConcept,
    Verbose,
    complete_concept,
    project,
    seed_of,
)
from flows.output.console import DONE, FAILED, print_json

panel = Panel("Every day")


@panel.command(
    "add red-teapot photos/*.jpg --category teapot",
    "add red-teapot photos --category teapot --take-good",
    'add my-dog ~/pictures/dog --category dog --licence CC-BY-4.0 --source "own photographs" --consent "the owner"',
)
def add(
    name: Annotated[
        str,
        Argument(
            metavar="NAME", help="2 to 64 lowercase letters, digits, - and _, a letter first: [bold]red-teapot[/]."
        ),
    ],
    images: Annotated[list[Path], Argument(metavar="IMAGES", help="3 to 8 image files, or folders of them.")],
    category: Annotated[
        str, Option(help='What kind of thing it is, in words that the base model knows: "stuffed animal".')
    ],
    licence: Annotated[str | None, Option(help="Licence of the images, such as CC-BY-4.0.")] = None,
    source: Annotated[str | None, Option(help="Where the images come from.")] = None,
    consent: Annotated[str | None, Option(help="Who agreed to training on them.")] = None,
    take_good: Annotated[
        bool, Option("--take-good", help="Leave out images that are bad, and list them, as long as 3 are good.")
    ] = False,
    push: Annotated[bool, Option("--push", help="Send the images to DVC's default remote.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add a concept: check its images, take their metadata out, and put them under version control.

    All problems are reported together, and nothing is written if there are any; with --take-good, bad images are left
    out instead.
    """
    from flows.concepts.add import run_add
    from tasks.concepts.add import NewConcept

    new = NewConcept(
        name=name,
        images=images,
        category=category,
        licence=licence,
        source=source,
        consent=consent,
        take_good=take_good,
    )
    run_add(project(), new, push=push, as_json=as_json)


@panel.command(
    "import google-dreambooth --subjects teapot,dog6",
    "import google-dreambooth --from ~/data/dreambooth --revision e9b8c013ef2e",
    name="import",
)
def import_(
    data_set: Annotated[
        Literal["google-dreambooth"], Argument(metavar="DATA_SET", help="[bold]google-dreambooth[/], 30 subjects.")
    ],
    subjects: Annotated[str | None, Option(metavar="A,B", help="Names of subjects; all if none is given.")] = None,
    origin: Annotated[
        str | None, Option("--from", metavar="REPO", help="Its git repository, a URL or a folder; else GitHub's.")
    ] = None,
    revision: Annotated[str | None, Option(help="Commit, tag or branch; else the newest commit.")] = None,
    as_json: AsJson = False,
) -> None:
    """Import concepts of a public data set with `dvc import`, locked to a commit.

    All problems are reported together, and nothing is written if there are any. Repeated, it does what is missing.
    """
    from flows.concepts.import_data_set import run_import
    from tasks.concepts.dreambooth_data_set import REPOSITORY

    named = [name.strip() for name in (subjects or "").split(",") if name.strip()]
    if subjects is not None and not named:
        raise BadParameter("--subjects is empty; say them as in --subjects teapot,dog6")
    run_import(project(), origin or REPOSITORY, revision=revision, subjects=named, as_json=as_json)


@panel.command("list", "list --stale", 'list --category "stuffed animal" --serving', "list --json", name="list")
def list_(
    stale: Annotated[bool, Option("--stale", help="Only what would train.")] = False,
    failed: Annotated[bool, Option("--failed", help="Only what failed at night or cannot be trained.")] = False,
    serving: Annotated[bool, Option("--serving", help="Only what serves in production.")] = False,
    category: Annotated[str | None, Option(metavar="WORDS", help="Only categories with these words in them.")] = None,
    whole: Annotated[bool, Option("--all", help="A row for each concept, also of a long list.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the project's concepts: category, images, state, version, what serves, scores, last training.

    What needs somebody comes last. Of a long list, what is up to date is one line; --json has all.
    """
    from flows.concepts.listing import Filter, show_concepts

    wanted = Filter(stale=stale, failed=failed, serving=serving, category=category, whole=whole)
    show_concepts(project(), wanted, as_json=as_json)


@panel.command("train red-teapot", "train red-teapot my-dog --json")
def train(
    names: ConceptNames,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Train, evaluate and register concepts, doing only what changed since the last time.

    One concept's failure does not stop the others. A training that was stopped carries on from its last checkpoint.
    """
    from flows.training.summary import show_outcomes
    from flows.training.train import run_training

    outcomes = run_training(project(), names, verbose=verbose)
    if as_json:
        print_json([outcome.to_json() for outcome in outcomes])
    else:
        show_outcomes(outcomes)
    raise Exit(FAILED if any(outcome.error for outcome in outcomes) else DONE)


@panel.command("plan", "plan red-teapot", "plan --json")
def plan(names: SomeConcepts = None, as_json: AsJson = False) -> None:
    """Show what a night would train, from which stage on, and why. Changes nothing.

    Without NAME all concepts are looked at. What is out of date is no error: the exit code stays 0.
    """
    from flows.night.plan import run_plan

    raise Exit(run_plan(project(), names or [], as_json=as_json))


@panel.command(
    "nightly",
    "nightly --dry-run",
    "nightly --now --max-concepts 20 --max-hours 6",
    "nightly --now --retry",
    "nightly --now --force red-teapot",
)
def nightly(
    now: Annotated[bool, Option("--now", help="Have a night at once, here.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Show what a night would do, and do nothing.")] = False,
    force: Annotated[
        list[str] | None,
        Option(
            metavar="NAME",
            help="Try this concept in any case: its artefacts are read to the last byte, what is damaged made again.",
            autocompletion=complete_concept,
        ),
    ] = None,
    retry: Annotated[bool, Option("--retry", help="Try now what waits because it failed in nights before.")] = False,
    max_concepts: Annotated[
        int | None, Option(min=1, help="At most so many: forced ones, then those trained longest ago.")
    ] = None,
    max_hours: Annotated[float | None, Option(help="Begin no concept after so many hours.")] = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Train all concepts that changed, measure them against what is in use, and sum it up.

    Without --now or --dry-run it says when the scheduled night comes.

    A concept that fails stops no other. It is tried again the next night, then after 2, 4 and 7 nights, or as soon as
    it changes.
    """
    from flows.night.choice import NightOptions
    from flows.night.command import run_night, show_dry_run, show_schedule

    options = NightOptions(force=tuple(force or ()), retry=retry, max_concepts=max_concepts, max_hours=max_hours)
    if now and dry_run:
        raise BadParameter("say either --now or --dry-run")
    if now:
        raise Exit(run_night(project(), options, verbose=verbose, as_json=as_json))
    if dry_run:
        raise Exit(show_dry_run(project(), options, as_json=as_json))
    if options != NightOptions():
        raise BadParameter("--force, --retry, --max-concepts and --max-hours go with --now or --dry-run")
    raise Exit(show_schedule(project(), as_json=as_json))


@panel.command("adopt --dry-run", 'adopt --prove 2 --reason "the modules have moved"', "adopt --undo 3")
def adopt(
    prove: Annotated[int, Option(metavar="N", min=1, help="Train at least so many concepts anew.")] = 1,
    reason: Annotated[str | None, Option(metavar="TEXT", help="Why, for the record.")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Show what would be trained and kept, and do nothing.")] = False,
    undo: Annotated[int | None, Option(metavar="SEQ", min=1, help="Take an adoption back, by its number.")] = None,
    as_json: AsJson = False,
) -> None:
    """Keep what was trained after an upgrade of code or libraries that changes no result.

    Trains a concept again, from nothing, as many as cover every kind of stage that changed, and compares all files. If
    they are the same, one record makes everything count that the earlier code made; else nothing is kept, and the
    differences are listed.
    """
    from flows.adoption.command import run_adopt, run_undo

    if undo is not None:
        if dry_run or prove != 1:
            raise BadParameter("--undo goes with --reason alone")
        raise Exit(run_undo(project(), undo, reason=reason, as_json=as_json))
    raise Exit(run_adopt(project(), prove=prove, reason=reason, dry_run=dry_run, as_json=as_json))


@panel.command(
    'generate red-teapot "a photo of a {} in the snow"',
    'generate red-teapot@candidate "a watercolor of a {}" "a {} at night" -n 8 -o pictures --seed 7',
    'generate red-teapot/3 "a photo of a {} on the beach" --negative-prompt "people, text" --steps 40 --size 768x512',
)
def generate(
    concept: TrainedConcept,
    prompts: Annotated[list[str], Argument(metavar="PROMPT", help="Each with one {} where the concept goes.")],
    count: Annotated[int, Option("-n", "--count", min=1, max=1000, help="Pictures per prompt.")] = 4,
    output: Annotated[Path, Option("-o", "--output", help="Folder for the pictures.")] = Path("pictures"),
    seed: Annotated[int, Option(parser=seed_of, metavar="N", help="The same seed gives the same pictures.")] = 0,
    negative_prompt: Annotated[
        str | None, Option(metavar="TEXT", help="What should not be in them; without the concept.")
    ] = None,
    steps: Annotated[int | None, Option(help="Sampling steps; else params.yaml.")] = None,
    guidance: Annotated[
        float | None, Option(help="How closely to keep to the prompt, from 1; else params.yaml.")
    ] = None,
    size: Annotated[
        str | None, Option(metavar="WxH", help="Such as 768x512, near what the base draws; else its own.")
    ] = None,
    word_norm: Annotated[
        float | None, Option(help="Where the scene is lost: 1 gives [V] no more weight than its category; 0 off.")
    ] = None,
    word_turn: Annotated[
        float | None, Option(help="The same by direction: 0.2 turns [V] a fifth of the way to its category; 0 off.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make pictures of a trained concept in new scenes.

    In a prompt, {} becomes the concept: "a photo of a {} in the snow".

    NAME means what the last training registered, NAME@alias and NAME/version mean others.

    A picture is called NAME-vVERSION-words-of-the-prompt-SEED-INDEX.png; no file is ever overwritten.
    """
    from flows.concepts.generate import run_generate
    from tasks.drawing.generate import DrawingRequest
    from tasks.registry.reference import VersionReference

    settings, reference = project(), VersionReference.parse(concept)
    request = DrawingRequest(
        prompts=prompts,
        count=count,
        seed=seed,
        folder=output,
        negative_prompt=negative_prompt,
        steps=steps,
        guidance=guidance,
        size=size,
        word_norm=word_norm,
        word_turn=word_turn,
    )
    run_generate(settings, reference, request, as_json=as_json)


@panel.command("booth", "booth --read-only", "booth --host 0.0.0.0 --port 8080 --read-only")
def booth(
    host: Annotated[str | None, Option(help="Address to listen on; without it only this machine reaches it.")] = None,
    port: Annotated[int | None, Option(min=1, max=65535, help="Without it 7860, or a free one.")] = None,
    read_only: Annotated[
        bool, Option("--read-only", help="Nothing can be added or trained there, only drawn.")
    ] = False,
) -> None:
    """Open a page to draw, compare, add concepts and train in the browser, on this machine until Ctrl-C.

    It asks nothing of any other machine. What visitors have drawn is theirs alone.
    """
    from flows.booth.command import run_booth

    run_booth(project(), host=host, port=port, read_only=read_only)
