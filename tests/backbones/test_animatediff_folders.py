"""AnimateDiff from folders and hub ids in their real layouts, and the one line that each mismatch gets."""

import dataclasses
import json
import shutil
from collections import Counter

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import MotionAdapter, UNet2DConditionModel

from motionkit.backbones import fingerprint, get, load, tiny_motion
from motionkit.backbones.animatediff import join
from motionkit.backbones.base import attention_sites
from motionkit.backbones.motion_files import MotionOptions, max_frames
from motionkit.errors import MissingWeights, UserError
from motionkit.settings.gpu import Plan
from motionkit.weights import reading

PLAN = Plan()


@pytest.fixture(scope="session", params=["animatediff", "animatediff-xl"])
def family(request):
    return request.param


@pytest.fixture(scope="session")
def homes(tmp_path_factory):
    """Family -> (folder of the image model, folder of the motion modules); never written to by tests."""
    found = {}
    for seed, family in enumerate(("animatediff", "animatediff-xl")):
        root = tmp_path_factory.mktemp(family)
        with torch.random.fork_rng():
            torch.manual_seed(20 + seed)
            parts = tiny_motion.parts_of(family)
        parts.pop("motion_adapter").save_pretrained(root / "modules")
        for name, part in parts.items():
            part.save_pretrained(root / "base" / name)
        found[family] = (root / "base", root / "modules")
    return found


@pytest.fixture
def modules(homes, tmp_path):
    """A copy of the SD modules to damage."""
    return shutil.copytree(homes["animatediff"][1], tmp_path / "modules")


def options(folder, **more):
    return MotionOptions(adapter=str(folder), **more)


def spec_of(family):
    """The real backbone, but of toy size too."""
    return dataclasses.replace(get("animatediff-sd15" if family == "animatediff" else "animatediff-sdxl"), expects=())


def edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def untouched(monkeypatch):
    """From here on no weight may be read."""
    monkeypatch.setattr(reading, "safe_open", lambda *a: pytest.fail("a weight was read"))


def test_weights_arrive_bit_for_bit(homes, family):
    base, modules = homes[family]
    state = torch.random.get_rng_state()
    backbone = load(spec_of(family), PLAN, path=str(base), motion=options(modules))
    assert torch.equal(torch.random.get_rng_state(), state)
    image, adapter = UNet2DConditionModel.from_pretrained(base / "unet"), MotionAdapter.from_pretrained(modules)
    expected = {**image.state_dict(), **adapter.state_dict()}
    found = backbone.unet.state_dict()
    assert found.keys() == expected.keys() and all(torch.equal(found[k], v) for k, v in expected.items())
    text = backbone.encode_text(["a red cat"])
    out = backbone.denoise(torch.randn(1, 4, 3, 16, 16), 500, text)
    assert torch.isfinite(out).all() and text.shape[1] == (17 if family == "animatediff-xl" else 16)


def test_it_computes_what_the_stock_model_computes(homes):
    from diffusers import UNetMotionModel

    base, modules = homes["animatediff"]
    backbone = load(spec_of("animatediff"), PLAN, path=str(base), motion=options(modules, per_frame_norm=False))
    stock = UNetMotionModel.from_unet2d(
        UNet2DConditionModel.from_pretrained(base / "unet"), MotionAdapter.from_pretrained(modules)
    ).eval()
    clip, text = torch.randn(2, 4, 3, 16, 16), backbone.encode_text(["a red cat", "a dog"])
    with torch.no_grad():
        expected = stock(clip, torch.tensor([500, 20]), text.repeat_interleave(3, 0)).sample
    found = backbone.denoise(clip, torch.tensor([500, 20]), text)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_modules_of_another_model_are_named_before_any_weight(homes, monkeypatch):
    untouched(monkeypatch)
    base, _ = homes["animatediff"]
    with pytest.raises(UserError, match="are for widths 8, 8, 16, the UNet in .* is of widths 8, 16: give others"):
        load(spec_of("animatediff"), PLAN, path=str(base), motion=options(homes["animatediff-xl"][1]))


def test_published_shapes_are_called_by_name(homes, modules, monkeypatch, tmp_path):
    untouched(monkeypatch)
    base = shutil.copytree(homes["animatediff"][0], tmp_path / "base")
    edit(modules / "config.json", block_out_channels=[320, 640, 1280])
    edit(base / "unet/config.json", block_out_channels=[320, 640, 1280, 1280])
    with pytest.raises(UserError, match=r"are for SD XL \(widths 320, 640, 1280\), the UNet in .* is of SD 1.5"):
        load(spec_of("animatediff"), PLAN, path=str(base), motion=options(modules))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"conv_in_channels": 9}, "an input layer of 9 channels"),
        ({"motion_layers_per_block": 2}, "motion_layers_per_block 2, the UNet in .* layers_per_block 1"),
        ({"motion_norm_num_groups": 8}, "motion_norm_num_groups 8, the UNet in .* norm_num_groups 4"),
        ({"_class_name": "ControlNetModel"}, "describes a ControlNetModel, not a MotionAdapter"),
        ({"use_motion_mid_block": True}, "lacks .* weights, e.g. mid_block"),
        ({"motion_max_seq_length": 24}, "has shape .* its config.json says"),
    ],
)
def test_modules_that_do_not_fit(homes, modules, changes, line):
    edit(modules / "config.json", **changes)
    with pytest.raises(UserError, match=line) as error:
        load(spec_of("animatediff"), PLAN, path=str(homes["animatediff"][0]), motion=options(modules))
    assert "\n" not in str(error.value)


