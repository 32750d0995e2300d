"""A captured step, made smaller, given its memory, written out, and replayed."""
