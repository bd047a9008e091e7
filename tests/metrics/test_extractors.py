"""The public networks behind LPIPS, FVD, FID-VID and FID, on random weights in the published files' layout."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from motionkit.errors import MissingWeights, UserError
from motionkit.metrics import extractors, needs, perceptual, protocols, text_image
from motionkit.metrics.i3d import I3D
from motionkit.metrics.resnet3d import ResNet3D


def video(seed=0, frames=4, height=64, width=72):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)


@pytest.fixture(autouse=True)
def nothing_on_this_machine(tmp_path, monkeypatch):
    """No public weights, whatever the machine holds, and a hub that must not be asked."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MOTIONKIT_ONLINE", raising=False)

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("huggingface_hub.file_download.get_hf_file_metadata", refuse)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of random weights for each network, as it is published."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    i3d, resnet = I3D(), ResNet3D()
    torch.save(i3d.state_dict(), folder / "i3d_pretrained_400.pt")
    old = {f"module.{k}": v for k, v in resnet.state_dict().items() if "num_batches" not in k}  # as torch 0.3 wrote it
    torch.save({"epoch": 1, "arch": "resnet-50", "state_dict": old}, folder / "resnet-50-kinetics.pth")
    found = {"i3d": folder / "i3d_pretrained_400.pt", "resnet3d": folder / "resnet-50-kinetics.pth"}
    for net in ("vgg16", "alexnet"):
        found[net] = folder / f"{net}.safetensors"
        state = {f"features.{k}": v.contiguous() for k, v in perceptual.backbone(net).state_dict().items()}
        save_file(state | {"classifier.0.bias": torch.zeros(2)}, found[net])
    return {name: str(path) for name, path in found.items()}


def test_the_networks_have_the_published_sizes():
    assert sum(p.numel() for p in I3D().parameters()) == 12_697_264  # arXiv 1705.07750, with the bias of the logits
    assert sum(p.numel() for p in ResNet3D().parameters()) == 47_018_576
    assert sum(p.numel() for p in perceptual.backbone("vgg16").parameters()) == 14_714_688
    assert sum(p.numel() for p in perceptual.backbone("alexnet").parameters()) == 2_469_696
    keys = set(I3D().state_dict())
    assert {"Mixed_4f.b2b.conv3d.weight", "Mixed_5c.b3b.bn.running_var", "logits.conv3d.bias"} <= keys
    assert {"layer1.0.downsample.1.running_mean", "layer4.2.conv3.weight"} <= set(ResNet3D().state_dict())


@pytest.mark.parametrize("net", ["vgg16", "alexnet"])
def test_lpips_is_that_of_torchmetrics(net, files, monkeypatch):
    from torchmetrics.functional.image import lpips as reference

    features, _ = perceptual._network(net, needs.locate(net, files[net]))
    monkeypatch.setattr(reference, "_get_tv_model_features", lambda *args: features)  # torchvision is not needed
    short = {"vgg16": "vgg", "alexnet": "alex"}[net]
    network = reference._NoTrainLpips.__new__(reference._NoTrainLpips)
    loaded, place = torch.load, torch.device("cpu")
    monkeypatch.setattr(torch, "load", lambda path, **given: loaded(path, **(given | {"map_location": place})))
    network.__init__(net=short)
    one, two = video(0), video(1)
    a, b = (torch.from_numpy(v).permute(0, 3, 1, 2) / 255 for v in (one, two))
    expected = float(network(a, b, normalize=True).mean())
    assert perceptual.lpips(one, two, net, files[net]) == pytest.approx(expected, rel=1e-4)
    as_copied = float(network(a, b, normalize=False).mean())
    assert perceptual.lpips(one, two, net, files[net], unscaled=True) == pytest.approx(as_copied, rel=1e-4)
    assert perceptual.lpips(one, one, net, files[net]) == 0


def test_lpips_refuses_what_it_cannot_see(files):
    with pytest.raises(ValueError, match="at least 64"):
        perceptual.lpips(video(height=32), video(height=32), "vgg16", files["vgg16"])
    with pytest.raises(UserError, match=r"features\.\d"):
        perceptual.lpips(video(), video(), "vgg16", files["alexnet"])


def test_clips_are_resized_as_pillow_does_on_floats():
    clip = video(frames=1, height=40, width=300)
    found = extractors._resized(clip, 112)[0]
    for channel in range(3):
        picture = Image.fromarray(clip[0, ..., channel].astype(np.float32))
        expected = np.asarray(picture.resize((112, 112), Image.Resampling.BICUBIC))
        assert np.abs(found[channel].numpy() - expected).max() < 0.01


