"""Where this project keeps things and which servers it talks to: environment, `.env`, `conceptbooth.toml`, defaults.

Settings are matters of the machine (folders, addresses, the device); what decides a result stands in params.yaml
(tasks/project/params.py). Everything that the embedded default keeps lies in one folder of the project,
`.conceptbooth/`.
"""

import difflib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from model.bases.recorded_base import BASE_VARIABLE
from model.errors import InputError
from model.training.checkpoint_interval import CheckpointInterval
from model.training.picture_steps import PictureInterval
from tasks.files.addresses import parse_address, without_credentials
from tasks.files.s3_url import S3Url
from tasks.project.settings_files import CREDENTIALS, SETTINGS_FILE, read_dotenv, read_settings_file

PARAMS_FILE = "params.yaml"
PREFIX = "CONCEPTBOOTH_"
_MLFLOW_FILES = ("file", "s3", "gs", "wasbs", "abfss", "hdfs", "dbfs", "sftp", "mlflow-artifacts", "http", "https")
"""Schemes under which MLflow keeps files."""
_FOLDERS = (
    "root",
    "home",
    "gallery_dir",
    "concepts_dir",
    "params_file",
    "prefect_home",
    "signing_key",
    "training_key",
    "trusted_keys",
    "c2pa_key",
    "c2pa_certificates",
)
_S3_ADDRESSES = ("AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL")
"""Where the libraries look for the address of S3."""
OTHER_VARIABLES = {
    BASE_VARIABLE,
    "CONCEPTBOOTH_DEBUG",
    *(f"CONCEPTBOOTH_SERVE_{bound}" for bound in ("PICTURES", "STEPS", "LETTERS")),
}
"""Read elsewhere, from the environment alone: where a version's base is looked for, the command line, a served model's
bounds (`model.serving.requests.Bounds`)."""


