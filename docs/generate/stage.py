"""All pages of the site in one folder, with the configuration that builds them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from docs.generate import benchmark, methods, notebook, parts, reference

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
# Files of the repository that are pages as they stand -> their page.
SHARED = {
    "benchmarks/README.md": "benchmark/figures.md",
    "benchmarks/head_to_head/results.md": "benchmark/head_to_head/results.md",
    "benchmarks/head_to_head/ledger.md": "benchmark/head_to_head/ledger.md",
    "benchmarks/pocket_distances.md": "benchmark/pocket_distances.md",
    "CHANGELOG.md": "about/changelog.md",
    "CONTRIBUTING.md": "develop/contributing.md",
    "SECURITY.md": "about/security.md",
}
_PICTURES = (".png", ".webp", ".svg", ".jpg")
_BESIDE = ("benchmarks/pictures", "benchmarks/head_to_head", "benchmarks/pocket")


def stage(folder: Path) -> Path:
    """Write every page below FOLDER/pages; returns the path of the configuration."""
    target = folder / "pages"
    shutil.rmtree(target, ignore_errors=True)
    made = pages()
    for name, text in made.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name, source in files().items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target / name)
    config = folder / "zensical.toml"
    words = {"ROOT": str(ROOT), "METHODS": methods.navigation()}
    text = (DOCS / "zensical.toml").read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    config.write_text(text, encoding="utf-8")
    return config


def pages() -> dict[str, str]:
    """Every page, by its path in the site: written by hand, made of declarations, and files of the repository."""
    written = {str(path.relative_to(DOCS)): path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
    made = written | methods.pages(written) | reference.pages() | parts.pages() | benchmark.pages() | notebook.pages()
    places = _places()
    for source, page in SHARED.items():
        made[page] = localised((ROOT / source).read_text(encoding="utf-8"), source, page, places)
    return made


def files() -> dict[str, Path]:
    """Pictures and other files that pages show or link to, by their path in the site."""
    found = {str(path.relative_to(DOCS)): path for path in DOCS.rglob("*") if path.suffix in _PICTURES}
    found |= {str(path.relative_to(DOCS)): path for path in DOCS.glob("assets/*") if path.is_file()}
    found |= {str(path.relative_to(DOCS)): path for path in DOCS.glob("notebooks/*.ipynb")}
    for place in _BESIDE:
        for path in sorted((ROOT / place).glob("*")):
            if path.suffix in _PICTURES:
                found[f"benchmark/{path.relative_to(ROOT / 'benchmarks')}"] = path
    return found | {f"benchmark/{path.name}": path for path in (ROOT / "benchmarks").glob("*.txt")}


def _places() -> dict[str, str]:
    """Paths in the repository -> paths in the site, of all that is in both."""
    return {str(path.relative_to(ROOT)): name for name, path in files().items()} | SHARED


def localised(text: str, source: str, page: str, places: Mapping[str, str]) -> str:
    """A file's text with its links as they are from a page of the site.

    A link to a file of the repository that is not in the site becomes the file's name; one to no file is left as it
    is, which the build refuses.
    """

    def one(found: re.Match[str]) -> str:
        picture, label, target = found.groups()
        path, hash_, anchor = target.partition("#")
        if not path or "://" in target or target.startswith("mailto:"):
            return found[0]
        there = (ROOT / source).parent / path
        inside = str(there.resolve().relative_to(ROOT)) if there.resolve().is_relative_to(ROOT) else ""
        if inside in places:
            return f"{picture}[{label}]({_relative(places[inside], page)}{hash_}{anchor})"
        return f"{label} (`{inside}`)" if inside and there.exists() else found[0]

    return LINK.sub(one, text)


def _relative(target: str, page: str) -> str:
    up = len(Path(page).parts) - 1
    return "../" * up + target
