"""What there is of a concept beyond its folder: registered versions, and what serves in production."""

from dataclasses import dataclass

from model.errors import InputError, WorkFailed
from tasks.production.ledger import read_ledger
from tasks.production.registry import open_production
from tasks.project.settings import Settings
from tasks.registry.all_versions import RegistryUnknown, registered_versions
from tasks.registry.versions import model_name


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the registry and the production ledger say of a concept."""

    model: str
    versions: tuple[int, ...]
    serving: int | None
    """The version that serves in production."""
    unknown: tuple[str, ...]
    """Why one of them could not be asked."""

    @property
    def words(self) -> list[str]:
        """One sentence each: what stays whatever becomes of the folder."""
        said = [f"not known: {why}" for why in self.unknown]
        if self.versions:
            many = len(self.versions)
            said.append(
                f"{self.model} keeps its {many} registered version{'' if many == 1 else 's'} in MLflow "
                f"({', '.join(map(str, self.versions[-8:]))}), and draws from them as before"
            )
        elif not self.unknown:
            said.append("no version was registered")
        if self.serving is not None:
            said.append(f"version {self.serving} serves in production, and goes on serving under the name it has")
        return said


def standing(settings: Settings, concept: str) -> Standing:
    """Ask both. A place that does not answer is named: it hinders nothing that only moves a folder."""
    unknown: list[str] = []
    versions: tuple[int, ...] = ()
    serving = None
    try:
        versions = tuple(version.version for version in registered_versions(settings).get(concept, ()))
    except RegistryUnknown as error:
        unknown.append(str(error))
    try:
        now = read_ledger(open_production(settings), concept).serving
        serving = now.version if now else None
    except (InputError, WorkFailed) as error:
        unknown.append(str(error))
    return Standing(model=model_name(concept), versions=versions, serving=serving, unknown=tuple(unknown))
