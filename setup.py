"""What pyproject.toml cannot say: the network's files, whose one place is docker/, go into the package as
HNSegmenterLib/network, where HNSegmenterLib.runtimes.local looks for them. CMakeLists.txt does the same for Slicer."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SOURCE = "docker"
# What runs on this computer, and what `image build` gives an engine beside it.
FILES = (
    "predict.py",
    "hn_network/**/*.py",
    "hn_network/model/*",
    "Dockerfile",
    ".dockerignore",
    "requirements.txt",
)


class WithNetwork(build_py):
    """Wheels and sdists hold the network; an editable install has docker/ beside it."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        shutil.rmtree(self._folder(), ignore_errors=True)  # files of an earlier build
        for target, source in self._network().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target, preserve_mode=False)

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *self._network().values()]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *self._outputs()]

    def get_output_mapping(self) -> dict[str, str]:
        return super().get_output_mapping() | self._outputs()

    def _outputs(self) -> dict[str, str]:
        """As _network; nothing where the sources themselves are used."""
        return {} if self.editable_mode else self._network()

    def _folder(self) -> Path:
        return Path(self.build_lib, "HNSegmenterLib", "network")

    def _network(self) -> dict[str, str]:
        """Place in the build's folder -> place in the sources."""
        found = sorted(path for pattern in FILES for path in Path(SOURCE).glob(pattern) if path.is_file())
        return {str(self._folder() / path.relative_to(SOURCE)): path.as_posix() for path in found}


setup(cmdclass={"build_py": WithNetwork})
