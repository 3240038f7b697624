"""What pyproject.toml cannot say: the programs in mlflow/ are data of tasks.registry, and never go into MLflow."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PROGRAMS = ("concept_model.py", "try_version.py")


class BuildWithPrograms(build_py):
    """Puts them where tasks/registry/programs.py looks for them; an editable installation reads the checkout's."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in zip(self._sources(), self._targets(), strict=True):
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *([] if self.editable_mode else self._targets())]

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *self._sources()]  # or a source distribution would lack them

    def _sources(self) -> list[str]:
        return [f"mlflow/{name}" for name in PROGRAMS]

    def _targets(self) -> list[str]:
        return [f"{self.build_lib}/tasks/registry/mlflow_files/{name}" for name in PROGRAMS]


setup(cmdclass={"build_py": BuildWithPrograms})
