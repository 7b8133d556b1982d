"""The figures that a user should know about a prepared dataset, for `health.json`, `health.png` and the screen."""