class Settings(BaseSettings):
    """Settings of one project; every path is absolute (relative ones are read from `root`)."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", validate_default=True
    )

    root: Path = Field(description="the project: the folder that holds params.yaml")
    home: Path = Field(default=Path(".conceptbooth"), description="everything that the embedded default keeps")
    store: Path | S3Url = Field(
        default_factory=lambda known: known["home"] / "store",
        description="the artefact store: a folder, or s3://bucket/prefix",
    )
    s3_endpoint_url: str = Field(
        default="",
        validation_alias=AliasChoices(
            f"{PREFIX}S3_ENDPOINT_URL", "s3_endpoint_url", "aws_endpoint_url_s3", "aws_endpoint_url"
        ),
        description="address of what speaks S3, for the store, MLflow, DVC and Prefect alike; empty: Amazon",
    )
    cache_gigabytes: float = Field(
        default=50.0, gt=0, description="most that contents of a store in S3 may take up on this machine, in `home`"
    )
    gc_keep_days: float = Field(
        default=7.0, ge=1, description="artefacts that were made or used within so many days are not cleared up"
    )
    gallery_dir: Path = Field(
        default_factory=lambda known: known["home"] / "gallery", description="galleries, one folder a concept"
    )
    concepts_dir: Path = Field(default=Path("data/concepts"), description="concepts, one folder each")
    images: Literal["folder", "record"] = Field(
        default="folder",
        description="which images a concept has: those in its folder, or always those that DVC has on record",
    )
    params_file: Path = Field(default=Path(PARAMS_FILE), description="what decides a result")
    device: Literal["auto", "cuda", "mps", "cpu"] = Field(default="auto", description="where the model runs")
    processes: int = Field(
        default=1,
        ge=1,
        le=64,
        description="processes that share each step of a training, each on a GPU of its own; more than one round "
        "sums otherwise, so their number is in the key",
    )
    checkpoint_every: str = Field(
        default="60 seconds",
        description="how often a training keeps a checkpoint: '60 seconds' (less often where it takes longer than 2 % "
        "of the time), '25 steps', 'never'",
    )
    training_pictures: str = Field(
        default="auto",
        description="pictures of a training on its way, in MLflow and in the gallery: 'auto' (up to four times a "
        "stage, for at most 5 % of its work), '50 steps' (for at most half), 'never'",
    )
    prefect_home: Path = Field(
        default_factory=lambda known: known["home"] / "prefect", description="Prefect's database and results"
    )
    prefect_results: Path | S3Url = Field(
        default_factory=lambda known: known["prefect_home"] / "results",
        description="what Prefect remembers of tasks: a folder, or s3://bucket/prefix for machines that share a server",
    )
    # In the environment, where capitals do not matter, the second name is the variable of the library itself.
    prefect_api_url: str = Field(
        default="",
        validation_alias=AliasChoices(f"{PREFIX}PREFECT_API_URL", "prefect_api_url"),
        description="a Prefect server; empty: one that lives as long as the command",
    )
    dispatch: Literal["here", "workers"] = Field(
        default="here",
        description="who trains what a night finds out of date: its own process, or workers of the Prefect server",
    )
    training_hours: float = Field(
        default=24.0, gt=0, description="a training on a worker that takes longer is cancelled by its night"
    )
    mlflow_tracking_uri: str = Field(
        default_factory=lambda known: f"sqlite:///{known['home'] / 'mlflow' / 'mlflow.db'}",
        validation_alias=AliasChoices(f"{PREFIX}MLFLOW_TRACKING_URI", "mlflow_tracking_uri"),
        description="MLflow's tracking server or database",
    )
    mlflow_artifact_root: str = Field(
        default_factory=lambda known: (known["home"] / "mlflow" / "artifacts").as_uri(),
        description="artefacts of new MLflow experiments in the embedded database (a server has its own)",
    )

    drawn_records: Literal["pictures", "prompts", "none"] = Field(
        default="pictures",
        description="what the store keeps of each picture that `generate` or the booth draws, so that `whence` knows a "
        "copy without metadata: its hash, seed and version, with the prompt too, or nothing",
    )
    booth_read_only: bool = Field(
        default=False, description="whether nobody can add concepts or train on the page of `conceptbooth booth`"
    )

    notify_url: SecretStr = Field(
        default=SecretStr(""),
        description="where each night's summary is sent: POST of JSON; a secret, since many such addresses are",
    )
    notify_token: SecretStr = Field(
        default=SecretStr(""), description="sent along as `Authorization: Bearer`, where the receiver wants one"
    )

    production_store: Path | S3Url = Field(
        default_factory=lambda known: known["store"],
        description="where promoted models lie, with the ledger: a folder, or s3://bucket/prefix; empty: the store",
    )
    production_tracking_uri: str = Field(
        default_factory=lambda known: known["mlflow_tracking_uri"],
        description="MLflow's server or database for promoted models; empty: the same, under names with prod.",
    )
    signing_key: Path | None = Field(
        default=None, description="private key (elliptic curve, PEM) that signs promoted models; outside the repository"
    )
    signing_key_password: SecretStr | None = Field(default=None, description="of the signing key, if it has one")
    training_key: Path | None = Field(
        default=None,
        description="private key (elliptic curve, PEM) that signs the trainings and evaluations made here; each worker "
        "has its own; outside the repository",
    )
    training_key_password: SecretStr | None = Field(default=None, description="of the training key, if it has one")
    trusted_keys: Path = Field(
        default=Path("trusted_keys.yaml"),
        description="which public key is trusted with what; without the file, the keys of this machine",
    )
    c2pa_key: Path | None = Field(
        default=None, description="private key (elliptic curve, PEM) that signs pictures; outside the repository"
    )
    c2pa_certificates: Path | None = Field(
        default=None, description="certificates of that key (PEM), its own first, then those of who issued it"
    )

    @field_validator("store", "production_store", "prefect_results", mode="before")
    @classmethod
    def _in_s3(cls, place: Any) -> Any:
        return parse_address(place, also_s3=True) if isinstance(place, str) else place

    @field_validator(*_FOLDERS, mode="before")
    @classmethod
    def _here(cls, place: Any) -> Any:
        return parse_address(place, also_s3=False) if isinstance(place, str) else place

    @field_validator("mlflow_artifact_root")
    @classmethod
    def _files_of_mlflow(cls, place: str, info: ValidationInfo) -> str:
        scheme, found, _ = place.partition(":")
        if found and scheme in _MLFLOW_FILES:
            return place
        folder = parse_address(place, also_s3=False)
        return (info.data.get("root", Path()) / str(folder)).resolve().as_uri()

    @field_validator("prefect_api_url")
    @classmethod
    def _a_server(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("an address begins with http:// or https://")
        return url

    @field_validator("checkpoint_every")
    @classmethod
    def _rhythm(cls, words: str) -> str:
        CheckpointInterval.parse(words)
        return words

    @field_validator("training_pictures")
    @classmethod
    def _pictures(cls, words: str) -> str:
        PictureInterval.parse(words)
        return words

    @field_validator("s3_endpoint_url")
    @classmethod
    def _one_address(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("an address begins with http:// or https://")
        for name in _S3_ADDRESSES:
            if url and (other := os.environ.get(name, url)) != url:
                shown = without_credentials(other)
                raise ValueError(f"the environment variable {name} = {shown!r} says otherwise; unset one of them")
        return url

    @field_validator(
        "root",
        "home",
        "store",
        "gallery_dir",
        "concepts_dir",
        "params_file",
        "prefect_home",
        "prefect_results",
        "production_store",
        "signing_key",
        "training_key",
        "trusted_keys",
        "c2pa_key",
        "c2pa_certificates",
    )
    @classmethod
    def _absolute(cls, path: Path | S3Url | None, info: ValidationInfo) -> Path | S3Url | None:
        return (
            path
            if path is None or isinstance(path, S3Url)
            else (info.data.get("root", Path()) / path.expanduser()).resolve()
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """First wins: arguments, environment, `.env`, `conceptbooth.toml`."""
        root = Path(init_settings()["root"])
        toml = InitSettingsSource(settings_cls, read_settings_file(root))
        return init_settings, env_settings, _DotEnv(settings_cls, root), toml


class _DotEnv(DotEnvSettingsSource):
    """`.env` as this project reads it, within bounds, instead of by the library's own opening of the file."""

    def __init__(self, settings_cls: type[BaseSettings], root: Path) -> None:
        self._root = root
        super().__init__(settings_cls, env_file=None)

    def _load_env_vars(self) -> dict[str, str | None]:
        return {name.lower(): value for name, value in read_dotenv(self._root).items() if value}


