"""The subject's masks: each back end at work, what it is started with, and no subject is an error."""

import numpy as np
import pytest
import tiny_networks
import torch
from PIL import Image

from motionkit.errors import MissingWeights, UserError
from motionkit.perception import coco, sam2
from motionkit.perception.coco import classes_of
from motionkit.perception.follow_subject import choose, components
from motionkit.perception.masks import MaskSettings, believed, segment
from motionkit.sprites import render_clip
from motionkit.sprites.kinds import COLOURS
from motionkit.sprites.sampling import stream

SIZE = (48, 64)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    root = tmp_path_factory.mktemp("nets")
    made = {"sam2": tiny_networks.seeded(tiny_networks.sam2, root / "sam2", seed=1)}
    made["mask2former"] = tiny_networks.seeded(tiny_networks.mask2former, root / "m2f")
    return {name: str(folder) for name, folder in made.items()}


@pytest.fixture
def frames(rng):
    return rng.integers(0, 256, (3, *SIZE, 3)).astype(np.uint8)


@pytest.fixture
def square():
    mask = np.zeros(SIZE, bool)
    mask[10:30, 15:40] = True
    return mask


def test_sam2_follows_from_a_mask_a_box_and_a_point(networks, frames, square, tmp_path):
    Image.fromarray(square).save(tmp_path / "start.png")
    found = segment(frames, "it", MaskSettings("sam2", weights=networks["sam2"], start=str(tmp_path / "start.png")))
    assert found.shape == frames.shape[:3] and found.dtype == bool
    assert (found[0] != square).mean() < 0.01  # frame 0 keeps what was given
    assert found[1:].any((1, 2)).all()
    box = segment(frames, "it", MaskSettings("sam2", weights=networks["sam2"], box=(0.2, 0.2, 0.6, 0.6)))
    point = segment(frames, "it", MaskSettings("sam2", weights=networks["sam2"], point=(0.5, 0.5)))
    other = segment(frames, "it", MaskSettings("sam2", weights=networks["sam2"], point=(0.1, 0.9)))
    assert all((a != b).any() for a, b in ((box, point), (box, found), (point, other)))


def test_sam2_hears_of_earlier_frames_and_not_of_later_ones(networks, frames, square):
    start = sam2.ObjectPrompt(mask=square)
    before = sam2.follow(frames, start, networks["sam2"])
    later = frames.copy()
    later[2] = 255 - later[2]
    after = sam2.follow(later, start, networks["sam2"])
    assert (before[:2] == after[:2]).all() and (before[2] != after[2]).any()
    moved = sam2.follow(frames, sam2.ObjectPrompt(mask=np.roll(square, 15, 1)), networks["sam2"])
    assert (moved[2] != before[2]).any()  # through its memory alone


def test_sam2_is_told_the_same_as_by_transformers_own_processor(networks, frames, square):
    """The session's inputs, against the processor's own steps; its image part needs torchvision, which is not used."""
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession
    from transformers.models.sam2_video.processing_sam2_video import Sam2VideoProcessor

    theirs, ours = (
        Sam2VideoInferenceSession(video_height=SIZE[0], video_width=SIZE[1], dtype=torch.float32) for _ in range(2)
    )
    processor = object.__new__(Sam2VideoProcessor)
    processor.target_size, processor.point_pad_value = 128, -10
    processor.process_new_mask_for_video_frame(theirs, 0, [1], square)
    sam2._tell(ours, sam2.ObjectPrompt(mask=square), 128)
    assert torch.equal(theirs.mask_inputs_per_obj[0][0], ours.mask_inputs_per_obj[0][0])
    assert ours.obj_with_new_inputs == theirs.obj_with_new_inputs == [1]
    scaled = processor._normalize_coordinates(128, torch.tensor([[[[32.0, 12.0]]]]), SIZE)
    sam2._tell(ours, sam2.ObjectPrompt(point=(32 / SIZE[1], 12 / SIZE[0])), 128)
    given = ours.point_inputs_per_obj[0][0]
    assert torch.allclose(given["point_coords"], scaled) and given["point_labels"].tolist() == [[[1]]]


def test_mask2former_takes_the_segments_of_the_subjects_class(networks, frames):
    settings = MaskSettings("mask2former", classes=networks["mask2former"])
    seen = []
    found = segment(frames, "red sports car", settings, progress=lambda done, total: seen.append((done, total)))
    assert found.any((1, 2)).all() and not found.all() and seen == [(1, 3), (2, 3), (3, 3)]
    alone = segment(frames[1:2], "car", settings)
    assert (alone[0] == found[1]).all()  # frames are seen one by one


