"""What docs/ says about the code is true of the code: generated pages are up to date, and every file and function that a page names exists."""

import ast
import importlib.util
import re
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
WRITTEN = sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "specs").glob("*.md")])

REFERENCE = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|rs|md|json|txt|toml))(?::([A-Za-z_][\w.]*))?`")
"""`folder/file.py` or `folder/file.py:name`, name a function, class, method or module constant."""


@cache
def generator() -> ModuleType:
    """tools/generate_docs.py."""
    specification = importlib.util.spec_from_file_location("generate_docs", ROOT / "tools" / "generate_docs.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    # Its dataclasses look their module up by name.
    import sys

    sys.modules["generate_docs"] = module
    specification.loader.exec_module(module)
    return module


def test_generated_pages_are_up_to_date():
    wrong = generator().differences()
    assert not wrong, f"run `./dev python tools/generate_docs.py`: {', '.join(wrong)} differ"


def test_the_necessity_page_hides_nothing():
    page = generator().necessity_page()
    for chip in generator().CHIPS:
        assert f"\n## {chip.name}\n" in page
        listed = sum(int(m) for m in re.findall(r"\((\d+) of the form", section(page, chip.name)))
        listed += sum(line.startswith("| ") and "of the form" not in line for line in section(page, chip.name).splitlines()) - 1
        assert listed == len(chip.constraints) + len(chip.messages)


def section(page: str, title: str) -> str:
    """What stands below a heading."""
    return page.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def names_in(path: Path) -> set[str]:
    """Functions, classes, methods and module constants of a Python file; functions and types of a Rust file; nothing of others."""
    text = path.read_text()
    if path.suffix == ".rs":
        return set(re.findall(r"\b(?:fn|struct|enum|trait|const|mod) (\w+)", text))
    if path.suffix != ".py":
        return set()
    names: set[str] = set()

    def walk(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(prefix + node.name)
                walk(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names.update(prefix + target.id for target in targets if isinstance(target, ast.Name))

    walk(ast.parse(text).body, "")
    return names


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: str(path.relative_to(ROOT / "docs")))
def test_what_a_page_names_exists(page: Path):
    for file, name in REFERENCE.findall(page.read_text()):
        path = ROOT / file
        assert path.exists(), f"{page.name} names {file}"
        if name:
            assert name in names_in(path), f"{page.name} names {file}:{name}"


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: str(path.relative_to(ROOT / "docs")))
def test_links_of_a_page_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def imports_of(package: Path) -> set[str]:
    """The project's packages that a package imports, itself left out; those of zkvm as zkvm/NAME."""
    found = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for module in modules:
                first, *rest = module.split(".")
                if first in ("zkvm", "witness", "blockproof", "rpc"):
                    found.add("/".join([first, *rest[:1]]) if first == "zkvm" else first)
    return found - {str(package.relative_to(ROOT))}


def test_packages_import_what_the_architecture_says():
    text = (ROOT / "docs" / "architecture.md").read_text()
    stated = {}
    for package, imports in re.findall(r"^\| ([\w/]+) \|.*\| ([\w/, ]+) \|$", text, re.MULTILINE):
        if (ROOT / package).is_dir():
            stated[package] = set() if imports == "nothing" else set(imports.split(", "))
    assert {"zkvm/field", "zkvm/air", "zkvm/protocol", "witness"} <= set(stated)
    for package, imports in stated.items():
        assert imports_of(ROOT / package) == imports, package
