"""The commands of production: promote, roll back, prove."""

from pathlib import Path
from typing import Annotated

from typer import Argument, BadParameter, Exit, Option

from flows.cli.panel import AsJson, Panel, complete_concept, project

panel = Panel("Release")
Reason = Annotated[str | None, Option(help="Why; the ledger keeps it for ever.")]


@panel.command(
    'promote red-teapot --reason "likeness is better than ever"',
    "promote red-teapot --version 3",
    'promote --all-passing --reason "the week\'s release"',
    'promote red-teapot --override not_worse_than_champion.clip_t --reason "the new prompts are harder"',
)
def promote(
    concept: Annotated[
        str | None,
        Argument(metavar="[NAME]", help="NAME, NAME@alias or NAME/version.", autocompletion=complete_concept),
    ] = None,
    all_passing: Annotated[
        bool, Option("--all-passing", help="All concepts whose candidate passes the gates, instead of NAME.")
    ] = False,
    version: Annotated[int | None, Option(min=1, help="A registered version; else what came last.")] = None,
    reason: Reason = None,
    override: Annotated[
        list[str] | None, Option(metavar="GATE", help="Pass over this gate; needs --reason. May be repeated.")
    ] = None,
    approved_by: Annotated[str | None, Option(help="Who approved it, where the policy asks for that.")] = None,
    measure_again: Annotated[
        bool, Option("--measure-again", help="Embed the stored pictures anew; else scores come from stored embeddings.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a version into production, if it passes the gates of mlflow/promotion.yaml.

    Copies its bytes, registers them, draws a picture in a fresh process, and only then lets it serve. Stopped anywhere,
    the same command carries on; run again, it changes nothing.
    """
    from flows.production.promote import run_promotion
    from tasks.registry.reference import VersionReference

    if all_passing:
        from flows.production.promote_all import promote_all

        if concept or version or override:
            raise BadParameter("--all-passing goes without NAME, --version and --override: each is asked by its gates")
        raise Exit(
            promote_all(project(), reason=reason, approved_by=approved_by, measure_again=measure_again, as_json=as_json)
        )
    if concept is None:
        raise BadParameter("say NAME, or --all-passing")
    raise Exit(
        run_promotion(
            project(),
            VersionReference.parse(concept),
            version=version,
            reason=reason,
            overrides=override or [],
            approved_by=approved_by,
            measure_again=measure_again,
            as_json=as_json,
        )
    )


@panel.command('rollback red-teapot --reason "handles come out twice"', "rollback red-teapot --to 3")
def rollback(
    concept: Annotated[str, Argument(metavar="NAME", help="A promoted concept.", autocompletion=complete_concept)],
    to: Annotated[int | None, Option(metavar="SEQ", min=1, help="Record of the ledger; else the one before.")] = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Let an earlier promotion serve again; what served is not promoted again by itself."""
    from flows.production.promote import run_rollback

    raise Exit(run_rollback(project(), concept, to=to, reason=reason, as_json=as_json))


@panel.command('repair red-teapot --reason "the bucket was restored from the copy of Friday"')
def repair(
    concept: Annotated[str, Argument(metavar="NAME", help="A concept with a ledger.", autocompletion=complete_concept)],
    reason: Annotated[str, Option(help="Why; the ledger keeps it for ever.")],
    as_json: AsJson = False,
) -> None:
    """Go on with a ledger that is shorter or other than the registry remembers, or that holds records nobody signed.

    What serves goes on serving if registry and store both know it; all else that the ledger names is taken out of
    service. The repair is a record of the ledger itself.
    """
    from flows.production.promote import run_repair

    raise Exit(run_repair(project(), concept, reason=reason, as_json=as_json))


@panel.command(
    'takedown photos/IMG_2041.jpg --reason "the owner withdrew consent" --dry-run',
    'takedown photos/IMG_2041.jpg --reason "the owner withdrew consent"',
    'takedown 4f1c...e2 --reason "licence ended" --yes --json',
)
def takedown(
    image: Annotated[str, Argument(metavar="IMAGE", help="A file, or the sha256 of one: as stored, or as brought.")],
    reason: Annotated[str | None, Option(help="Why; it is kept for ever.")] = None,
    yes: Annotated[bool, Option("--yes", help="Do it without asking.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take an image down: out of its sets, and every version that saw it out of use, in production first.

    Shows what it found and asks before it does anything. Stopped anywhere, the same command carries on.
    """
    from flows.production.takedown import run_takedown

    raise Exit(run_takedown(project(), image, reason=reason, yes=yes, dry_run=dry_run, as_json=as_json))


@panel.command("releases", "releases red-teapot --json")
def releases(
    concept: Annotated[
        str | None, Argument(metavar="NAME", help="A concept; else all.", autocompletion=complete_concept)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the production ledger: what served since when, why, by whom, and which gates were passed over.

    The exit code is 1 where the ledger was changed or the production registry does not agree with it.
    """
    from flows.production.releases import show_releases

    raise Exit(show_releases(project(), concept, as_json=as_json))


registry = panel.group(
    "registry", "Put the model registry right.", "registry rebuild --dry-run", "registry delete red-teapot/3"
)


@registry.command("registry rebuild --dry-run", "registry rebuild --json")
def rebuild(
    dry_run: Annotated[bool, Option("--dry-run", help="Show what would be put back, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell MLflow again what it was told of every version, after its database was lost.

    Models, versions under their old numbers, tags, aliases and packages come from the store and the ledger; runs and
    their curves do not. Run again, it changes nothing. The exit code is 1 if something cannot be put back.
    """
    from flows.upkeep.registry import run_rebuild

    raise Exit(run_rebuild(project(), dry_run=dry_run, as_json=as_json))


@registry.command("registry delete red-teapot/3", "registry delete red-teapot/3 --dry-run")
def delete(
    version: Annotated[str, Argument(metavar="NAME/VERSION", help="A registered version.")],
    yes: Annotated[bool, Option("--yes", help="Do it without asking.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Only say whether it may go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a registered version that was never promoted and has no alias.

    MLflow deletes whatever it is asked to; this refuses what the production ledger names, and says why.
    """
    from flows.upkeep.registry import run_deletion
    from tasks.registry.reference import VersionReference

    reference = VersionReference.parse(version)
    raise Exit(run_deletion(project(), reference, yes=yes, dry_run=dry_run, as_json=as_json))


@panel.command(
    "verify-release s3://models/production --key public.pem",
    "verify-release .conceptbooth/store --key public.pem --html releases.html",
    name="verify-release",
)
def verify_release(
    place: Annotated[str, Argument(metavar="PLACE", help="The production store: s3://bucket/prefix, or a folder.")],
    key: Annotated[Path, Option(metavar="PUB", help="Public half of the signing key (PEM).")],
    html: Annotated[Path | None, Option(metavar="FILE", help="Write a page for auditors.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check every promoted model and the ledger with nothing but the public key: no project, registry or server.

    It lists the releases with their files, the images that they were learnt from, and whose signature they carry.
    """
    from flows.production.verify_release import verify_releases

    raise Exit(verify_releases(place, key, as_json=as_json, page=html))
