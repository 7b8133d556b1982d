"""The reader that the feeds of a test use; the fixture `reader` sets each in turn."""

NAME = "petastorm"
