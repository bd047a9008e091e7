"""The house rules that can be read off the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLKIT, METHODS = sorted((ROOT / "motionkit").rglob("*.py")), sorted((ROOT / "methods").rglob("*.py"))
LIGHT = ("torch", "diffusers", "transformers", "hydra", "omegaconf")


def imports(path, top_level=False):
    """The modules that a file imports; with top_level, only those imported when it is."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = _executed(tree.body) if top_level else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = ".".join(filter(None, (_package(path, node.level), node.module)))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _package(path, level):
    """The package that a relative import of that level starts from; "" for an absolute one."""
    if not level:
        return ""
    parts = ("motionkit" if path.is_relative_to(ROOT / "motionkit") else "motionkit.methods",)
    parts += path.parent.relative_to(ROOT).parts[1:]
    return ".".join(parts[: len(parts) - level + 1])


def _executed(body):
    for node in body:
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            yield from _executed(node.body)
        elif isinstance(node, ast.Try):
            yield from _executed(node.body)


def test_the_toolkit_imports_no_method():
    guilty = [p for p in TOOLKIT for name in imports(p) if name.startswith("motionkit.methods") or name == "methods"]
    assert not guilty


def test_settings_stand_on_errors_alone():
    """Values, their checks and presets know no method, no backbone and no run; types for a checker do not count."""
    guilty = []
    for path in (ROOT / "motionkit" / "settings").glob("*.py"):
        seen = [name for name in imports(path, top_level=True) if name.startswith("motionkit.")]
        guilty += [(path.name, name) for name in seen if name.split(".")[1] not in ("errors", "settings")]
    assert not guilty


def test_methods_import_the_toolkit_and_never_each_other():
    guilty = []
    for path in METHODS:
        own = path.relative_to(ROOT / "methods").parts[0]
        for name in imports(path):
            if name.startswith("motionkit.methods.") and name.split(".")[2] != own or name.split(".")[0] == "methods":
                guilty.append((path, name))
    assert not guilty


@pytest.mark.parametrize("path", [*TOOLKIT, *METHODS], ids=lambda p: str(p.relative_to(ROOT)))
def test_each_module_says_what_it_is_for_and_is_not_too_long(path):
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert text.count("\n") <= 500, "more than 500 lines"


def test_facts_about_methods_need_no_torch():
    light = [*(ROOT / "methods").glob("*/__init__.py"), *(ROOT / "methods").glob("*/config.py")]
    light += [ROOT / "motionkit" / f"{name}.py" for name in ("transfer", "registry", "context")]
    light += (ROOT / "motionkit" / "settings").glob("*.py")
    light += (ROOT / "motionkit" / "cli").glob("*.py")
    assert len(light) > 12
    guilty = [(p.name, n) for p in light for n in imports(p, top_level=True) if n.split(".")[0] in LIGHT]
    assert not guilty


def test_untrusted_files_are_never_unpickled():
    for path in [*TOOLKIT, *METHODS]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                call = ast.unparse(node.func)
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert call not in ("pickle.load", "pickle.loads", "eval", "exec"), path
                assert call != "torch.load" or given.get("weights_only") == "True", path
                assert not call.endswith("np.load") or given.get("allow_pickle", "False") == "False", path
