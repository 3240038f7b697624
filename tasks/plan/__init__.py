"""What a night would do and why: the record of a concept's last training, what differs from it now in words, what
failed before and waits, what a killed night was at. May know registry, jobs, concepts and store; changes nothing but
its own records. Start at plan.py.
"""
