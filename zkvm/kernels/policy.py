"""
How kernels are compiled and cached. The only module that spells numba options.

Statement
---------
- `kernel` compiles a function with the project's options, or returns the plain function where numba is absent, so
  every module that uses it still loads and still computes the same values, slowly.
- A cached kernel is used again only if its own file and every file of this project that it imports, directly or not,
  are byte for byte the same. Numba alone watches only the kernel's own file: after an edit of a callee in another
  file it answers with the old code.

Cache layout: `<cache root>/kernels/<module>-<digest>/`, where the cache root is $BLOCKPROOF_CACHE, else
$XDG_CACHE_HOME/blockproof, else ~/.cache/blockproof. Where that folder cannot be written, kernels are compiled anew in
each process. Numba adds its own version and the processor's name to the key.
"""

import ast
import functools
import hashlib
import importlib.util
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, overload

try:
    import numba
except ImportError:
    numba = None  # type: ignore[assignment]
else:
    # A helper compiled for one record serves every record that begins with the same fields at the same offsets: numba checks the offsets, and
    # that is what gadgets shared by many rows want.
    warnings.filterwarnings("ignore", category=numba.core.errors.NumbaExperimentalFeatureWarning)

HAVE_NUMBA: bool = numba is not None
"""True where compiled kernels are available."""

prange = numba.prange if numba is not None else range
"""`numba.prange` in kernels decorated with `parallel=True`; the built-in range where numba is absent."""

PROJECT_PACKAGES = ("zkvm", "witness", "rpc", "blockproof")

Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def kernel(function: Function) -> Function: ...
@overload
def kernel(*, parallel: bool = False, inline: bool = False, cache: bool = True) -> Callable[[Function], Function]: ...
def kernel(
    function: Function | None = None, *, parallel: bool = False, inline: bool = False, cache: bool = True
) -> Any:
    """
    Compiles a function over arrays and integers; used as `@kernel` or `@kernel(parallel=True)`.

    The compiled code holds no interpreter lock, does not check array bounds and does not raise on division by zero:
    the caller guarantees shapes and ranges, as the kernel's docstring states them.

    function: defined in a file (numba cannot cache code from a bare string). It may close over numbers, but must reach
              other kernels as globals of its module: one that closes over a kernel is compiled anew in every process.
    parallel: split `prange` loops over threads.
    inline:   force the compiler to inline the function where it is called; for scalar helpers.
    cache:    keep the machine code between processes.
    """
    if function is None:
        return functools.partial(kernel, parallel=parallel, inline=inline, cache=cache)
    if numba is None:
        return function

    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
    if parallel:
        options["parallel"] = True
    if inline:
        options["forceinline"] = True

    folder = _cache_folder_of(function) if cache else None
    if folder is None:
        return numba.njit(**options)(function)

    # Numba reads CACHE_DIR when the decorator runs, not when the function is compiled.
    previous = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder)
    try:
        return numba.njit(cache=True, **options)(function)
    finally:
        numba.config.CACHE_DIR = previous


def cache_root() -> Path:
    """The folder under which everything this project caches lies; it need not exist."""
    if chosen := os.environ.get("BLOCKPROOF_CACHE"):
        return Path(chosen)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "blockproof"
    return Path.home() / ".cache" / "blockproof"


def clean_cache() -> int:
    """Removes every compiled kernel and returns how many bytes they took. Kernels already loaded keep working."""
    folder = cache_root() / "kernels"
    if not folder.is_dir():
        return 0
    byte_count = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder)
    return byte_count


def source_digest(path: Path) -> str:
    """The SHA-256, in hex, over a source file and every project file it imports, directly or not, in path order."""
    digest = hashlib.sha256()
    for source in sorted(_import_closure(path.resolve())):
        content = source.read_bytes()
        digest.update(f"{len(str(source))}:{source}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def _cache_folder_of(function: Callable[..., Any]) -> Path | None:
    path = Path(function.__code__.co_filename)
    if not path.is_file():
        return None
    folder = cache_root() / "kernels" / f"{function.__module__}-{_cached_source_digest(path.resolve())[:24]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


# The digest of a file is taken once per process: kernels are decorated one by one, and an edit during a run must not
# give two kernels of one module different folders.
_cached_source_digest = functools.cache(source_digest)


def _import_closure(path: Path) -> set[Path]:
    seen = {path}
    pending = [path]
    while pending:
        for imported in _project_imports(pending.pop()):
            if imported not in seen:
                seen.add(imported)
                pending.append(imported)
    return seen


@functools.cache
def _project_imports(path: Path) -> frozenset[Path]:
    """The project files that one file names in import statements, wherever they stand in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            # `from package import name`: the name may be a module of its own.
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    paths = (_module_path(name) for name in names if name.split(".")[0] in PROJECT_PACKAGES)
    return frozenset(found for found in paths if found is not None)


@functools.cache
def _module_path(name: str) -> Path | None:
    """Where a project module lies, found without importing it; None if there is no such module."""
    top, *rest = name.split(".")
    spec = importlib.util.find_spec(top)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        base = Path(location, *rest)
        for candidate in (base / "__init__.py", base.with_suffix(".py")):
            if candidate.is_file() and (rest or candidate.name == "__init__.py"):
                return candidate.resolve()
    return None
