"""How the science runs on a machine: device and number formats, determinism, memory, signals put off, quiet
libraries, safe writes. Knows errors alone. Start at device.py.
"""
