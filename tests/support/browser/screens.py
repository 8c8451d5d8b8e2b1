"""The sizes of screen on which the pages are looked at."""

DESK, PHONE, SMALLEST = (
    {"width": width, "height": height} for width, height in ((1280, 800), (390, 844), (320, 640))
)
