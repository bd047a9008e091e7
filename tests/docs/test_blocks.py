"""Every code block of README.md and of the site: what can run, runs; what needs more than is here is checked."""

import importlib
import tomllib

import doc_blocks
import doc_commands
import pytest

from docs.generate.stage import pages

QUICK_VERBS = ("transfer", "compare", "sprites")  # they get quick words where they need them
PAGES = {"README.md": (doc_commands.ROOT / "README.md").read_text("utf-8")} | pages()
BLOCKS = [block for page, text in sorted(PAGES.items()) for block in doc_blocks.blocks(page, text)]
SHELL = [block for block in BLOCKS if block.language == "sh"]
PYTHON = [block for block in BLOCKS if block.language == "python"]


def test_every_block_says_what_it_is():
    known = {"sh", "python", "toml", "csv", "text"}
    assert not [str(block) for block in BLOCKS if block.language not in known or block.kind not in doc_blocks.KINDS]
    assert len(SHELL) > 30 and len(PYTHON) > 10


def pages_with(blocks):
    """The pages of blocks, each with its own in order: a page is read from top to bottom."""
    return [pytest.param([b for b in blocks if b.page == page], id=page) for page in sorted({b.page for b in blocks})]


@pytest.mark.parametrize("held", pages_with([b for b in BLOCKS if b.kind in ("run", "slow", "file", "new-method")]))
def test_blocks_run_one_after_another(held, folder):
    """On tiny weights and few steps; what takes long even so is checked here and run as a slow test."""
    names = {}
    for block in held:
        if block.language == "python":
            code = compile(block.text, str(block), "exec")
            if block.kind == "run":
                exec(code, names)
        elif block.kind == "file":
            (folder / block.file).write_text(block.text)
        elif block.language == "sh":
            _try(block, folder)


def _try(block, folder):
    for place, line in enumerate(block.commands):
        whole = block.kind == "run" or (block.kind == "new-method" and not place)
        if whole or (block.kind == "slow" and doc_commands.words_of(line)[1] in QUICK_VERBS):
            assert doc_commands.run(line) == 0, f"{block}: {line}"
        else:
            doc_commands.check(line)


@pytest.mark.slow
@pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind == "slow"], ids=str)
def test_slow_blocks_run_as_they_are_written(block, folder):
    if block.language == "python":
        exec(compile(block.text, str(block), "exec"), {})
        return
    for line in block.commands:
        assert doc_commands.run(line, as_written=True) == 0, line


@pytest.mark.parametrize("block", [b for b in SHELL if b.kind in ("compose", "shell")], ids=str)
def test_commands_that_need_more_than_is_here_have_verbs_keys_and_targets_that_exist(block, folder):
    for line in block.commands:
        doc_commands.check(line)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind == "missing"], ids=str)
def test_missing_weights_are_one_line_that_says_how_to_get_them(block, folder, capsys):
    for line in block.commands:
        assert doc_commands.main(doc_commands.words_of(line)[1:]) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert "hf download" in said and "MOTIONKIT_ONLINE" in said


@pytest.mark.parametrize("block", [b for b in PYTHON if b.kind == "compile"], ids=str)
def test_python_that_needs_more_than_is_here_names_things_that_exist(block):
    exec("\n".join(line for line in block.text.splitlines() if line.startswith(("import ", "from "))), {})
    compile(block.text, str(block), "exec")


def test_the_method_in_the_pages_keeps_the_contract(folder, monkeypatch):
    from motionkit.testing import check_transfer

    for block in (b for b in BLOCKS if b.kind == "class"):
        (folder / block.file).parent.mkdir(exist_ok=True)
        (folder / block.file).write_text(block.text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    spec = importlib.import_module("my_package").SPEC
    check_transfer(spec, folder=folder / "check", frames=3, size=32).raise_if_failed()


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "toml"], ids=str)
def test_entry_points_are_of_groups_that_exist(block):
    from motionkit.registry import GROUPS

    (points,) = tomllib.loads(block.text)["project"]["entry-points"].items()
    assert points[0] in {group.points for group in GROUPS}
