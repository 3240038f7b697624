"""What the hub says of a pretrained model, asked once and for a few seconds."""

from dataclasses import dataclass

from model.errors import InputError
from tasks.jobs.models import cached_hub_files

_SECONDS = 5.0
WEIGHTS = ".safetensors"


@dataclass(frozen=True, kw_only=True)
class HubModel:
    """A model at one commit."""

    commit: str
    files: frozenset[str]

    @property
    def loads(self) -> bool:
        """Whether it has weights that are read here; pickles never are."""
        return any(name.endswith(WEIGHTS) for name in self.files)


def lies_here(reference: str, revision: str) -> bool:
    """Whether the hub's cache on this machine holds weights of a model at this commit, so that nobody is asked."""
    return any(name.endswith(WEIGHTS) for name in cached_hub_files(reference, revision))


def ask_hub(reference: str, revision: str | None) -> HubModel:
    """The model at this commit, or at the newest one. InputError where the hub lacks it, or is silent."""
    from httpx2 import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    called = f"{reference} at {revision[:12]}" if revision else reference
    try:
        found = HfApi().model_info(reference, revision=revision, timeout=_SECONDS)
    except GatedRepoError as error:
        raise InputError(f"{called}: its terms on the hub have to be agreed to; do so, and set HF_TOKEN") from error
    except RepositoryNotFoundError as error:
        raise InputError(f"{called}: not on the hub, or private there; mend the id, or set HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise InputError(f"{called}: the hub has no such commit of it; mend the revision") from error
    except (HTTPError, OSError, ValueError) as error:
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        lacking = "not in the hub's cache here" if revision else "not pinned to a commit"
        raise InputError(
            f"{called}: {lacking}, and the hub does not answer ({said}); mend the connection, or name a local folder"
        ) from error
    return HubModel(commit=str(found.sha), files=frozenset(each.rfilename for each in found.siblings or ()))
