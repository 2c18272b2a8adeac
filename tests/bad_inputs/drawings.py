"Bad inputs of `drawings`, and the message each must give."
from tokenbridge import drawings

ROWS = {
    "in_words": [(lambda: drawings.in_words(print), ValueError, "draw: expected one of draw_way, draw_grid"),
                 (lambda: drawings.in_words("way"), ValueError, "got str")],
    **{name: [(lambda draw=getattr(drawings, name): draw("axes"), ValueError,
               "ax: expected matplotlib axes, got str")]
       for name in ("draw_way", "draw_grid", "draw_levels", "draw_masked", "draw_causal", "draw_head",
                    "draw_generation", "draw_training")},
}
