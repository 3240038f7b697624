"""The embedded base model: a small closed world, and a latent diffusion model of it in Stable Diffusion's shape."""
