"""The house rules that can be read off the source."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLKIT, METHODS = sorted((ROOT / "motionkit").rglob("*.py")), sorted((ROOT / "methods").rglob("*.py"))
LIGHT = ("torch", "diffusers", "transformers", "hydra", "omegaconf")
# Rooms from the lowest to the highest: each may import what lies in a line above its own, and nothing else.
LAYERS = (
    ("errors", "_moved"),
    ("registry",),
    ("weights", "media", "settings"),
    ("sprites", "backbones"),
    ("diffusion", "perception", "metrics", "report"),
    ("context",),
    ("transfer",),
    ("data", "training"),
    ("methods",),
    ("running",),
    ("table",),
    ("api", "testing"),
    ("ui", "integrations"),
    ("cli",),
    ("__init__", "__main__"),
)


@functools.cache
def parsed(path):
    """The tree of a file, and its text."""
    text = path.read_text(encoding="utf-8")
    return ast.parse(text), text


def imports(path, top_level=False):
    """The modules that a file imports; with top_level, only those imported when it is."""
    tree = parsed(path)[0]
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
    tree, text = parsed(path)
    assert ast.get_docstring(tree), "no docstring"
    assert text.count("\n") <= 500, "more than 500 lines"


def test_facts_about_methods_need_no_torch():
    light = [*(ROOT / "methods").glob("*/__init__.py"), *(ROOT / "methods").glob("*/config.py")]
    light += [ROOT / "motionkit" / f"{name}.py" for name in ("transfer", "registry", "context")]
    light += (ROOT / "motionkit" / "settings").glob("*.py")
    cli = ROOT / "motionkit" / "cli"
    light += {*cli.glob("*.py")} - {cli / "guard.py"}  # it is Hydra's loader
    assert len(light) > 12
    guilty = [(p.name, n) for p in light for n in imports(p, top_level=True) if n.split(".")[0] in LIGHT]
    assert not guilty


def test_methods_walk_no_noise_schedule_of_their_own():
    """One loop denoises, one inverts, one guides: a method gives them its model, its steps and its hooks."""
    own = [f"motionkit.diffusion.{name}" for name in ("schedule.move", "schedule.finite", "guidance.guide")]
    assert not [(path, name) for path in METHODS for name in imports(path) if name in own]


def test_untrusted_files_are_never_unpickled():
    for path in [*TOOLKIT, *METHODS]:
        for node in ast.walk(parsed(path)[0]):
            if isinstance(node, ast.Call):
                call = ast.unparse(node.func)
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert call not in ("pickle.load", "pickle.loads", "eval", "exec"), path
                assert call != "torch.load" or given.get("weights_only") == "True", path
                assert not call.endswith("np.load") or given.get("allow_pickle", "False") == "False", path


def module_name(path):
    """The dotted name of a file of the toolkit or of a method; a package's is that of its `__init__`."""
    parts = path.with_suffix("").relative_to(ROOT).parts
    return ".".join(parts if parts[0] == "motionkit" else ("motionkit", *parts))


MODULES = {module_name(path): path for path in [*TOOLKIT, *METHODS]}


@functools.cache
def needed(path):
    """The modules of motionkit that a file imports when it runs, inside functions too; not those for types alone."""
    found, nodes = set(), list(parsed(path)[0].body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            nodes += node.orelse
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {_module(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = ".".join(filter(None, (_package(path, node.level), node.module)))
            found |= {_module(f"{origin}.{alias.name}") or _module(origin) for alias in node.names}
    return found - {None, "motionkit.__init__", module_name(path)}  # of the package itself only its version is read


def _module(name):
    return next((found for found in (name, f"{name}.__init__") if found in MODULES), None)


def room(module):
    return module.split(".")[1]


def test_arrows_between_rooms_run_one_way():
    """Lazy imports count: an arrow inside a function is an arrow. Whoever adds one finds the order in LAYERS."""
    rank = {name: level for level, names in enumerate(LAYERS) for name in names}
    arrows = {(m, room(n)) for m, path in MODULES.items() for n in needed(path) if room(n) != room(m)}
    against = {(module, to) for module, to in arrows if rank[to] >= rank[room(module)]}
    assert not against, "arrows against the order"


def test_no_ruler_is_what_it_measures():
    """Metrics import no perception and perception no metrics, not even for types."""
    for name, other in (("metrics", "perception"), ("perception", "metrics")):
        for path in (ROOT / "motionkit" / name).rglob("*.py"):
            assert not [n for n in imports(path) if n.startswith(f"motionkit.{other}")], path


def test_no_modules_import_each_other_in_a_circle():
    """Lazy imports count, those for types alone do not: `registry` names the classes of parts without importing any."""
    own = {module: needed(path) for module, path in MODULES.items()}
    while own:  # what needs nothing that is left can be taken away, until a circle remains or nothing
        free = [module for module, wanted in own.items() if not wanted & own.keys()]
        assert free, f"a circle among {', '.join(sorted(own))}"
        for module in free:
            del own[module]


def test_only_the_backbones_name_a_kind_of_backbone():
    """Outside their room, and the recipes of the small weights, a backbone is asked what it can do."""
    rooms = ("backbones", "training")
    kinds = {"sd", "sdxl", "modelscope", "animatediff", "animatediff-xl", "animatex", "UNet3DConditionModel"}
    loaders = {f"motionkit.backbones.{name}" for name in ("sd", "modelscope", "animatediff", "tiny", "inflate")}
    guilty = []
    for module, path in MODULES.items():
        if room(module) in rooms or not path.is_relative_to(ROOT / "motionkit"):
            continue
        tree = parsed(path)[0]
        words = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        guilty += [(module, word) for word in words if isinstance(word, str) and word in kinds]
        guilty += [(module, name) for name in imports(path) if name in loaders]
    assert not guilty


def test_one_module_knows_where_the_package_keeps_its_files():
    guilty = [m for m, path in MODULES.items() if re.search(r"__file__.*assets", parsed(path)[1])]
    assert guilty == ["motionkit.weights.places"]