def load_settings(root: Path | None = None) -> Settings:
    """Settings of the project at `root`, else CONCEPTBOOTH_ROOT, else the nearest folder upwards with a params.yaml.

    Raises:
        InputError: no project there, an unknown setting, a bad value; all problems together.
    """
    named = root or os.environ.get(f"{PREFIX}ROOT")
    folder = Path(named).expanduser().resolve() if named else _nearest_root(Path.cwd())
    if not (folder / PARAMS_FILE).is_file():
        raise InputError(f"{folder} is no project: it has no {PARAMS_FILE}")
    settings = None
    try:
        problems = _unknown_names(folder)
        settings = Settings(root=folder)
    except InputError as error:  # of the two files
        problems = list(error.problems)
    except ValidationError as error:
        # a default that could not be derived from a bad value is no second problem
        wrong = [problem for problem in error.errors() if problem["type"] != "default_factory_not_called"]
        problems += [f"setting {'.'.join(map(str, e['loc']))} = {_shown(e)}: {_words(e['msg'])}" for e in wrong]
    if settings is not None and "?" in str(settings.home):
        problems.append(
            f"folder {settings.home}: the address of a database ends at a ?, so those of MLflow and Prefect cannot lie "
            "there; give it another name, or set `home` (CONCEPTBOOTH_HOME)"
        )
    if problems or settings is None:
        raise InputError(*problems)
    return settings


