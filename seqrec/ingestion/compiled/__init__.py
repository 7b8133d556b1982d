"""Lines that are plainly clean, read by `lines.c`, which the machine's own C compiler builds when it is first needed.
Only the formats and `clean_lines.py` import it."""
