"""The toolkit's own estimators as declared parts; what each computes is in the module that its loader names."""

from __future__ import annotations

from pathlib import Path

from motionkit.perception.estimators import EstimatorSpec
from motionkit.perception.networks import BIREFNET, NETWORKS, RMBG, wanted
from motionkit.weights.finding import Wanted

_SHIPPED = Path("perception")  # below the assets
_SAM2, _MASK2FORMER, _DEPTH, _DINO = (wanted(NETWORKS[n]) for n in ("sam2", "mask2former", "depth_anything", "dinov2"))
_MAPS = Wanted(
    "the sprite network", ("pocket_maps.safetensors",), shipped=_SHIPPED, made="make them with `make train-pocket-maps`"
)
_OWN, _SPRITES = "Apache-2.0, code and weights", "sprites only"
DWPOSE_WEIGHTS = Wanted(
    "DWPose's weights",
    ("yolox_l.onnx", "dw-ll_ucoco_384.onnx"),
    hub_id="yzd-v/DWPose",
    setting="method.pose.weights",
    instead="give the poses as a file",
)
OPENPOSE_WEIGHTS = Wanted(
    "OpenPose's weights",
    ("body_pose_model.pth", "hand_pose_model.pth", "facenet.pth"),
    hub_id="lllyasviel/Annotators",
    setting="method.pose.weights",
    instead="give the poses as a file",
)
LINEART_WEIGHTS = Wanted(
    "the weights of source=lineart",
    ("sk_model.pth", "sk_model2.pth"),
    hub_id="lllyasviel/Annotators",
    setting="sketch.weights",
    instead="use source=edges",
)

DWPOSE = EstimatorSpec(
    "pose.dwpose",
    "DWPose: a person detector and a whole-body pose network, run by onnxruntime (extra `pose`)",
    "motionkit.perception.pose.dwpose:DWPose",
    "Apache-2.0",
    "people, with hands and faces",
    (DWPOSE_WEIGHTS,),
    paper_url="https://arxiv.org/abs/2307.15880",
)
OPENPOSE = EstimatorSpec(
    "pose.openpose",
    "OpenPose through controlnet-aux (extra `annotators`)",
    "motionkit.perception.pose.openpose:OpenPose",
    "non-commercial use (CMU)",
    "people, with hands and faces",
    (OPENPOSE_WEIGHTS,),
    paper_url="https://arxiv.org/abs/1812.08008",
)
POCKET_POSE = EstimatorSpec(
    "pose.pocket",
    "a small network of the sprite world, trained on many styles of drawing",
    "motionkit.perception.pose.pocket:PocketPose",
    _OWN,
    "drawn characters in several styles, one whole body",
    (
        Wanted(
            "the poses of drawn characters",
            ("pocket_pose.safetensors",),
            shipped=_SHIPPED,
            made="train it with `make train-pocket-pose`",
        ),
    ),
)
SAM2 = EstimatorSpec(
    "masks.sam2",
    "SAM 2: one object, followed through the clip from its place in frame 0",
    "motionkit.perception.sam2:Sam2",
    "Apache-2.0",
    "anything given by a box, point or mask; by name, COCO's classes (through Mask2Former)",
    (_SAM2, _MASK2FORMER),
    paper_url="https://arxiv.org/abs/2408.00714",
)
MASK2FORMER = EstimatorSpec(
    "masks.mask2former",
    "Mask2Former: each frame on its own",
    "motionkit.perception.mask2former:Mask2Former",
    NETWORKS["mask2former"].licence,
    "COCO's classes",
    (_MASK2FORMER,),
    paper_url="https://arxiv.org/abs/2112.01527",
)
FIGURE = EstimatorSpec(
    "masks.birefnet",
    "BiRefNet: whatever stands in front, each frame on its own",
    "motionkit.perception.birefnet:BiRefNetMasks",
    BIREFNET.licence,
    "any subject, if it alone stands in front; reads no name",
    (wanted(BIREFNET),),
    paper_url="https://arxiv.org/abs/2401.03407",
)
FRONT = EstimatorSpec(
    "masks.rmbg",
    "RMBG-1.4: whatever stands in front, each frame on its own",
    "motionkit.perception.rmbg:Rmbg",
    f"weights {RMBG.licence}",
    "any subject, if it alone stands in front; reads no name",
    (wanted(RMBG),),
    paper_url="https://arxiv.org/abs/2203.03041",
)
POCKET_MASKS = EstimatorSpec(
    "masks.pocket", "the sprite network", "motionkit.perception.pocket_estimators:PocketMasks", _OWN, _SPRITES, (_MAPS,)
)
DEPTH_ANYTHING = EstimatorSpec(
    "depth.depth_anything",
    "Depth Anything V2",
    "motionkit.perception.depth_anything:DepthAnything",
    NETWORKS["depth_anything"].licence,
    "any picture",
    (_DEPTH,),
    paper_url="https://arxiv.org/abs/2406.09414",
)
POCKET_DEPTH = EstimatorSpec(
    "depth.pocket", "the sprite network", "motionkit.perception.pocket_estimators:PocketDepth", _OWN, _SPRITES, (_MAPS,)
)
SD_DINO = EstimatorSpec(
    "correspondence.sd_dino",
    "features of the backbone's UNet (SD 1.x) and of DINOv2",
    "motionkit.perception.dino:SdDino",
    NETWORKS["dinov2"].licence,
    "any subject",
    (_DINO,),
    paper_url="https://arxiv.org/abs/2305.15347",
)
DINO = EstimatorSpec(
    "correspondence.dino",
    "features of DINOv2 alone",
    "motionkit.perception.dino:Dino",
    NETWORKS["dinov2"].licence,
    "any subject",
    (_DINO,),
    paper_url="https://arxiv.org/abs/2304.07193",
)
POCKET_CORRESPONDENCE = EstimatorSpec(
    "correspondence.pocket",
    "the sprite network",
    "motionkit.perception.pocket_estimators:PocketCorrespondence",
    _OWN,
    _SPRITES,
    (_MAPS,),
)
EDGES = EstimatorSpec(
    "drawing.edges", "outlines found by OpenCV", "motionkit.perception.lineart:Edges", "Apache-2.0", "any picture"
)
LINEART = EstimatorSpec(
    "drawing.lineart",
    "controlnet-aux's line drawing network (extra `annotators`)",
    "motionkit.perception.lineart:Lineart",
    "code Apache-2.0, weights: see their page",
    "any picture",
    (LINEART_WEIGHTS,),
)
DIS = EstimatorSpec(
    "flow.dis",
    "dense inverse search (Kroeger et al. 2016), by OpenCV",
    "motionkit.perception.flow:Dis",
    "Apache-2.0",
    "any pictures",
    paper_url="https://arxiv.org/abs/1603.03590",
)
FARNEBACK = EstimatorSpec(
    "flow.farneback",
    "polynomial expansion (Farneback 2003), by OpenCV",
    "motionkit.perception.flow:Farneback",
    "Apache-2.0",
    "any pictures",
    paper_url="https://doi.org/10.1007/3-540-45103-X_50",
)
