"""DVC: its hash of a folder, its cache and remote read without its locks, its commands in processes of their own, and
the bundled samples that dvc.yaml makes. May know store (for S3). Start at storage.py.
"""
