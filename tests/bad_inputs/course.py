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
    "function_text": [
        (lambda: c.function_text(3), ValueError, "function: expected a function, got int"),
        (lambda: c.function_text(eval("lambda: 0")), ValueError, "function: its text cannot be found"),
    ],
    "is_starter": "no bad input: text that is not Python is no starter",
    "judge_functions": [(lambda: c.judge_functions({"03x": "def f(): ..."}), ValueError, UNKNOWN + "'03x'")],
    "attempt": [
        (lambda: c.attempt("03x", print), ValueError, UNKNOWN + "'03x'"),
        (lambda: c.attempt("03h", print), ValueError,
         "exercise: expected one that asks for a function, got '03h'"),
    ],
    "check": "never raises: it prints what is wrong, so that a lesson goes on",
    "claim": [
        (lambda: c.claim(torch.ones(2) > 0, "both hold"), ValueError,
         "condition: expected one truth value, got Tensor"),
        (lambda: c.claim("yes", "it holds"), ValueError, "condition: expected one truth value, got str"),
        (lambda: c.claim(True, ""), ValueError, "sentence: expected words, got ''"),
        (lambda: c.claim(True, None), ValueError, "sentence: expected words, got None"),
    ],
}
