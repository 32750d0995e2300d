"""Random programs, trainings, threads, forks and interrupts, each compared with what has to come out.

`python -m tests.support.fuzz <kind> --count N --seed S` runs N cases of a kind; `--only INDEX` one of them again.
"""
