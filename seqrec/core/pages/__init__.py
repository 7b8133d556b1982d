"""HTML pages for people: one style for light and dark screens, narrow ones and paper, and text that stays text."""
