"""What pyproject.toml cannot say: files outside the packages that a wheel carries, as data of who reads them.

And that an installation leaves nothing in the checkout: what is only made on the way lies in a folder that goes with
this process. Nor does a file that was removed since get into a wheel by way of an older build/.
"""

import atexit
import shutil
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PROGRAMS = ("mlflow/concept_model.py", "mlflow/try_version.py")
"""Of tasks/registry/programs.py. They never go into a folder mlflow/, which is MLflow's own."""
PROJECT = (
    "constraints.txt",
    "prefect.yaml",
    "LICENSE",
    "NOTICE",
    ".dvcignore",
    ".dvc/config",
    ".dvc/.gitignore",
    "data/concepts/.gitignore",
    "mlflow/promotion.yaml",
    *(path.as_posix() for path in sorted(Path("data/prompts").iterdir())),
)
"""Of tasks/new_project/shipped.py: what a new project begins with."""
TARGETS = {
    **{name: f"tasks/registry/mlflow_files/{Path(name).name}" for name in PROGRAMS},
    **{name: f"tasks/new_project/shipped/{name}" for name in PROJECT},
}


class BuildWithFiles(build_py):
    """Puts them where those modules look for them; an editable installation reads the checkout's."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in zip(TARGETS, self._targets(), strict=True):
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *([] if self.editable_mode else self._targets())]

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *TARGETS]  # or a source distribution would lack them

    def _targets(self) -> list[str]:
        return [f"{self.build_lib}/{target}" for target in TARGETS.values()]


scratch = tempfile.mkdtemp(prefix="conceptbooth-build-")
atexit.register(shutil.rmtree, scratch, ignore_errors=True)
setup(
    cmdclass={"build_py": BuildWithFiles},
    options={"build": {"build_base": scratch}, "egg_info": {"egg_base": scratch}},
)
