"""The command line ``conceptbooth``: thin, and quick to answer because every command imports its work inside."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, BadParameter, Exit, Option, Typer

from flows.console import DEBUG_VARIABLE, DONE, FAILED, ReportingCommand, print_json

if TYPE_CHECKING:
    from tasks.settings import Settings

app = Typer(
    name="conceptbooth",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

GET_STARTED, EVERY_DAY, LOOK, OPERATE = "Get started", "Every day", "Look inside", "On a Prefect server"
RELEASE = "Release"


def _examples(*lines: str) -> str:
    """Lines shown at the end of a command's help, one a paragraph because Typer joins the lines of a paragraph."""
    return "\n\n".join(["[bold]Examples[/]", *(f"[cyan]conceptbooth {line}[/]" for line in lines)])


def _project() -> "Settings":
    """Settings of the project around the current folder, with the libraries' own settings put into the environment."""
    from tasks.settings import apply_environment, load_settings

    settings = load_settings()
    apply_environment(settings)
    return settings


def _complete_concept(incomplete: str) -> list[str]:
    """Names of the project's concepts for the shell; an empty list outside a project."""
    folder = next(
        (p / "data" / "concepts" for p in (Path.cwd(), *Path.cwd().parents) if (p / "params.yaml").is_file()), None
    )
    if folder is None or not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.name.startswith(incomplete) and (p / "concept.yaml").is_file())


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"conceptbooth {version('conceptbooth')}")
        raise Exit(DONE)


AsJson = Annotated[
    bool, Option("--json", help="Print one JSON document for scripts; errors become JSON on standard error.")
]
ConceptNames = Annotated[
    list[str],
    Argument(metavar="NAME", help="Concepts of this project: `conceptbooth list`.", autocompletion=_complete_concept),
]
SomeConcepts = Annotated[
    list[str] | None,
    Argument(metavar="[NAME]", help="Concepts; all if none is named.", autocompletion=_complete_concept),
]


Reason = Annotated[str | None, Option(help="Why; the ledger keeps it for ever.")]


