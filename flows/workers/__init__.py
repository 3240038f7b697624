"""Sites with workers: prefect.yaml checked and deployed, and a worker for a GPU; the commands `deploy` and `worker`.
May know server and output. Start at deploy.py.
"""
