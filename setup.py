"""What pyproject.toml cannot say: the binding of librtr is built with the package."""

from setuptools import setup

setup(cffi_modules=["rsfilter/rpki/librtr_build.py:builder"])
