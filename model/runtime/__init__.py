"""How the science runs on a machine: device and number formats, determinism, memory, signals put off, quiet libraries,
files hashed and brought to the disk. Knows errors alone. Start at device.py.
"""
