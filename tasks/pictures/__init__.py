"""What is in a picture file besides its pixels: what decides how it looks is read here and proved, the rest (texts,
resolutions, dates) is thrown away before a decoder can stumble over it. Knows files alone. Start at essentials.py.
"""
