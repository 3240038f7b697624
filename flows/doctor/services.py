"""What this project keeps its things in and talks to, each proved by use: written, read back, written conditionally."""

import dataclasses
import shutil
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

from flows.doctor.diagnosis import Diagnosis, Probe
from model.errors import InputError
from tasks.concepts.takedown_memory import takedown_doubts
from tasks.dvc.storage import S3Remote, UnreadRemote, dvc_storage
from tasks.files.s3_url import SCHEME, S3Url
from tasks.lineage.check_results import NOT_SIGNED
from tasks.production.registry import open_production, placement_problem
from tasks.project.settings import Settings, shown_api, shown_path
from tasks.project.settings_files import read_dotenv, read_settings_file
from tasks.signing.keys import ROLES, all_key_problems, signer_of
from tasks.signing.trusted_keys import load_trusted_keys
from tasks.store.probes import prove_folder, prove_s3
from tasks.store.s3 import s3_client
from tasks.store.store import open_store
from tasks.tracking.address import SERVER_SCHEMES, address_problem, scheme_of, shown, sqlite_file
from tasks.tracking.table_forms import form_problem
from tasks.verification.records import examine_records

ANSWER_SECONDS = 5
LOW_DISK_BYTES = 2 * 2**30
_VARIABLE: Literal["/variables/name/{name}"] = "/variables/name/{name}"


def service_probes(settings: Settings) -> dict[str, Probe]:
    """How to look at each place, by what it is called."""
    return {
        "store": lambda: _store(settings),
        "records": lambda: _records(settings),
        **_production_probes(settings),
        "keys": lambda: _keys(settings),
        "picture signing": lambda: _picture_signing(settings),
        "DVC remote": lambda: _dvc_remote(settings),
        "MLflow": lambda: _mlflow(settings),
        "Prefect": lambda: _prefect(settings),
        "Prefect results": lambda: [_prefect_results(settings)],
    }


def _production_probes(settings: Settings) -> dict[str, Probe]:
    """Of the places of production that are not those of development."""
    probes: dict[str, Probe] = {}
    if settings.production_store != settings.store:
        probes["production store"] = lambda: _production_store(settings)
    if settings.production_tracking_uri != settings.mlflow_tracking_uri:
        there = settings.model_copy(update={"mlflow_tracking_uri": settings.production_tracking_uri})
        probes["production registry"] = lambda: _production_registry(there)
    return probes


def _production_store(settings: Settings) -> Iterator[Diagnosis]:
    open_production(settings).probe()
    said = f"{settings.production_store}: writes, reads and creates exclusively"
    yield Diagnosis(what="production store", state="ok", found=said)
    if problem := placement_problem(settings):
        yield Diagnosis(what="production store", state="problem", found=problem)


def _production_registry(there: Settings) -> Iterator[Diagnosis]:
    for diagnosis in _mlflow(there):
        found = diagnosis.found.replace("first training", "first promotion")
        if diagnosis.what == "MLflow":  # where artefacts lie is the production store's matter
            yield dataclasses.replace(diagnosis, what="production registry", found=found)


def _picture_signing(settings: Settings) -> Iterator[Diagnosis]:
    """Key and certificates of what is drawn, by signing a picture for a trial."""
    if settings.c2pa_key is None and settings.c2pa_certificates is None:
        return
    from model.marks.content_credentials import open_signer

    open_signer(settings.c2pa_key, settings.c2pa_certificates)
    yield Diagnosis(what="picture signing", state="ok", found=f"{settings.c2pa_key} signs, by C2PA")


def _store(settings: Settings) -> Iterator[Diagnosis]:
    open_store(settings).probe()
    found = f"{settings.store}: writes, reads and creates exclusively"
    if not isinstance(settings.store, Path):
        at = f" ({settings.s3_endpoint_url})" if settings.s3_endpoint_url else ""
        cache = f"cached in {settings.home / 'cache'}, at most {settings.cache_gigabytes:g} GB"
        yield Diagnosis(what="store", state="ok", found=f"{found}{at}; {cache}")
        return
    free = shutil.disk_usage(settings.store).free
    found += f"; {free / 2**30:.1f} GB free"
    if free < LOW_DISK_BYTES:
        yield Diagnosis(what="store", state="note", found=found, way_out="a training on a large base needs more room")
    else:
        yield Diagnosis(what="store", state="ok", found=found)


