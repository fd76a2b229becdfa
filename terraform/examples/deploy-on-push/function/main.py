"""Entry point of the function: the buildpack imports this file and looks for the function's name in it."""

from deployer.function import deploy

__all__ = ["deploy"]
