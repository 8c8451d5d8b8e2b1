"""The screen sizes on which pages are checked."""

DESK, PHONE, SMALLEST = (
    {"width": width, "height": height} for width, height in ((1280, 800), (390, 844), (320, 640))
)