def _records(settings: Settings) -> Iterator[Diagnosis]:
    """The store's records, each read and held against its seal."""
    found = examine_records(open_store(settings), keys=load_trusted_keys(settings))
    for doubt in takedown_doubts(settings, open_store(settings)):
        yield Diagnosis(what="records", state="problem", found=doubt)
    unsigned = {path: problem for path, each in found.unsigned.items() if (problem := each.problem)}
    for path, said in {**found.problems, **unsigned}.items():
        way_out = "`conceptbooth upgrade` mends it where it can be"
        yield Diagnosis(what="records", state="problem", found=f"{path}: {said}", way_out=way_out)
    if found.unsealed:
        said = f"{len(found.unsealed)} of {found.whole} are of before records were sealed: damage would not show"
        yield Diagnosis(what="records", state="note", found=said, way_out="`conceptbooth upgrade --dry-run`")
    elif not found.problems and not unsigned:
        yield Diagnosis(what="records", state="ok", found=f"{found.whole}, each as it was sealed")


def _keys(settings: Settings) -> Iterator[Diagnosis]:
    """What signs here, and whose signature counts."""
    problems = all_key_problems(settings)
    if problems:
        raise InputError(*problems)
    trusted = load_trusted_keys(settings)
    for role in ROLES:
        names = ", ".join(str(key) for key in trusted.keys if role in key.trusted_with)
        signer = signer_of(settings, role)
        own = signer and f"signed here by {signer.key}"
        if signer and signer.key not in {key.id for key in trusted.keys if role in key.trusted_with}:
            way_out = f"add its public half to {shown_path(settings, settings.trusted_keys)}"
            said = f"{role}: {own}, which nobody here trusts"
            yield Diagnosis(what="keys", state="problem", found=said, way_out=way_out)
        elif names:
            yield Diagnosis(what="keys", state="ok", found=f"{role}: {own or 'not signed here'}; trusted: {names}")
        else:
            yield Diagnosis(what="keys", state="ok", found=f"{role}: {NOT_SIGNED}")


def _dvc_remote(settings: Settings) -> Iterator[Diagnosis]:
    remote = dvc_storage(settings).remote
    if remote is None:
        shared = not isinstance(settings.store, Path)
        yield Diagnosis(
            what="DVC remote",
            state="note" if shared else "ok",
            found="none: images stay on this machine",
            way_out="`dvc remote add --default NAME s3://BUCKET/PREFIX` lets other machines have them"
            if shared
            else "",
        )
    elif isinstance(remote, UnreadRemote):
        yield Diagnosis(
            what="DVC remote",
            state="note",
            found=f"{remote.address}: of a kind that DVC alone reads",
            way_out="workers fetch images by themselves from folders and s3:// only; elsewhere `dvc pull` first",
        )
    else:
        remote.probe()
        lost = isinstance(remote, S3Remote) and not remote.names_endpoint and _dvc_alone_misses_s3(settings)
        yield Diagnosis(
            what="DVC remote",
            state="note" if lost else "ok",
            found=f"{remote.address}: writes and reads" + ("; but `dvc push` would go to Amazon" if lost else ""),
            way_out=f"`dvc remote modify NAME endpointurl {settings.s3_endpoint_url}`, or `conceptbooth add --push`"
            if lost
            else "",
        )


def _dvc_alone_misses_s3(settings: Settings) -> bool:
    """Whether S3's address is known by our own settings only, which DVC's commands do not read."""
    ours = [*read_settings_file(settings.root), *(name.lower() for name in read_dotenv(settings.root))]
    return bool(settings.s3_endpoint_url) and any(
        name in ours for name in ("s3_endpoint_url", "aws_endpoint_url_s3", "aws_endpoint_url")
    )


def _mlflow(settings: Settings) -> Iterator[Diagnosis]:
    if problem := address_problem(settings):
        raise InputError(problem)
    scheme = scheme_of(settings.mlflow_tracking_uri)
    if scheme in SERVER_SCHEMES:
        yield from _mlflow_server(settings)
    elif scheme == "sqlite":
        yield _mlflow_database(settings)
        yield _artifact_root(settings)
    else:
        yield Diagnosis(what="MLflow", state="note", found=f"database {shown(settings)}: not asked")


