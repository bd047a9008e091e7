"""The site: links, what is made of declarations, what is read from files of figures, and the build itself."""

import doctest
import importlib
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from doc_commands import targets

from docs.generate import benchmark, methods, stage
from motionkit import registry
from motionkit.cli import VERBS
from motionkit.settings.schema import facts

ROOT = Path(__file__).parents[2]
PAGES, FILES = stage.pages(), stage.files()
OWN = {name: text for name, text in PAGES.items() if name not in stage.SHARED.values()}
MEGABYTE = 2**20


def links(text):
    """The targets of a page's links and pictures, without those in code."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
    return [found[3] for found in stage.LINK.finditer(text)]


def anchors(text):
    """The anchors of a page's headings, as the site makes them."""
    found = set()
    for line in re.findall(r"^#+ (.+)$", text, re.M):
        named = re.search(r"\{#([\w-]+)\}$", line)
        plain = re.sub(r"[^\w\s-]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", line).lower()).strip()
        found.add(named[1] if named else re.sub(r"[\s-]+", "-", plain))
    return found


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_link_of_a_page_leads_somewhere(page):
    for target in links(PAGES[page]):
        path, _, anchor = target.partition("#")
        if "://" in path:
            assert path.startswith("https://"), target
            continue
        there = str((ROOT / page).parent.joinpath(path).resolve().relative_to(ROOT)) if path else page
        assert there in PAGES or there in FILES, target
        assert not anchor or anchor in anchors(PAGES[there]), target


def test_every_link_of_the_readme_leads_somewhere():
    for target in links((ROOT / "README.md").read_text("utf-8")):
        assert target.startswith("https://") or (ROOT / target.partition("#")[0]).is_file(), target


def test_the_navigation_holds_every_page_once():
    listed = re.findall(r'= "([\w/-]+\.md)"', (ROOT / "docs" / "zensical.toml").read_text("utf-8"))
    listed += re.findall(r'"(methods/[\w-]+\.md)"', methods.navigation())
    assert sorted(listed) == sorted(PAGES)


def test_verbs_targets_and_settings_that_the_text_names_exist():
    settings = {f.name for name in registry.names() for f in facts(registry.load_object(registry.spec(name).config))}
    groups = {name.rpartition(".")[0] for name in settings}
    texts = OWN | {"README.md": (ROOT / "README.md").read_text("utf-8")}
    for page, text in texts.items():
        for code in re.findall(r"`([^`\n]+)`", text):
            if found := re.match(r"motionkit ([a-z-]+)", code):
                assert found[1] in VERBS, (page, code)
            if found := re.match(r"make ([a-z-]+)", code):
                assert found[1] in targets(), (page, code)
            if (found := re.match(r"method\.([a-z_.]+)", code)) and page not in ("methods/ghost.md",):
                assert found[1] in settings | groups, (page, code)


@pytest.mark.parametrize("name", registry.names())
def test_a_methods_page_has_every_input_backbone_setting_and_word(name):
    spec, text = registry.spec(name), PAGES[f"methods/{name}.md"]
    assert all(f"`{need.name}`" in text and need.note in text for need in (*spec.requires, *spec.uses))
    assert all(f"`{backbone}`" in text for backbone in spec.backbones)
    for fact in facts(registry.load_object(spec.config), spec.default_backbone):
        if fact.name != "name":
            assert f"| `method.{fact.name}` |" in text and fact.known.help.replace("|", "\\|") in text, fact.name
            assert all(f"`{word}`" in text for word in fact.known.choices)


def test_a_new_method_appears_with_no_further_line(monkeypatch, tmp_path):
    third_party = ROOT / "tests" / "third_party" / "motionkit-example-ghost"
    info = tmp_path / "ghost-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ghost\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[motionkit.methods]\nghost = motionkit_ghost:SPEC\n")
    for path in (third_party, tmp_path):
        monkeypatch.syspath_prepend(str(path))
    registry.refresh()
    try:
        made = stage.pages()
        assert "methods/ghost.md" in methods.navigation()
        assert "ghost.md" in made["methods/index.md"] and "## Settings" in made["methods/ghost.md"]
    finally:
        monkeypatch.undo()
        registry.refresh()


def test_figures_are_those_of_the_file():
    results = json.loads((ROOT / "benchmarks" / "head_to_head" / "results.json").read_text("utf-8"))
    row = next(row for row in results["rows"] if row["method"] == "anamodiff")
    written = benchmark.number(row["figures"]["psnr"]["mean"])
    for page in ("benchmark/head-to-head.md", "methods/anamodiff.md"):
        assert f"**{written}**" in PAGES[page]


def test_the_readme_is_short_and_names_the_tests_command():
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.encode()) <= 6000
    assert re.search(r"^make test\b", text, re.M)


def test_pictures_are_small_and_move():
    from PIL import Image

    pictures = [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".png", ".webp")]
    assert sum(path.stat().st_size for path in pictures) < 6 * MEGABYTE
    hero = ROOT / "docs" / "pictures" / "hero.webp"
    assert hero.stat().st_size <= 1.5 * MEGABYTE
    for path in pictures:
        if path.suffix == ".webp" and path.parent.name == "pictures":
            with Image.open(path) as picture:
                assert picture.n_frames >= 8, path


@pytest.mark.parametrize("name", ["text", "joint_names"])
def test_examples_in_docstrings_hold(name):
    pytest.importorskip("griffe")
    ran = doctest.testmod(importlib.import_module(f"docs.generate.{name}"))
    assert ran.attempted and not ran.failed


def test_a_link_to_a_file_outside_the_site_becomes_its_name():
    made = stage.localised(
        "[x](README.md) [y](conf/bench.yaml) [z](none.md)", "a.md", "about/a.md", {"README.md": "i.md"}
    )
    assert made == "[x](../i.md) y (`conf/bench.yaml`) [z](none.md)"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("zensical") is None, reason="the extra docs is not installed")
def test_the_site_is_built_offline_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "docs.generate", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said = built.stdout + built.stderr
    assert built.returncode == 0, said[-3000:]
    assert not re.search(r"warning|griffe:|error", said, re.I), said
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(PAGES)
    for page in pages:
        text = page.read_text("utf-8")
        loaded = re.findall(r'<(?:script|link|img|iframe|video|source)\b[^>]*?(?:src|href)="(https?:)?//([^"]+)', text)
        assert not [host for _, host in loaded], page
        assert "data-md-error" not in text
