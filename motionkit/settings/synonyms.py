"""What other tools call a setting, and which of several of one name is meant: for hints and for Python calls."""

from __future__ import annotations

from collections.abc import Iterable

# What other tools call it -> the last part of its name here.
ALSO = {
    "num_inference_steps": "steps",
    "inference_steps": "steps",
    "ddim_steps": "steps",
    "guidance_scale": "guidance",
    "cfg": "guidance",
    "cfg_scale": "guidance",
    "num_frames": "frames",
    "length": "frames",
    "height": "size",
    "width": "size",
    "resolution": "size",
    "frame_rate": "fps",
    "image": "reference",
    "input": "reference",
    "source": "reference",
    "ref": "reference",
    "video": "driving",
    "pose": "poses",
    "mask": "masks",
    "out": "output",
    "outdir": "output",
    "output_dir": "output",
    "model": "backbone",
    "torch_dtype": "dtype",
    "precision": "dtype",
    "generator": "seed",
    "callback_on_step_end": "progress",
    "learning_rate": "lr",
    "batch_size": "batch",
    "max_steps": "steps",
    "dataset": "data",
}
# Words of diffusers' calls that nothing here stands for -> what to do; the value None is always taken.
INSTEAD = {
    "output_type": "a result has .frames, and .to_pil() for pictures",
    "return_dict": "a call gives a Result, with .frames, .to_pil() and .save()",
    "num_videos_per_prompt": "call it once for each seed=",
    "num_images_per_prompt": "call it once for each seed=",
    "callback": "give callback_on_step_end=",
    "callback_steps": "give callback_on_step_end=",
    "callback_on_step_end_tensor_inputs": "the callback is given the latents, leave it out",
    "prompt_embeds": "prompts are texts",
    "negative_prompt_embeds": "prompts are texts",
    "latents": "noise is drawn from seed=",
    "eta": "give sampler=",
    "scheduler": "give sampler= in the call",
    "variant": "whatever files are there are taken, and torch_dtype= says the precision",
    "use_safetensors": "safetensors are taken, and no pickle is run",
    "safety_checker": "none is loaded",
    "feature_extractor": "none is loaded",
    "local_files_only": "files are local unless online=True is given in the call",
    "device_map": "give device= or gpu=",
}
# What a pipeline of diffusers can do -> how a method is told.
PIPELINE = {
    "from_pretrained": "motionkit.load(NAME, backbone=FOLDER)",
    "from_single_file": "motionkit.load(NAME, backbone=NAME, backbone_path=FILE)",
    "load_lora_weights": "motionkit.load(NAME, backbone_lora=FILE)",
    "load_textual_inversion": "motionkit.load(NAME, backbone_embeddings=FILE)",
    "enable_model_cpu_offload": 'motionkit.load(NAME, gpu={"offload": "model"})',
    "enable_sequential_cpu_offload": 'motionkit.load(NAME, gpu={"offload": "group"})',
    "enable_group_offload": 'motionkit.load(NAME, gpu={"offload": "group"})',
    "enable_vae_slicing": 'motionkit.load(NAME, gpu={"vae_slicing": True})',
    "enable_vae_tiling": 'motionkit.load(NAME, gpu={"vae_tiling": True})',
    "enable_xformers_memory_efficient_attention": 'motionkit.load(NAME, gpu={"attention": "xformers"})',
    "scheduler": "sampler=NAME in the call",
    "cuda": '.to("cuda")',
    "cpu": '.to("cpu")',
    "half": '.to("float16")',
}
_FIRST = ("sample", "generate", "recipe")  # of settings of one name, those of these parts are meant most often


def likeliest(key: str) -> tuple[bool, bool, int]:
    """A sorting key for dotted names with one last part: the one that is meant most often comes first."""
    parts = key.split(".")
    return len(parts) > 1, not any(part in _FIRST for part in parts[:-1]), len(parts)


def setting_for(word: str, known: Iterable[str]) -> str | None:
    """The setting among dotted names that another tool's word stands for; None where there is none.

    >>> setting_for("num_inference_steps", ["lora.steps", "sample.steps"])
    'sample.steps'
    """
    own = ALSO.get(word)
    return min((key for key in known if key.rpartition(".")[2] == own), key=likeliest, default=None)