def _mlflow_server(settings: Settings) -> Iterator[Diagnosis]:
    """By MLflow's own client, which knows credentials; the server says where artefacts go."""
    name = shown(settings)
    health = f"{settings.mlflow_tracking_uri.rstrip('/')}/health"
    if silent := _silence(health):
        yield Diagnosis(
            what="MLflow", state="problem", found=f"{name} {silent}", way_out="start it, or set MLFLOW_TRACKING_URI"
        )
        return
    from tasks.tracking.probes import prove_artifacts, prove_server

    location = prove_server(settings)
    yield Diagnosis(what="MLflow", state="ok", found=f"{name}: writes and reads")
    prove_artifacts(settings, location)
    yield Diagnosis(what="MLflow artefacts", state="ok", found=f"{location}: writes and reads")


def _mlflow_database(settings: Settings) -> Diagnosis:
    from tasks.tracking.probes import prove_database

    file, counted = sqlite_file(settings.mlflow_tracking_uri), prove_database(settings)
    if counted is None:
        return Diagnosis(what="MLflow", state="ok", found=f"{file}: made by the first training")
    models, versions = counted
    return Diagnosis(
        what="MLflow", state="ok", found=f"{file}: writes and reads; {models} concepts registered, {versions} versions"
    )


def _artifact_root(settings: Settings) -> Diagnosis:
    root = settings.mlflow_artifact_root
    if root.startswith(SCHEME):
        prove_s3("MLflow artefacts", s3_client(settings.s3_endpoint_url), S3Url.parse(root))
    elif root.startswith("file:") or "://" not in root:
        folder = Path(url2pathname(urlsplit(root).path))
        folder.mkdir(parents=True, exist_ok=True)
        prove_folder("MLflow artefacts", folder)
    else:
        return Diagnosis(what="MLflow artefacts", state="note", found=f"{root}: not tried")
    return Diagnosis(what="MLflow artefacts", state="ok", found=f"{root}: writes and reads")


def _prefect(settings: Settings) -> Iterator[Diagnosis]:
    url = settings.prefect_api_url.rstrip("/")
    if not url:
        database = settings.prefect_home / "prefect.db"
        if problem := form_problem(database, "prefect") if database.is_file() else None:
            raise InputError(f"{database}: {problem}; move it away, it holds what was shown of runs, and no result")
        found = f"no server needed; its database is in {settings.prefect_home}"
        yield Diagnosis(what="Prefect", state="ok", found=found)
        return
    if silent := _silence(f"{url}/health"):
        way_out = "start it, or unset PREFECT_API_URL to work without a server"
        yield Diagnosis(what="Prefect", state="problem", found=f"{shown_api(settings)} {silent}", way_out=way_out)
        return
    from flows.server.shared_server import find_server, server_client

    server, name = find_server(settings), f"doctor_{uuid.uuid4().hex}"
    with server_client(settings) as client:
        client.request("POST", "/variables/", json={"name": name, "value": name}).raise_for_status()
        read = client.request("GET", _VARIABLE, path_params={"name": name}).json()["value"]
        client.request("DELETE", _VARIABLE, path_params={"name": name}).raise_for_status()
    if read != name:
        raise InputError(f"{shown_api(settings)}: what was written does not read back")
    if problem := server.version_problem():
        raise InputError(problem)
    said = f"{shown_api(settings)}: writes and reads; version {server.version}"
    warning = server.lease_warning()
    yield Diagnosis(what="Prefect", state="note" if warning else "ok", found=said, way_out=warning or "")


def _prefect_results(settings: Settings) -> Diagnosis:
    place = settings.prefect_results
    if isinstance(place, Path):
        place.mkdir(parents=True, exist_ok=True)
        prove_folder("Prefect results", place)
    else:
        prove_s3("Prefect results", s3_client(settings.s3_endpoint_url), place)
    return Diagnosis(what="Prefect results", state="ok", found=f"{place}: writes and reads")


def _silence(health: str) -> str | None:
    """What is wrong with a server's answer; None if it is well."""
    try:
        with urllib.request.urlopen(health, timeout=ANSWER_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return f"answers {error.code} {error.reason}"
    except OSError as error:
        return f"does not answer: {getattr(error, 'reason', error)}"
