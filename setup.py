"""Make builds begin with an empty folder; pyproject.toml says all else."""

import shutil

from setuptools import setup
from setuptools.command.build_py import build_py


class Build(build_py):
    """setuptools installs all that `build/lib` holds, modules too that are no longer among the sources."""

    def run(self) -> None:
        """Build the modules that there are, and no others."""
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


setup(cmdclass={"build_py": Build})
