"""What compiled code is to be told to do a call, by subject: what `loops=` and `work=` in the catalogue name."""
