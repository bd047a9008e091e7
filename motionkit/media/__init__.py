"""Reading, timing, framing and writing of pictures and videos; numpy arrays in and out, no torch."""

from motionkit.media import part as part
from motionkit.media.animated import write_animation as write_animation
from motionkit.media.animated import write_gif as write_gif
from motionkit.media.clip import Clip as Clip
from motionkit.media.clip import Sound as Sound
from motionkit.media.clip import from_frames as from_frames
from motionkit.media.framing import Box as Box
from motionkit.media.framing import border_colour as border_colour
from motionkit.media.framing import letterbox as letterbox
from motionkit.media.framing import spills as spills
from motionkit.media.framing import unletterbox as unletterbox
from motionkit.media.limits import Limits as Limits
from motionkit.media.matte import subject_mask as subject_mask
from motionkit.media.part import Wanted as Wanted
from motionkit.media.reading import read_clip as read_clip
from motionkit.media.timing import resample as resample
from motionkit.media.timing import take as take
from motionkit.media.writing import replacing as replacing
from motionkit.media.writing import write_frames as write_frames
from motionkit.media.writing import write_image as write_image
from motionkit.media.writing import write_video as write_video
