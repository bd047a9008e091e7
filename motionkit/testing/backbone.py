"""What any backbone, built in or from a third party, must meet: it is what it declares, and repeats itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from motionkit import backbones
from motionkit.backbones import BackboneSpec
from motionkit.backbones.spec import ROLES
from motionkit.registry import SAMPLERS
from motionkit.settings.gpu import Plan
from motionkit.testing.report import Check, NotApplicable, Report, expect, listed

if TYPE_CHECKING:
    from torch import Tensor

    from motionkit.backbones.base import VideoBackbone

Verdict = Callable[["Loaded"], None]
_PREDICTIONS = ("epsilon", "v_prediction", "flow_prediction")


class Loaded:
    """A backbone with what its rules share; it is loaded when a rule first asks for it."""

    def __init__(self, spec: BackboneSpec, frames: int = 5) -> None:
        self.spec, self.frames, self.side = spec, frames, 2 * spec.size_multiple
        self._backbone: VideoBackbone | None = None

    @property
    def backbone(self) -> VideoBackbone:
        """Loaded on the CPU, in float32."""
        if self._backbone is None:
            self._backbone = backbones.load(self.spec, Plan())
        return self._backbone

    def noise(self) -> Tensor:
        """Latents (1, C, F', h, w), the same at every call."""
        import torch

        shape = self.backbone.latent_shape(self.frames, self.side, self.side)
        return torch.randn(1, *shape, generator=torch.Generator().manual_seed(1))

    def predict(self, latents: Tensor, prompt: str = "a red cat", **more: Any) -> Tensor:
        """What the network predicts for them half way through the noise schedule."""
        import torch

        with torch.no_grad():
            return self.backbone.denoise(latents, 500, self.backbone.encode_text([prompt]), **more)


def check_backbone(spec: BackboneSpec, frames: int = 5) -> Report:
    """Judge a backbone whose weights are here, on the CPU; a small one takes a second.

    Args:
        frames: of the clip that it is judged with; one more than a multiple of its time stride.

    Returns:
        A report; `report.raise_if_failed()` raises AssertionError with every broken rule.
    """
    loaded = Loaded(spec, frames)
    return Report(spec.name, tuple(_judge(verdict, loaded) for verdict in VERDICTS))


def _judge(verdict: Verdict, loaded: Loaded) -> Check:
    try:
        verdict(loaded)
    except NotApplicable as reason:
        return Check(verdict.__name__, None, str(reason))
    except Exception as error:  # whatever one rule meets, the others still get their turn
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        return Check(verdict.__name__, False, f"{kind}{error}")
    return Check(verdict.__name__, True)


def facts_are_stated(loaded: Loaded) -> None:
    """Texts are one line each; roles, predictions and the sampler are known, and the sampler walks what it predicts."""
    spec = loaded.spec
    for name in ("name", "family", "summary", "weights", "licence"):
        value = getattr(spec, name)
        expect(value.strip() and "\n" not in value, f"{name} must be one line of text, is {value!r}")
    expect(set(spec.roles) <= set(ROLES), f"roles are some of {listed(ROLES)}, not {listed(spec.roles)}")
    expect(spec.predictions and set(spec.predictions) <= set(_PREDICTIONS), f"it predicts {listed(spec.predictions)}")
    walks = SAMPLERS.get(spec.sampler).predictions
    expect(set(walks) & set(spec.predictions), f"its sampler {spec.sampler} walks only {listed(walks)}")


def latents_are_as_declared(loaded: Loaded) -> None:
    """Frames become latents of the declared shape, of a deviation near 1 to 10, and latents become frames in [0, 1]."""
    import torch

    backbone, spec, side = loaded.backbone, loaded.spec, loaded.side
    frames = torch.rand(loaded.frames, 3, side, side, generator=torch.Generator().manual_seed(0))
    latents = backbone.encode(frames)
    times = 1 + (loaded.frames - 1) // spec.time_stride
    shape = (times, spec.latent_channels, side // backbone.factor, side // backbone.factor)
    expect(tuple(latents.shape) == shape, f"latents of {tuple(latents.shape)}, declared are {shape}")
    expect(latents.dtype == torch.float32 and bool(torch.isfinite(latents).all()), "latents are finite float32")
    expect(torch.equal(latents, backbone.encode(frames)), "the same frames give other latents")
    decoded = backbone.decode(latents)
    expect(decoded.shape == frames.shape, f"decoded to {tuple(decoded.shape)}, not {tuple(frames.shape)}")
    expect(0 <= decoded.min() and decoded.max() <= 1, "decoded frames leave [0, 1]")


def denoises_as_declared(loaded: Loaded) -> None:
    """A prediction has the latents' shape; the prompt counts if it reads text, other frames if it makes clips."""
    import torch

    spec, latents = loaded.spec, loaded.noise()
    found = loaded.predict(latents)
    expect(found.shape == latents.shape, f"a prediction of {tuple(found.shape)} for {tuple(latents.shape)}")
    expect(found.dtype == torch.float32 and bool(torch.isfinite(found).all()), "a prediction is finite float32")
    kind = loaded.backbone.prediction_type
    expect(kind in spec.predictions, f"it predicts {kind}, declared is {listed(spec.predictions)}")
    if spec.reads_text:
        expect(not torch.equal(found, loaded.predict(latents, "a green horse")), "another prompt changes nothing")
    last = latents.clone()
    last[:, :, -1] += 1
    met = not torch.allclose(found[:, :, 0], loaded.predict(last)[:, :, 0], atol=1e-6)
    expect(met == spec.makes_clips, f"the last frame {'counts' if met else 'does not count'} in the first")


def attention_is_as_declared(loaded: Loaded) -> None:
    """There are attention layers of each declared role, and of no other."""
    found = [role for role in ROLES if loaded.backbone.attention_sites(role)]
    expect(
        set(found) == set(loaded.spec.roles), f"attention of {listed(found)}, declared is {listed(loaded.spec.roles)}"
    )


def its_sampler_walks(loaded: Loaded) -> None:
    """Its own sampler goes from noise to finite latents."""
    import torch

    from motionkit.diffusion.guidance import text_model
    from motionkit.diffusion.loop import denoise
    from motionkit.diffusion.samplers import make_sampler

    backbone, sampler = loaded.backbone, make_sampler(loaded.backbone)
    model = text_model(backbone.denoise, backbone.encode_text(["a red cat"]))
    found = denoise(model, sampler, sampler.initial_scale * loaded.noise(), sampler.grid(2))
    expect(found.shape == loaded.noise().shape and bool(torch.isfinite(found).all()), "two steps of its sampler fail")


def copies_are_their_own(loaded: Loaded) -> None:
    """A copy of the network predicts the same, and changing its weights leaves the backbone alone."""
    import torch

    latents, copy = loaded.noise(), loaded.backbone.fresh_unet()
    before = loaded.predict(latents)
    expect(torch.equal(before, loaded.predict(latents, unet=copy)), "a copy of its network predicts something else")
    with torch.no_grad():
        for weight in copy.parameters():
            weight.add_(0.1)
    expect(torch.equal(before, loaded.predict(latents)), "weights of a copy are the backbone's own")
    expect(not torch.equal(before, loaded.predict(latents, unet=copy)), "denoise does not use the network it is given")


def same_seed_same_weights(loaded: Loaded) -> None:
    """Loaded twice it is the same, its fingerprint is known before, and a seed leaves torch's generator alone."""
    import torch

    state, told = torch.get_rng_state(), backbones.fingerprint(loaded.spec)
    again = backbones.load(loaded.spec, Plan())
    drawn = not torch.equal(state, torch.get_rng_state())
    expect(again.fingerprint() == told == loaded.backbone.fingerprint(), "the fingerprint is not that of `fingerprint`")
    latents, text = loaded.noise(), again.encode_text(["a red cat"])
    with torch.no_grad():
        expect(torch.equal(loaded.predict(latents), again.denoise(latents, 500, text)), "loaded twice, it differs")
    if not loaded.spec.made_up:
        raise NotApplicable("its weights do not come from a seed")
    expect(not drawn, "loading draws from torch's global generator: see motionkit.weights.building.drawing")
    expect(backbones.fingerprint(loaded.spec, seed=1) != told, "another seed has the same fingerprint")


VERDICTS: tuple[Verdict, ...] = (
    facts_are_stated,
    latents_are_as_declared,
    denoises_as_declared,
    attention_is_as_declared,
    its_sampler_walks,
    copies_are_their_own,
    same_seed_same_weights,
)
