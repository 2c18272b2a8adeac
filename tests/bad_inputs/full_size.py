"Bad inputs of `full_size`, and the message each must give."
from dataclasses import replace

from tokenbridge import full_size as f
from tokenbridge.head import HeadConfig
from tokenbridge.model import ARConfig, preset

L = preset("imagenet-l").ar
CAUSAL = ARConfig(replace(L.backbone, kind="causal"), L.head)
PARALLEL = ARConfig(L.backbone, HeadConfig(dims=16, num_levels=64, context_width=1024, kind="parallel"))
KINDS = "config: expected a masked backbone with a head over dimensions, got "

ROWS = {
    "parameter_parts": [
        (lambda: f.parameter_parts(CAUSAL), ValueError, KINDS + "('causal', 'dimensions')"),
        (lambda: f.parameter_parts(ARConfig(L.backbone)), ValueError, KINDS + "('masked', None)"),
    ],
    "work_parts": [
        (lambda: f.work_parts(PARALLEL), ValueError, KINDS + "('masked', 'parallel')"),
        (lambda: f.work_parts(L, 257), ValueError, "hidden: expected a number"),
    ],
    "training_hours": [
        (lambda: f.training_hours(-1, 1.0, 1.0), ValueError, "images: expected a number"),
        (lambda: f.training_hours(1, 1.0, 0.0), ValueError, "peak: expected a number"),
        (lambda: f.training_hours(1, 1.0, 1.0, gpus=0), ValueError, "gpus: expected an integer"),
        (lambda: f.training_hours(1, 1.0, 1.0, utilisation=35), ValueError, "utilisation: expected a number"),
    ],
    "state_parts": [
        (lambda: f.state_parts(-1), ValueError, "parameters: expected an integer of at least 0, got -1"),
    ],
    "activation_parts": [
        (lambda: f.activation_parts(PARALLEL), ValueError, KINDS + "('masked', 'parallel')"),
        (lambda: f.activation_parts(L, -1), ValueError, "hidden: expected a number"),
        (lambda: f.activation_parts(L, recompute="most"), ValueError,
         "recompute: expected one of 'none', 'head', 'all', got 'most'"),
    ],
    "cache_bytes": [
        (lambda: f.cache_bytes(0, 256, 16), ValueError, "images: expected an integer of at least 1, got 0"),
        (lambda: f.cache_bytes(1, 256, 16, mirror=2), ValueError, "mirror: expected one of True, False"),
    ],
}