@app.callback()
def options(
    debug: Annotated[bool, Option("--debug", envvar=DEBUG_VARIABLE, help="Show where an error comes from.")] = False,
    version: Annotated[
        bool, Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Teach a text-to-image model new concepts from a few pictures each, and keep them traceable.

    Exit codes: [bold]0[/] done, [bold]1[/] work failed, [bold]2[/] bad input or usage. Results go to standard output,
    everything else to standard error.
    """
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"


@app.command(cls=ReportingCommand, rich_help_panel=GET_STARTED, epilog=_examples("demo", "demo --json"))
def demo(as_json: AsJson = False) -> None:
    """Make the bundled sample concept: images, training, evaluation, registration, gallery.

    Takes a few minutes on two CPU cores the first time, seconds when nothing changed. Needs no network and no GPU.
    """
    from flows.demo import run_demo

    raise Exit(run_demo(_project(), as_json=as_json))


@app.command(
    cls=ReportingCommand,
    rich_help_panel=EVERY_DAY,
    epilog=_examples(
        "add red-teapot photos/*.jpg --category teapot",
        'add my-dog ~/pictures/dog --category dog --licence CC-BY-4.0 --source "own photographs" --consent "the owner"',
    ),
)
def add(
    name: Annotated[
        str, Argument(metavar="NAME", help="Lowercase letters, digits, dashes, such as [bold]red-teapot[/].")
    ],
    images: Annotated[list[Path], Argument(metavar="IMAGES", help="3 to 8 image files, or folders of them.")],
    category: Annotated[
        str, Option(help='What kind of thing it is, in words that the base model knows: "stuffed animal".')
    ],
    licence: Annotated[str | None, Option(help="Licence of the images, such as CC-BY-4.0.")] = None,
    source: Annotated[str | None, Option(help="Where the images come from.")] = None,
    consent: Annotated[str | None, Option(help="Who agreed to training on them.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add a concept: check its images, take their metadata out, and put them under version control.

    All problems are reported together, and nothing is written if there are any.
    """
    from flows.add import run_add

    run_add(
        _project(),
        name=name,
        images=images,
        category=category,
        licence=licence,
        source=source,
        consent=consent,
        as_json=as_json,
    )


@app.command(name="list", cls=ReportingCommand, rich_help_panel=EVERY_DAY, epilog=_examples("list", "list --json"))
def list_(as_json: AsJson = False) -> None:
    """List the project's concepts with their category, images, licence and data version."""
    from flows.concept_list import show_concepts

    show_concepts(_project(), as_json=as_json)


@app.command(
    cls=ReportingCommand,
    rich_help_panel=EVERY_DAY,
    epilog=_examples("train red-teapot", "train red-teapot my-dog --json"),
)
def train(
    names: ConceptNames,
    verbose: Annotated[bool, Option("--verbose", help="Show what Prefect logs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train, evaluate and register concepts, doing only what changed since the last time.

    One concept's failure does not stop the others. A training that was stopped carries on from its last finished
    stage.
    """
    from flows.summary import show_outcomes
    from flows.train import run_training

    outcomes = run_training(_project(), names, verbose=verbose)
    if as_json:
        print_json([outcome.to_json() for outcome in outcomes])
    else:
        show_outcomes(outcomes)
    raise Exit(FAILED if any(outcome.error for outcome in outcomes) else DONE)


@app.command(
    cls=ReportingCommand, rich_help_panel=EVERY_DAY, epilog=_examples("plan", "plan red-teapot", "plan --json")
)
def plan(names: SomeConcepts = None, as_json: AsJson = False) -> None:
    """Show what a night would train, from which stage on, and why. Changes nothing.

    Without NAME all concepts are looked at. What is out of date is no error: the exit code stays 0.
    """
    from flows.plan import run_plan

    raise Exit(run_plan(_project(), names or [], as_json=as_json))


@app.command(
    cls=ReportingCommand,
    rich_help_panel=EVERY_DAY,
    epilog=_examples(
        "nightly",
        "nightly --dry-run",
        "nightly --now --max-concepts 20 --max-hours 6",
        "nightly --now --force red-teapot",
    ),
)
def nightly(
    now: Annotated[bool, Option("--now", help="Have a night at once, here.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Show what a night would do, and do nothing.")] = False,
    force: Annotated[
        list[str] | None,
        Option(
            metavar="NAME",
            help="Go through this concept in any case: one that waits is tried, one that is up to date is verified.",
            autocompletion=_complete_concept,
        ),
    ] = None,
    max_concepts: Annotated[int | None, Option(min=1, help="Train at most so many, those trained longest ago.")] = None,
    max_hours: Annotated[float | None, Option(help="Begin no concept after so many hours.")] = None,
    verbose: Annotated[bool, Option("--verbose", help="Show what Prefect logs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train all concepts that changed, measure them against what is in use, and sum it up.

    Without --now or --dry-run it says when the scheduled night comes.

    A concept that fails stops no other. It is tried again the next night, then after 2, 4 and 7 nights, or as soon as
    it changes.
    """
    from flows.night_choice import NightOptions
    from flows.night_command import run_night, show_dry_run, show_schedule

    options = NightOptions(force=tuple(force or ()), max_concepts=max_concepts, max_hours=max_hours)
    if now and dry_run:
        raise BadParameter("say either --now or --dry-run")
    if now:
        raise Exit(run_night(_project(), options, verbose=verbose, as_json=as_json))
    if dry_run:
        raise Exit(show_dry_run(_project(), options, as_json=as_json))
    if options != NightOptions():
        raise BadParameter("--force, --max-concepts and --max-hours go with --now or --dry-run")
    raise Exit(show_schedule(_project(), as_json=as_json))


@app.command(
    cls=ReportingCommand,
    rich_help_panel=EVERY_DAY,
    epilog=_examples(
        'generate red-teapot "a photo of a {} in the snow"',
        'generate red-teapot@candidate "a watercolor of a {}" "a {} at night" -n 8 -o pictures --seed 7',
        'generate red-teapot/3 "a photo of a {} on the beach"',
    ),
)
def generate(
    concept: Annotated[str, Argument(metavar="NAME", help="A trained concept.", autocompletion=_complete_concept)],
    prompts: Annotated[list[str], Argument(metavar="PROMPT", help="Each with one {} where the concept goes.")],
    count: Annotated[int, Option("-n", "--count", min=1, max=1000, help="Pictures per prompt.")] = 4,
    output: Annotated[Path, Option("-o", "--output", help="Folder for the pictures.")] = Path("pictures"),
    seed: Annotated[int, Option(min=0, max=2**32 - 1, help="The same seed gives the same pictures.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Make pictures of a trained concept in new scenes.

    In a prompt, {} becomes the concept: "a photo of a {} in the snow".

    NAME means what the last training registered, NAME@alias and NAME/version mean others.

    A picture is called NAME-vVERSION-words-of-the-prompt-SEED-INDEX.png; no file is ever overwritten.
    """
    from flows.generate import generate_pictures

    generate_pictures(_project(), concept, prompts, count=count, folder=output, seed=seed, as_json=as_json)


@app.command(
    cls=ReportingCommand,
    rich_help_panel=LOOK,
    epilog=_examples(
        "lineage red-teapot",
        "lineage red-teapot@champion --verify --html lineage.html",
        "lineage --image photos/IMG_2041.jpg",
        "lineage --near screenshot.png --json",
    ),
)
def lineage(
    name: Annotated[
        str | None,
        Argument(metavar="NAME", help="NAME, NAME@alias or NAME/version.", autocompletion=_complete_concept),
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
        from flows.lineage import show_lineage

        raise Exit(show_lineage(_project(), name, proved=verify, as_json=as_json, page=html))
    from flows.sightings import show_sightings

    show_sightings(_project(), image=image, near=near, as_json=as_json)


@app.command(
    cls=ReportingCommand, rich_help_panel=LOOK, epilog=_examples("gc --dry-run", "gc", "gc --forget red-teapot")
)
def gc(
    dry_run: Annotated[bool, Option("--dry-run", help="Show what would be removed, and remove nothing.")] = False,
    forget: Annotated[
        list[str] | None,
        Option(metavar="NAME", help="Let go of a concept that was removed, and that no other project trains."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove what nothing needs any more: no registered or promoted version, no plan, no run of the last days.

    Says what goes, why, and how much room it took. Asks nothing. If somebody who may need something cannot be asked
    (MLflow, the production ledger, a concept that is broken), nothing is removed.
    """
    from flows.gc import run_gc

    raise Exit(run_gc(_project(), dry_run=dry_run, forget=forget or [], as_json=as_json))


@app.command(
    cls=ReportingCommand,
    rich_help_panel=RELEASE,
    epilog=_examples(
        'promote red-teapot --reason "likeness is better than ever"',
        "promote red-teapot --version 3",
        'promote red-teapot --override not_worse_than_champion.clip_t --reason "the new prompts are harder"',
    ),
)
def promote(
    concept: Annotated[str, Argument(metavar="NAME", help="A trained concept.", autocompletion=_complete_concept)],
    version: Annotated[int | None, Option(min=1, help="A registered version; else what came last.")] = None,
    reason: Reason = None,
    override: Annotated[
        list[str] | None, Option(metavar="GATE", help="Pass over this gate; needs --reason. May be repeated.")
    ] = None,
    approved_by: Annotated[str | None, Option(help="Who approved it, where the policy asks for that.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put a version into production, if it passes the gates of mlflow/promotion.yaml.

    Copies its bytes, registers them, draws a picture in a fresh process, and only then lets it serve. Stopped anywhere,
    the same command carries on; run again, it changes nothing.
    """
    from flows.promote import run_promotion

    raise Exit(
        run_promotion(
            _project(),
            concept,
            version=version,
            reason=reason,
            overrides=override or [],
            approved_by=approved_by,
            as_json=as_json,
        )
    )


@app.command(
    cls=ReportingCommand,
    rich_help_panel=RELEASE,
    epilog=_examples('rollback red-teapot --reason "handles come out twice"', "rollback red-teapot --to 3"),
)
def rollback(
    concept: Annotated[str, Argument(metavar="NAME", help="A promoted concept.", autocompletion=_complete_concept)],
    to: Annotated[int | None, Option(metavar="SEQ", min=1, help="Record of the ledger; else the one before.")] = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Let an earlier promotion serve again; what served is not promoted again by itself."""
    from flows.promote import run_rollback

    raise Exit(run_rollback(_project(), concept, to=to, reason=reason, as_json=as_json))


@app.command(cls=ReportingCommand, rich_help_panel=RELEASE, epilog=_examples("releases", "releases red-teapot --json"))
def releases(
    concept: Annotated[
        str | None, Argument(metavar="[NAME]", help="A concept; else all.", autocompletion=_complete_concept)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the production ledger: what served since when, why, by whom, and which gates were passed over.

    The exit code is 1 where the ledger was changed or the production registry does not agree with it.
    """
    from flows.releases import show_releases

    raise Exit(show_releases(_project(), concept, as_json=as_json))


@app.command(
    name="verify-release",
    cls=ReportingCommand,
    rich_help_panel=RELEASE,
    epilog=_examples(
        "verify-release s3://models/production --key public.pem", "verify-release .conceptbooth/store --key public.pem"
    ),
)
def verify_release(
    place: Annotated[str, Argument(metavar="PLACE", help="The production store: s3://bucket/prefix, or a folder.")],
    key: Annotated[Path, Option(metavar="PUB", help="Public half of the signing key (PEM).")],
    as_json: AsJson = False,
) -> None:
    """Check every promoted model and the ledger with nothing but the public key: no project, registry or server."""
    from flows.verify_release import verify_releases

    raise Exit(verify_releases(place, key, as_json=as_json))


@app.command(
    cls=ReportingCommand,
    rich_help_panel=LOOK,
    epilog=_examples("diff red-teapot 2 3", "diff red-teapot champion candidate --sheet two.png"),
)
def diff(
    name: Annotated[str, Argument(metavar="NAME", help="A trained concept.", autocompletion=_complete_concept)],
    before: Annotated[str, Argument(metavar="VERSION", help="A version's number, or an alias.")],
    after: Annotated[str, Argument(metavar="VERSION", help="Another one.")],
    sheet: Annotated[Path | None, Option(help="Where to draw both, side by side from the same seeds.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what changed between two versions: images, parameters, code, base, scores, pictures."""
    from flows.version_diff import show_diff

    show_diff(_project(), name, before, after, sheet=sheet, as_json=as_json)


@app.command(cls=ReportingCommand, rich_help_panel=LOOK, epilog=_examples("ui"))
def ui() -> None:
    """Start the Prefect and MLflow pages on this machine until Ctrl-C."""
    from flows.ui import serve

    serve(_project())


@app.command(cls=ReportingCommand, rich_help_panel=LOOK, epilog=_examples("doctor", "doctor --json"))
def doctor(as_json: AsJson = False) -> None:
    """Check what is configured, reachable and missing."""
    from flows.doctor import run_doctor

    raise Exit(run_doctor(_project(), as_json=as_json))


@app.command(cls=ReportingCommand, rich_help_panel=OPERATE, epilog=_examples("deploy", "deploy --json"))
def deploy(as_json: AsJson = False) -> None:
    """Check prefect.yaml, then make its work pools and deployments on the Prefect server.

    Run it again after every change of the file; what is there already is brought up to date.
    """
    from flows.deploy import run_deploy

    run_deploy(_project(), as_json=as_json)


@app.command(
    cls=ReportingCommand,
    rich_help_panel=OPERATE,
    epilog=_examples("worker --gpu 0", "worker --gpu GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77", "worker --cpu"),
)
def worker(
    gpu: Annotated[str | None, Option(help="Train on this GPU: its number or UUID. One worker a GPU.")] = None,
    cpu: Annotated[bool, Option("--cpu", help="Run the nightly flow, which needs no GPU itself.")] = False,
    pool: Annotated[str | None, Option(help="Another work pool than `gpu` or `cpu`.")] = None,
) -> None:
    """Become a Prefect worker of this project, until it is stopped.

    Its name is the machine's and the GPU's; the environment variable WORKER_ID gives another.
    """
    if (gpu is None) != cpu:
        raise BadParameter("say either --gpu N or --cpu")
    from flows.worker import run_worker

    run_worker(_project(), gpu=gpu, pool=pool)


def main() -> None:
    """Entry point of the console script."""
    sys.exit(app())
