"""Weight files: strict, bound to their VAE, and never unpickled; public checkpoints are converted."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from motionkit.errors import MissingWeights, UserError
from motionkit.methods.anamodiff.convert import arguments_of, convert, read_checkpoint
from motionkit.methods.anamodiff.keypoints import KPDetector
from motionkit.methods.anamodiff.lofnet import LOFNet
from motionkit.methods.anamodiff.weights import (
    load_network,
    load_networks,
    random_networks,
    same_vae,
    save_network,
    vae_signature,
    weight_files,
)

DETECTOR = {"num_kp": 5, "block_expansion": 8, "max_features": 32, "num_blocks": 2, "pad": 0}
FLOW = {"num_kp": 5, "block_expansion": 8, "max_features": 32, "num_blocks": 2}


@pytest.fixture
def folder(tmp_path, tiny):
    """A whole folder of weights for the tiny backbone, in half precision as they ship."""
    for kind, network, config in (("keypoints", KPDetector, DETECTOR), ("lofnet", LOFNet, FLOW)):
        torch.manual_seed(1)
        state = {k: v.half() if v.is_floating_point() else v for k, v in network(**config).state_dict().items()}
        facts = {"vae": vae_signature(tiny.vae), "backbone": "tiny-sd"} if kind == "lofnet" else {}
        save_network(tmp_path / f"{kind}.safetensors", kind, config, state, **facts)
    return tmp_path


def test_a_file_gives_back_its_network(folder, draw):
    network, facts = load_network(folder / "lofnet.safetensors", "lofnet")
    assert facts["backbone"] == "tiny-sd" and not network.training
    assert next(network.parameters()).dtype == torch.float32
    torch.manual_seed(1)
    again = LOFNet(**FLOW).state_dict()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, again[name], atol=1e-3, rtol=1e-3)
    assert not list(folder.glob(".*"))  # nothing temporary is left


def test_networks_load_for_their_own_vae_only(folder, tiny):
    from motionkit.backbones import load
    from motionkit.settings.gpu import Plan

    files = weight_files(str(folder), "tiny-sd")
    detector, flow = load_networks(files, "tiny-sd", tiny.vae, 16)
    assert detector.num_kp == flow.num_kp == 5
    with torch.random.fork_rng():
        torch.manual_seed(7)
        other = type(tiny.vae).from_config(tiny.vae.config)
    with pytest.raises(UserError, match="another autoencoder .tiny-sd.*motionkit train"):
        load_networks(files, "tiny-sd", other, 16)
    half = load("tiny-sd", Plan()).vae.to(torch.bfloat16)
    assert same_vae(vae_signature(half), vae_signature(tiny.vae))  # the same weights in another precision
    with pytest.raises(UserError, match="at least 4"):
        load_networks(files, "tiny-sd", tiny.vae, 2)


def test_a_missing_file_says_how_to_get_it(tmp_path):
    with pytest.raises(MissingWeights, match="motionkit train method=anamodiff train.backbone=sd15"):
        weight_files(str(tmp_path), "sd15")
    with pytest.raises(MissingWeights, match="weights ship for sd14.*motionkit train"):
        weight_files("auto", "sd14")
    assert weight_files("auto", "tiny-sd") == weight_files("random", "sd15") == {}


@pytest.mark.parametrize("spoil", ["text", "other kind", "missing weight", "wrong shape", "no metadata"])
def test_a_spoilt_file_is_one_line(folder, spoil):
    path = folder / "lofnet.safetensors"
    state = LOFNet(**FLOW).state_dict()
    if spoil == "text":
        path.write_text("not weights")
    elif spoil == "other kind":
        path = folder / "keypoints.safetensors"
    elif spoil == "missing weight":
        save_network(path, "lofnet", FLOW, {k: v for k, v in state.items() if k != "mask.bias"})
    elif spoil == "wrong shape":
        save_network(path, "lofnet", FLOW | {"num_kp": 6}, state)
    else:
        save_file(state, path)
    with pytest.raises(UserError, match="usable lofnet file") as caught:
        load_network(path, "lofnet")
    assert "\n" not in str(caught.value)


def test_random_networks_depend_on_their_seed_alone():
    before = torch.random.get_rng_state()
    one, two, other = (random_networks(4, 16, seed)[1].state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert not torch.equal(one["mask.weight"], other["mask.weight"])


class TestPublicCheckpoints:
    """A made file with the reference's names; the real ones have the same layout."""

    @pytest.fixture(params=[(True, 5, 0.25), (False, 7, 1)])
    def checkpoint(self, request, tmp_path):
        shared, points, scale = request.param
        arguments = DETECTOR | {"single_jacobian_map": shared, "num_kp": points, "scale_factor": scale}
        torch.manual_seed(0)
        net = KPDetector(**arguments).eval()
        with torch.no_grad():
            for weight in net.parameters():
                weight.add_(0.1 * torch.randn(weight.shape))
        path = tmp_path / "mgif-256.pth.tar"
        other = {"dense_motion_network.mask.weight": torch.zeros(3)}
        torch.save({"kp_detector": net.state_dict(), "generator": other, "epoch": 99}, path)
        return path, net

    def test_conversion_gives_the_same_keypoints(self, checkpoint, tmp_path, draw):
        path, net = checkpoint
        convert(path, tmp_path / "keypoints.safetensors")
        loaded, facts = load_network(tmp_path / "keypoints.safetensors", "keypoints")
        frames = torch.rand(2, 3, 64, 64, generator=draw)
        with torch.no_grad():
            ours, theirs = loaded(frames), net(frames)
        torch.testing.assert_close(ours.value, theirs.value)
        torch.testing.assert_close(ours.jacobian, theirs.jacobian)
        assert facts == {"size": 256, "source": "first-order-model"}

    def test_the_command_line(self, checkpoint, tmp_path, capsys):
        from motionkit.cli import main

        path, net = checkpoint
        words = ["convert", "anamodiff", str(path), str(tmp_path / "out.safetensors")]
        assert main([*words, "temperature=0.2"]) == 0
        assert f"{net.num_kp} keypoints" in capsys.readouterr().out
        assert load_network(tmp_path / "out.safetensors", "keypoints")[0].temperature == 0.2
        for wrong, said in (("pad=x", "pad=x is not a number"), ("paddling=1", "unknown option 'paddling'")):
            assert main([*words, wrong]) == 2 and said in capsys.readouterr().err
        assert main(["convert", "anamodiff", str(tmp_path / "none.tar"), str(tmp_path / "x.safetensors")]) == 2
        assert "no such file" in capsys.readouterr().err and not (tmp_path / "x.safetensors").exists()

    def test_code_in_a_checkpoint_is_refused_and_not_run(self, tmp_path):
        marker = tmp_path / "ran"

        class Evil:
            def __reduce__(self):
                return open, (str(marker), "w")

        for save in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
            path = tmp_path / "evil.pth.tar"
            save({"kp_detector": Evil()}, path)
            with pytest.raises(UserError, match="more than weights"):
                convert(path, tmp_path / "keypoints.safetensors")
        assert not marker.exists() and not (tmp_path / "keypoints.safetensors").exists()

    def test_a_text_is_no_checkpoint(self, tmp_path):
        (tmp_path / "x.pth").write_bytes(b"hello")
        with pytest.raises(UserError, match="more than weights"):
            convert(tmp_path / "x.pth", tmp_path / "keypoints.safetensors")

    def test_a_file_without_a_detector_is_named(self, tmp_path):
        torch.save({"generator": {}}, tmp_path / "x.pth.tar")
        with pytest.raises(UserError, match="no keypoint detector"):
            read_checkpoint(tmp_path / "x.pth.tar")
        torch.save({"kp.weight": torch.zeros(3, 3, 7, 7)}, tmp_path / "y.pth.tar")
        with pytest.raises(UserError, match="keypoint detector"):
            convert(tmp_path / "y.pth.tar", tmp_path / "z.safetensors")


def test_arguments_are_read_off_the_shapes_of_the_public_detector():
    with torch.device("meta"):
        net = KPDetector(single_jacobian_map=True, pad=0)
    arguments = arguments_of(net.state_dict())
    assert arguments["num_kp"] == 10 and arguments["block_expansion"] == 32 and arguments["max_features"] == 1024
    assert arguments["single_jacobian_map"] and arguments["scale_factor"] == 0.25 and json.dumps(arguments)


def test_an_encoder_whose_latents_are_scaled_is_another_vae(tiny):
    import copy

    scaled = copy.deepcopy(tiny.vae).float()
    before = vae_signature(scaled)
    with torch.no_grad():
        scaled.quant_conv.weight[: scaled.config.latent_channels] *= torch.tensor([2.3, 1.5, 3.0, 5.1]).view(
            -1, 1, 1, 1
        )
    assert not same_vae(before, vae_signature(scaled))
    assert same_vae(before[:-1], before)  # a file from before the signature counted it