def test_a_clip_is_one_vector_and_its_last_frame_is_repeated(files):
    clip = video(frames=10)
    found = extractors.resnet3d_features(clip, files["resnet3d"])
    longer = np.concatenate([clip, np.repeat(clip[-1:], 6, axis=0)])
    assert found.shape == (1, 2048) and np.array_equal(found, extractors.resnet3d_features(longer, files["resnet3d"]))
    twice = extractors.resnet3d_features(np.concatenate([longer, longer]), files["resnet3d"])
    assert np.allclose(found, twice)  # the mean over two equal segments


def test_fvd_features_are_the_networks_logits(files):
    clip = video(frames=8)
    found = extractors.i3d_features(clip, files["i3d"])
    net = I3D()
    net.load_state_dict(torch.load(files["i3d"], weights_only=True))
    x = extractors._resized(clip, 224).transpose(0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        assert np.allclose(found, net.eval()(x).numpy(), atol=1e-5)
    assert found.shape == (1, 400)


def test_neighbours_in_time_are_averaged_before_the_mean(files):
    """As the authors' network: of three moments the middle one counts twice."""
    net = I3D().eval()
    heads = []
    net.logits.register_forward_pre_hook(lambda layer, x: heads.append(x[0]))
    with torch.no_grad():
        x = torch.rand(1, 3, 24, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
        net(x)
    assert heads[0].shape == (1, 1024, 2, 1, 1)


def test_a_protocol_uses_the_weights_that_it_is_given(files):
    protocol = protocols.get("disco-2023", {"vgg16": files["vgg16"], "resnet3d": files["resnet3d"]}, {"fid_vid": 3})
    assert set(protocol.missing) == {"fid", "fvd"}
    found = protocol.video(video(0), truth=video(1))
    assert 0 < found["lpips_vgg_01"] != found["lpips_vgg"] > 0
    figure = protocol.sets([video(s, 16) for s in range(3)], [video(s, 16) for s in range(5, 8)])["fid_vid"]
    assert figure.value > 0 and figure.low <= figure.value <= figure.high and figure.n == 3


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_bad_files_are_refused_in_one_line(files, tmp_path):
    damaged, bomb, mark = tmp_path / "cut.pt", tmp_path / "bomb.pt", tmp_path / "went-off"
    damaged.write_bytes(Path(files["i3d"]).read_bytes()[:5000])
    torch.save({"x": Bomb(mark)}, bomb)
    for path in (damaged, bomb, files["resnet3d"], files["alexnet"]):
        with pytest.raises(UserError) as caught:
            extractors.i3d_features(video(), path)
        assert "I3D" in str(caught.value) and "\n" not in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize("name", needs.NEEDS)
def test_missing_weights_name_size_licence_and_what_to_do(name):
    with pytest.raises(MissingWeights) as caught:
        needs.locate(name)
    line = str(caught.value)
    assert "GB" in line and "\n" not in line and not needs.available(name)
    assert any(word in line for word in ("hf download", "MOTIONKIT_CACHE/metrics", "pip install"))


def test_files_are_found_where_they_are_put(files, tmp_path):
    folder = needs.cache_folder()
    folder.mkdir(parents=True)
    file = folder / "i3d_pretrained_400.pt"
    file.write_bytes(b"x")
    assert needs.locate("i3d") == file == needs.locate("i3d", folder) == needs.locate("i3d", file)
    with pytest.raises(MissingWeights, match="lacks the VGG-16"):
        needs.locate("vgg16", folder)
    with pytest.raises(MissingWeights, match="nowhere.pt"):
        needs.locate("i3d", tmp_path / "nowhere.pt")
    with pytest.raises(MissingWeights, match="own/repo is not a file or folder"):
        needs.locate("i3d", "own/repo")
    with pytest.raises(UserError, match="did you mean 'i3d'"):
        needs.locate("i3")


def test_a_hub_id_is_read_from_the_cache(tmp_path):
    commit, root = "0" * 40, tmp_path / "hub" / "models--own--repo"
    file = root / "snapshots" / commit / "i3d_pretrained_400.safetensors"
    file.parent.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(commit)
    file.write_bytes(b"x")
    assert needs.locate("i3d", "own/repo") == file


def test_fid_without_its_package_says_so(monkeypatch):
    monkeypatch.setattr(needs, "_installed", lambda module: False)
    with pytest.raises(MissingWeights, match="pip install torch-fidelity"):
        needs.locate("inception")
    monkeypatch.setattr(needs, "_installed", lambda module: True)
    with pytest.raises(MissingWeights, match="weights-inception-2015"):
        needs.locate("inception")


def test_clip_scores_need_something_to_look_at():
    with pytest.raises(ValueError, match="text"):
        text_image.clip_score(video(), " ")
    with pytest.raises(ValueError, match="two frames"):
        text_image.clip_steadiness(video(frames=1))