def test_the_wrong_family_of_base(homes, monkeypatch):
    untouched(monkeypatch)
    base, modules = homes["animatediff-xl"]
    with pytest.raises(UserError, match="holds an SD XL model; use backbone=animatediff-sdxl for it"):
        load("animatediff-sd15", PLAN, path=str(base), motion=options(modules))
    with pytest.raises(UserError, match="cross_attention_dim 16, animatediff-sd15 has 768"):
        load("animatediff-sd15", PLAN, path=str(homes["animatediff"][0]), motion=options(homes["animatediff"][1]))


def test_modules_lie_in_their_own_folder_or_in_the_base(homes, modules, tmp_path):
    base = shutil.copytree(homes["animatediff"][0], tmp_path / "base")
    (tmp_path / "parent").mkdir()
    shutil.copytree(modules, tmp_path / "parent/motion_adapter")
    shutil.copytree(modules, base / "motion_adapter")
    spec = spec_of("animatediff")
    found = {fingerprint(spec, str(base)), fingerprint(spec, str(base), motion=options(tmp_path / "parent"))}
    assert found == {load(spec, PLAN, path=str(base)).fingerprint()}
    file = base / "motion_adapter/config.json"
    edit(file, note="another")
    assert fingerprint(spec, str(base)) not in found


def test_places_that_hold_no_modules(homes, modules, tmp_path):
    base, spec = str(homes["animatediff"][0]), spec_of("animatediff")
    with pytest.raises(
        MissingWeights, match="no file or folder /nowhere/x .backbone.motion_adapter is a folder, a file or a hub id"
    ):
        load(spec, PLAN, path=base, motion=options("/nowhere/x"))
    for name, line in (("mm_sd_v15.ckpt", "more than plain tensors"), ("a.onnx", "not a file of motion modules")):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(UserError, match=line):
            load(spec, PLAN, path=base, motion=options(tmp_path / name))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingWeights, match="lacks config.json, diffusion_pytorch_model.safetensors: it holds no"):
        load(spec, PLAN, path=base, motion=options(tmp_path / "empty"))
    weights_file = modules / "diffusion_pytorch_model.safetensors"
    weights_file.rename(weights_file.with_suffix(".bin"))
    with pytest.raises(UserError, match="is a pickle that holds more"):
        load(spec, PLAN, path=base, motion=options(modules))
    weights_file.write_bytes(b"short")
    with pytest.raises(UserError, match="damaged or cut short"):
        load(spec, PLAN, path=base, motion=options(modules))


def test_the_hub_command_names_the_modules(homes, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("MOTIONKIT_ONLINE", raising=False)
    spec = spec_of("animatediff-xl")
    with pytest.raises(
        MissingWeights,
        match="hf download guoyww/animatediff-motion-adapter-sdxl-beta config.json "
        "diffusion_pytorch_model.safetensors ",
    ) as error:
        load(spec, PLAN, path=str(homes["animatediff-xl"][0]))
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)
    with pytest.raises(MissingWeights, match="owner/name is not a file or folder"):
        load(spec, PLAN, path=str(homes["animatediff-xl"][0]), motion=options("owner/name"))


def test_frames_are_counted_from_the_configuration_alone(homes, modules, monkeypatch):
    untouched(monkeypatch)
    edit(modules / "config.json", motion_max_seq_length=24)
    base = str(homes["animatediff"][0])
    assert max_frames(spec_of("animatediff"), base, options(modules)) == 24
    assert max_frames(get("tiny-animatediff-sd15")) == 32 and max_frames(get("tiny-sd")) is None


SD15 = dict(
    block_out_channels=(320, 640, 1280, 1280),
    cross_attention_dim=768,
    attention_head_dim=8,
    down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
)
SDXL = dict(
    block_out_channels=(320, 640, 1280),
    cross_attention_dim=2048,
    attention_head_dim=(5, 10, 20),
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    transformer_layers_per_block=(1, 2, 10),
    use_linear_projection=True,
    addition_embed_type="text_time",
    addition_time_embed_dim=256,
    projection_class_embeddings_input_dim=2816,
)


@pytest.mark.parametrize(
    ("unet", "mid", "sites", "widths", "size"),
    [
        (SD15, False, (16, 16, 40), {320: 10, 640: 10, 1280: 20}, 417_083_520),
        (SD15, True, (16, 16, 42), {320: 10, 640: 10, 1280: 22}, None),
        (SDXL, False, (70, 70, 30), {320: 10, 640: 10, 1280: 10}, None),
    ],
)
def test_the_real_sizes_have_the_sites_that_are_published(unet, mid, sites, widths, size):
    with init_empty_weights():
        image = UNet2DConditionModel(sample_size=64, **unet)
        adapter = MotionAdapter(block_out_channels=unet["block_out_channels"], use_motion_mid_block=mid)
    video = join(image, adapter)  # names of both together are exactly the video UNet's
    roles = [attention_sites(video, role) for role in ("spatial_self", "cross", "temporal_self")]
    assert tuple(map(len, roles)) == sites
    assert Counter(s.width for s in roles[2]) == widths
    if size:
        assert abs(sum(p.numel() for p in adapter.parameters()) - size) < 1_000_000


def test_weights_that_are_lost_are_named(monkeypatch, tmp_path):
    from motionkit.backbones import catalog, folders

    monkeypatch.setenv("MOTIONKIT_ASSETS", str(tmp_path))
    with pytest.raises(MissingWeights, match="this installation lacks vae/config.json, .*MOTIONKIT_ASSETS"):
        folders.locate(catalog.get("pocket-animatediff"))
