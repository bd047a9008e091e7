"""The known data sets: where each comes from, its folder layout, what it is for, and its reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from motionkit.data.items import PICTURES, VIDEOS, Item, ReadOptions, Say, Source, listed, requests, text_of
from motionkit.data.videoswap import read_videoswap
from motionkit.errors import UserError, unknown

_FASHION, _TIKTOK = "a person turning around", "a person dancing"  # these sets have no captions: ours
_TIKTOK_FPS = 30.0  # at which its authors took the pictures from the videos


SPLITS = ("test", "train")  # the sub-folders of a set that has them; the first is read unless another is asked for


@dataclass(frozen=True)
class DataSet:
    """One data set.

    Attributes:
        layout: its folders, as published or, where it says so, as this toolkit wants them.
        tasks: what it can be read as; the first one is the default.
        read: root, options, and what gets a line for each thing that is left out -> the items.
        has_splits: whether `ReadOptions.split` chooses a sub-folder.
    """

    name: str
    title: str
    source: str
    licence: str
    layout: str
    tasks: tuple[str, ...]
    read: Callable[[Path, ReadOptions, Say], list[Item]]
    has_splits: bool = False


def open_set(
    name: str, root: str | Path, options: ReadOptions | None = None, say: Say = lambda line: None
) -> list[Item]:
    """The requests of a data set, undecoded; their facts say the set, its folder, and the options that change a clip.

    Args:
        root: the user's folder.
        say: gets a line for each request of the set that is left out, with the reason.

    Raises:
        UserError: an unknown set or task, an option that would not be used, or a folder of another layout; one line
            that says which layout is wanted.
    """
    if name not in SETS:
        raise unknown("data set", name, SETS)
    known, options, folder = SETS[name], options or ReadOptions(), Path(root).expanduser()
    task = options.task or known.tasks[0]
    if task not in known.tasks:
        raise unknown(f"task for {name}", task, known.tasks)
    _check_options(known, task, options)
    if not folder.is_dir():
        raise UserError(f"{known.title}: no folder {folder.absolute()}")
    try:
        items = known.read(folder, replace(options, task=task), say)
    except UserError as error:
        raise UserError(f"{error} (layout of {known.title}: {' '.join(known.layout.split())})") from error
    shared = {"set": name, "root": str(folder.resolve()), "task": task, "frames": str(options.frames or "all")}
    if known.has_splits:
        shared["split"] = _split(options)
    return [replace(item, facts={**shared, **item.facts}) for item in items]


def _check_options(known: DataSet, task: str, options: ReadOptions) -> None:
    """Refuse impossible options, and those that would have no effect."""
    if options.frames is not None and options.frames < 1:
        raise UserError(f"frames={options.frames}: give 1 or more")
    if options.split is not None and not known.has_splits:
        raise UserError(f"split={options.split}: {known.title} has no splits; leave it out")
    if options.pairs is not None and task != "cross":
        raise UserError(f"pairs={options.pairs}: task={task} has no pairs; leave it out{_or_cross(known)}")
    if options.pairs is not None and options.ids is not None:
        raise UserError(f"ids={options.ids}: the pairs already name the clips; leave one of the two out")
    if options.seed is not None and task != "cross":
        raise UserError(f"seed={options.seed}: task={task} uses no random numbers; leave it out{_or_cross(known)}")
    if options.seed is not None and options.pairs is not None:
        raise UserError(f"seed={options.seed}: with pairs no random numbers are used; leave one of the two out")


def _or_cross(known: DataSet) -> str:
    return ", or give task=cross" if "cross" in known.tasks else ""


def _split(options: ReadOptions) -> str:
    if options.split not in (None, *SPLITS):
        raise unknown("split", str(options.split), SPLITS)
    return options.split or SPLITS[0]


def _inside(root: Path, *names: str) -> Path:
    """The first of those sub-folders that is there, else the root itself: archives unpack with or without them."""
    return next((root / name for name in names if (root / name).is_dir()), root)


def _mgif(root: Path, options: ReadOptions, say: Say) -> list[Item]:
    folder = _inside(root, "moving-gif-processed/moving-gif", "moving-gif") / _split(options)
    return requests([Source(file.stem, file) for file in listed(folder, VIDEOS, "MGIF")], options)


def _fashion(root: Path, options: ReadOptions, say: Say) -> list[Item]:
    files = listed(_inside(root, "fashion_dataset") / _split(options), VIDEOS, "Fashion")
    return requests([Source(file.stem, file, prompt=_FASHION) for file in files], options)


def _tiktok(root: Path, options: ReadOptions, say: Say) -> list[Item]:
    root = _inside(root, "TikTok_dataset/TikTok_dataset", "TikTok_dataset")
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir() and folder.name.isdigit())
    if not folders:
        raise UserError(f"TikTok: {root} has no folders named 00001, 00002, ...")
    for folder in folders:
        listed(folder / "images", PICTURES, "TikTok")
    return requests([Source(f.name, f / "images", prompt=_TIKTOK, fps=_TIKTOK_FPS) for f in folders], options)


def _a2bench(root: Path, options: ReadOptions, say: Say) -> list[Item]:
    pictures = {file.stem: file for file in listed(root / "images", PICTURES, "A2Bench")}
    videos = {file.stem: file for file in listed(root / "videos", VIDEOS, "A2Bench")}
    if odd := sorted(set(pictures) ^ set(videos)):
        raise UserError(f"A2Bench: {odd[0]!r} has no {'video' if odd[0] in pictures else 'picture'} of that name")
    sources = []
    for name, file in videos.items():
        text = root / "prompts" / f"{name}.txt"
        prompt = " ".join(text_of(text).split()) if text.is_file() else ""
        sources.append(Source(name, file, pictures[name], prompt))
    return requests(sources, options)


SETS: dict[str, DataSet] = {
    "mgif": DataSet(
        "mgif",
        "MGIF",
        "Siarohin et al. 2019 (arXiv 1812.08861); the link is in the README of first-order-model",
        "collected from the web; see its page before use",
        "ROOT/{train,test}/*.gif (also ROOT/moving-gif/...)",
        ("cross", "self"),
        _mgif,
        has_splits=True,
    ),
    "videoswap": DataSet(
        "videoswap",
        "VideoSwap-30",
        "Gu et al. 2024 (arXiv 2312.02087), github.com/showlab/VideoSwap",
        "no licence file in the repository",
        "ROOT/datasets/paper_evaluation/{animal,human,object}/NAME/frames/*.png, and either the repository's "
        "ROOT/options/test_videoswap/*/*/*.yml or a prompts.csv in paper_evaluation with clip,source_prompt,prompt "
        "and optionally total_frames (64), over which frames=N are spread; played at 8 a second, as by the authors",
        ("edit",),
        read_videoswap,
    ),
    "tiktok": DataSet(
        "tiktok",
        "TikTok",
        "Jafarian and Park 2021 (CVPR), TikTok_dataset",
        "see its page before use",
        "ROOT/NNNNN/images/NNNN.png (also ROOT/TikTok_dataset/...), 30 a second; the test clips by ids=FILE",
        ("self", "cross"),
        _tiktok,
    ),
    "fashion": DataSet(
        "fashion",
        "Fashion",
        "Zablotskaia et al. 2019 (arXiv 1910.09139), DwNet's UBC Fashion",
        "see its page before use",
        "ROOT/{train,test}/*.mp4 (also ROOT/fashion_dataset/...)",
        ("self", "cross"),
        _fashion,
        has_splits=True,
    ),
    "a2bench": DataSet(
        "a2bench",
        "A2Bench",
        "Tan et al. 2024 (arXiv 2410.10306)",
        "see its page before use",
        "the published archive's layout is not documented, so arrange it: ROOT/images/NAME.png, ROOT/videos/NAME.mp4, "
        "and optionally ROOT/prompts/NAME.txt",
        ("self", "cross"),
        _a2bench,
    ),
}
