"""What a user should know about a prepared dataset: `health.json`, `health.png` and the table on the screen."""
