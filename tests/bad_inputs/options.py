"Bad inputs of the options: what is typed wrongly ends with exit code 2, which tests/test_cli.py tries."
PARSED = "internal: tyro checks the types while parsing, the command the values: see the rows of cli"
ROWS = {
    **{name: PARSED for name in ("Machine", "Settings", "Files", "TrainVAE", "Train", "TrainJudge", "Demo",
                                 "Generate", "Reconstruct", "Evaluate", "Convert", "CacheLatents", "Sample",
                                 "Fid", "Benchmark", "Info")},
    "On": "internal: a type", "Data": "internal: a type", "OPTIONS": "internal: a table of commands",
    "BRIEF": "internal: a table of commands",
    "parse": "internal: usage errors end with exit code 2, tests/test_cli.py has them",
    "as_typed": "internal: takes any message",
}
