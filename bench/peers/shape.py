"""The shape that everything here is measured at: that of SmolLM2-135M."""

LAYERS, WIDTH, FEED_FORWARD = 30, 576, 1536
HEADS, KEY_VALUE_HEADS, HEAD_WIDTH = 9, 3, 64
VOCABULARY = 49152
THREADS = 2
