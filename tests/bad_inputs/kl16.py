"Bad inputs of `kl16`, and the message each must give."
ROWS = {name: "internal: a part of VAE, which checks its images and latents" for name in (
    "ResBlock", "AttentionBlock", "Downsample", "Upsample", "Stage", "Middle", "KL16Encoder", "KL16Decoder")}
