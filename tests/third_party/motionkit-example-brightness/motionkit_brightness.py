"""A metric from another package: how bright a video is."""

from motionkit.metrics import Fact, Measure

BRIGHTNESS = Measure(
    Fact("brightness", "Brightness", "", "0 to 1", "none", "nothing", "Mean of all pixels; 1 is white.", "light meter"),
    lambda request: request.video.mean() / 255,
)
