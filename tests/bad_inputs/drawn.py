"Bad inputs of `drawn`, and the message each must give."
import torch

from tokenbridge import drawn

LABELS, GENERATOR = torch.zeros(2, dtype=torch.int64), torch.Generator()


def rows(draw) -> list:
    "What all sets refuse."
    return [
        (lambda: draw(LABELS + 10, 32, GENERATOR), ValueError, "labels: expected integers in [0, 9], got 10"),
        (lambda: draw(LABELS.float(), 32, GENERATOR), ValueError, "labels: expected int values"),
        (lambda: draw(LABELS[None], 32, GENERATOR), ValueError, "labels: expected shape (N)"),
        (lambda: draw(LABELS, 4, GENERATOR), ValueError, "size: expected an integer of at least 8, got 4"),
    ]


ROWS = {
    "DRAWN_CLASSES": "internal: a constant, the ten names",
    "RICH_CLASSES": "internal: a constant, the ten names",
    "draw": rows(drawn.draw),
    "draw_plain": [*rows(drawn.draw_plain), (lambda: drawn.draw_plain(LABELS, 32, GENERATOR, 0), ValueError,
                                             "colours: expected an integer of at least 1, got 0")],
    "draw_rich": rows(drawn.draw_rich),
}
