"""What pyproject.toml cannot say: the binding of librtr is built with the package, and keeps to
Python's stable ABI, so that one wheel serves 3.11 and what follows."""

from setuptools import setup

setup(
    cffi_modules=["rsfilter/rtr/librtr_build.py:builder"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
