"""For the type checker: what `librtr_build.py` compiles."""

from typing import Any

ffi: Any
lib: Any