def test_mask2former_says_what_it_sees_instead(networks, frames):
    settings = MaskSettings("mask2former", classes=networks["mask2former"])
    with pytest.raises(UserError, match="no 'person' found: .* car: "):
        segment(frames, "person", settings)
    with pytest.raises(UserError, match=r"'fox': .*\(bear, car, person, sky, teddy bear\)"):
        segment(frames, "fox", settings)


def test_mask2former_finds_sam2s_start(networks, frames, monkeypatch):
    both = MaskSettings("sam2", weights=networks["sam2"], classes=networks["mask2former"])
    first = segment(frames[:1], "car", MaskSettings("mask2former", classes=networks["mask2former"]))[0]
    found = segment(frames, "car", both)
    assert (found == sam2.follow(frames, sam2.ObjectPrompt(mask=first), networks["sam2"])).all()
    with pytest.raises(UserError, match="no 'person' found"):
        segment(frames, "person", both)


def test_classes_are_matched_by_whole_words():
    names = {0: "car", 1: "carrot", 2: "teddy bear", 3: "bear", 4: "dining table-merged", 5: "glass", 6: "bus"}
    assert classes_of("the silver cars", names) == {0}
    assert classes_of("bear", names) == {3} and classes_of("teddy bear", names) == {2}
    assert classes_of("table", names) == {4} and classes_of("glass", names) == {5} and classes_of("bus", names) == {6}
    assert classes_of("brown bears", {2: "teddy bear", 7: "polar bear"}) == {2, 7}
    for subject in ("", "cart", "rot"):
        with pytest.raises(UserError, match="no class for"):
            classes_of(subject, names)


def test_no_subject_is_an_error_and_never_the_whole_picture(square):
    nothing = np.zeros((2, *SIZE), bool)
    with pytest.raises(UserError, match="no subject 'cat'"):
        believed(nothing, 0.001, "cat")
    with pytest.raises(UserError, match="cover every frame"):
        believed(~nothing, 0.001, "cat")
    tiny = nothing.copy()
    tiny[0, 3, 3:5] = True
    with pytest.raises(UserError, match=r"0\.07% .* 0\.10%"):
        believed(tiny, 0.001, "cat")
    tiny[1] = square
    assert (believed(tiny, 0.001, "cat") == np.stack([nothing[0], square])).all()


def test_auto_means_files_then_the_world_then_sam2():
    assert [MaskSettings(path=p).on(pocket) for p, pocket in (("x", True), (None, True), (None, False))] == [
        "files",
        "pocket",
        "sam2",
    ]


@pytest.mark.parametrize(
    "bad, told",
    [
        ({"backend": "sam3"}, "unknown mask backend 'sam3' .did you mean 'sam2'"),
        ({"backend": "files"}, "give masks=FOLDER"),
        ({"box": (0.1, 0.2, 0.3)}, "must be 4 numbers from 0 to 1"),
        ({"box": (0.5, 0.2, 0.3, 0.4)}, "left < right"),
        ({"point": (10, 20)}, "must be 2 numbers from 0 to 1"),
        ({"smallest": 1.0}, "share of the frame"),
    ],
)
def test_settings_that_cannot_be(frames, bad, told):
    with pytest.raises(UserError, match=told) as error:
        segment(frames, "cat", MaskSettings(**bad))
    assert "\n" not in str(error.value)