def environment(settings: Settings) -> dict[str, str]:
    """What the libraries must find in the environment: their files inside `settings.home`, nothing sent home."""
    variables = {
        "PREFECT_HOME": str(settings.prefect_home),
        "PREFECT_PROFILES_PATH": str(settings.prefect_home / "profiles.toml"),
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",  # not its default, pickle
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DVC_NO_ANALYTICS": "true",
        "DVC_GLOBAL_CONFIG_DIR": str(settings.home / "dvc" / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(settings.home / "dvc" / "system"),
        "DVC_SITE_CACHE_DIR": str(settings.home / "dvc" / "site"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "MPLCONFIGDIR": str(settings.home / "matplotlib"),
        "DO_NOT_TRACK": "1",
        # Threads that wait by spinning made training ten times slower wherever something else ran on the cores.
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    if isinstance(settings.prefect_results, S3Url):
        variables["PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK"] = result_block(settings.prefect_results)
    else:
        variables["PREFECT_LOCAL_STORAGE_PATH"] = str(settings.prefect_results)
    if settings.prefect_api_url:
        variables["PREFECT_API_URL"] = settings.prefect_api_url
    if settings.s3_endpoint_url:
        variables |= dict.fromkeys(_S3_ADDRESSES, settings.s3_endpoint_url)
        variables["MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE"] = "path"
    wanted = {*OTHER_VARIABLES, *CREDENTIALS}
    dotenv = read_dotenv(settings.root)
    handed_on = {n: value for n, value in dotenv.items() if value and (n.startswith("AWS_") or n in wanted)}
    if base := handed_on.get(BASE_VARIABLE):  # like the settings' paths, from the project and not from where one is
        handed_on[BASE_VARIABLE] = str((settings.root / Path(base).expanduser()).resolve())
    return variables | handed_on


def result_block(place: S3Url) -> str:
    """What the block that leads to these results is called on a Prefect server, which others may use too."""
    return f"s3-bucket/conceptbooth-{hashlib.sha256(str(place).encode()).hexdigest()[:8]}"


def apply_environment(settings: Settings) -> None:
    """Set what `environment` says, where the user has not; call it before the libraries are imported."""
    for name, value in environment(settings).items():
        os.environ.setdefault(name, value)


def _words(message: str) -> str:
    """Pydantic's message without its label for what a validator of ours says."""
    said = message.removeprefix("Value error, ")
    return said if said != message else said[:1].lower() + said[1:]  # our own words may quote a value


def _shown(problem: Mapping[str, Any]) -> str:
    """A value that was refused, unless it is a secret, and without what is secret in an address."""
    name = str(problem["loc"][0] if problem["loc"] else "").lower().removeprefix(PREFIX.lower())
    if name in {field for field, info in Settings.model_fields.items() if "SecretStr" in str(info.annotation)}:
        return "(a secret)"
    value = problem["input"]
    return repr(without_credentials(value) if isinstance(value, str) else value)


def _nearest_root(start: Path) -> Path:
    for folder in (start, *start.parents):
        if (folder / PARAMS_FILE).is_file():
            return folder
    raise InputError(
        f"no {PARAMS_FILE} in {start} or any folder above it: "
        f"run this inside a project, or name one by the environment variable {PREFIX}ROOT"
    )


def _unknown_names(folder: Path) -> list[str]:
    """Misspelt settings, which would silently leave their defaults in force."""
    dotenv, toml = read_dotenv(folder), read_settings_file(folder)
    variables = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    found = [
        (f"environment variable {name}", name, variables | OTHER_VARIABLES) for name in os.environ if _is_ours(name)
    ]
    found += [(f".env: {name}", name, variables | OTHER_VARIABLES) for name in dotenv if _is_ours(name)]
    found += [(f"{SETTINGS_FILE}: {name}", name, set(Settings.model_fields)) for name in toml]
    problems = []
    for place, name, known in found:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
            problems.append(f"{place} is no setting; {hint}")
    return problems


def _is_ours(variable: str) -> bool:
    return variable.startswith(PREFIX)


def shown_api(settings: Settings) -> str:
    """The address of the Prefect server as a person may see it: without user and password."""
    return without_credentials(settings.prefect_api_url)


def shown_path(settings: Settings, path: Path) -> str:
    """A path as messages show it: from the project's root where it lies inside."""
    return path.relative_to(settings.root).as_posix() if path.is_relative_to(settings.root) else str(path)
