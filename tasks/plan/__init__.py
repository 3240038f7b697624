"""What a night would do and why: the record of a concept's last training, what differs from it now in words, what
failed before and waits, what a killed night was at, and what a night came to as a run in MLflow. Changes nothing but
its own records. May know registry, tracking, jobs, concepts, store and signing. Start at plan.py.
"""