def test_weight_files_are_named_before_anything_loads(networks, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(MissingWeights, match="SAM 2 weights"):
        MaskSettings().files()
    with pytest.raises(MissingWeights, match="Mask2Former weights"):  # which would look for the start
        MaskSettings(weights=networks["sam2"]).files()
    located = MaskSettings(weights=networks["sam2"], box=(0, 0, 1, 1))
    assert {"sam2_video/config.json", "sam2_video/model.safetensors"} <= set(located.files())
    assert located.facts()["backend"] == "sam2" and set(located.facts()) == {"backend", "sam2_video"}
    assert MaskSettings(path="x").files() == {} and MaskSettings(path="x").facts() == {"backend": "files"}


def test_files_give_the_masks(frames, square, tmp_path):
    np.save(tmp_path / "masks.npy", np.stack([square] * 3))
    assert (segment(frames, "it", MaskSettings(path=str(tmp_path / "masks.npy"))) == square).all()


# the sprite world


def test_the_sprite_network_finds_the_character():
    character, motion = next(stream(5, "test"))
    clip = render_clip(character, motion, frames=4, size=128)
    found = segment(clip.frames, clip.character.kind, MaskSettings(), pocket=True)
    overlap = (found & clip.mask).sum() / (found | clip.mask).sum()
    assert overlap > 0.7
    facts = MaskSettings().facts(pocket=True)
    assert facts["backend"] == "pocket" and len(facts["pocket_maps"]["sha256"]) == 64
    assert MaskSettings().files(pocket=True)["pocket_maps"].is_file()


def _blobs(offsets):
    """Two discs that wander, red at the left and blue at the right: frames, both masks."""
    y, x = np.mgrid[:60, :100]
    red = np.stack([(y - 30) ** 2 + (x - 25 - d) ** 2 < 100 for d in offsets])
    blue = np.stack([(y - 30) ** 2 + (x - 70 + d) ** 2 < 120 for d in offsets]) & ~red
    frames = np.full((*red.shape, 3), 230, np.uint8)
    frames[red], frames[blue] = COLOURS["red"], COLOURS["blue"]
    return frames, red, blue


def test_of_several_characters_one_is_chosen_by_colour_or_place_and_followed():
    frames, red, blue = _blobs([0, 4, 8, 10])
    both = red | blue
    assert len(components(both[0])) == 2
    assert (choose(both, frames, "a blue cat", COLOURS) == blue).all()
    assert (choose(both, frames, "a red cat", COLOURS) == red).all()
    assert (choose(both, frames, "a cat", COLOURS) == both).all()  # nothing says which
    place = np.zeros((60, 100), bool)
    place[30, 72] = True
    assert (choose(both, frames, "a red cat", COLOURS, place) == blue).all()
    with pytest.raises(UserError, match="no subject"):
        choose(both, frames, "cat", COLOURS, np.zeros((60, 100), bool))


def test_characters_that_touch_are_parted():
    frames, red, blue = _blobs([0, 4, 8, 12, 14])
    both = red | blue
    assert len(components(both[-1])) == 1
    found = choose(both, frames, "blue", COLOURS)
    assert (found & blue)[-1].sum() > 0.85 * blue[-1].sum() and (found & red)[-1].sum() < 0.15 * red[-1].sum()


# The paper's own subjects (its figures and its table of edits), and the class in which each is looked for.
PAPERS = {
    "silver jeep": {"car"},
    "man": {"person"},
    "woman": {"person"},
    "girl": {"person"},
    "black swan": {"bird"},
    "kitten": {"cat"},
    "plane": {"airplane"},
    "bike": {"bicycle", "motorcycle"},
    "monkey": None,
    "tiger": None,
}


@pytest.mark.parametrize(("subject", "classes"), PAPERS.items())
def test_the_papers_subjects_are_found_by_name_or_by_standing_in_front(subject, classes):
    settings = MaskSettings()
    settings.check(subject=subject)
    assert settings.on(subject=subject) == ("sam2" if classes else "birefnet")
    if classes:
        assert {coco.NAMES[i] for i in coco.classes_of(subject)} == classes


def test_coco_has_its_classes_and_every_other_word_means_one_of_them():
    assert len(coco.NAMES) == 133 and coco.NAMES[79] == "toothbrush" and coco.NAMES[132] == "rug-merged"
    assert all(set(meant) <= set(coco.NAMES.values()) for meant in coco.SYNONYMS.values())
    assert coco.classes_of("hot dogs") == {52} and coco.classes_of("a police car") == {2}


def test_a_subject_is_looked_for_as_something_else():
    assert MaskSettings(seen_as="dog").on(subject="fox") == "sam2"
    assert MaskSettings(box=(0.1, 0.1, 0.5, 0.5)).on(subject="fox") == "sam2"
    with pytest.raises(UserError, match="no class for 'fxo'"):
        MaskSettings(seen_as="fxo").check(subject="fox")
    for backend in ("sam2", "mask2former"):
        with pytest.raises(UserError, match="masks.backend=birefnet"):
            MaskSettings(backend).check(subject="fox")
        MaskSettings(backend, seen_as="dog").check(subject="fox")


def test_mask2former_looks_for_the_other_class(networks, frames):
    settings = MaskSettings("mask2former", classes=networks["mask2former"], seen_as="car")
    plain = MaskSettings("mask2former", classes=networks["mask2former"])
    assert (segment(frames, "monkey", settings) == segment(frames, "car", plain)).all()
