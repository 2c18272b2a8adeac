"Bad inputs of `course`, and the message each must give."
import torch

from tokenbridge import course as c

UNKNOWN = "exercise: expected an id such as '03e', got "

ROWS = {
    "exercises": "no input: reads the table that the package brings",
    "predict": [
        (lambda: c.predict("99e", 1), ValueError, UNKNOWN + "'99e'"),
        (lambda: c.predict(3), ValueError, UNKNOWN + "3"),
    ],
    "answer": [
        (lambda: c.answer("3e", 1), ValueError, UNKNOWN + "'3e'"),
        (lambda: c.answer(None, 1), ValueError, UNKNOWN + "None"),
    ],
    "fits": [(lambda: c.fits("03x", 1, 1), ValueError, UNKNOWN + "'03x'")],
    "judge": [(lambda: c.judge("", 1), ValueError, UNKNOWN + "''")],
    "check": "never raises: it prints what is wrong, so that a lesson goes on",
    "claim": [
        (lambda: c.claim(torch.ones(2) > 0, "both hold"), ValueError,
         "condition: expected one truth value, got Tensor"),
        (lambda: c.claim("yes", "it holds"), ValueError, "condition: expected one truth value, got str"),
        (lambda: c.claim(True, ""), ValueError, "sentence: expected words, got ''"),
        (lambda: c.claim(True, None), ValueError, "sentence: expected words, got None"),
    ],
}
