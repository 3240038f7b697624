"""Methods side by side: which jobs a comparison or a tuning grid is, what is read of each evaluation, the table with
its intervals, its pictures, and its record in MLflow. May know registry, tracking, jobs, figures, concepts and
store. Start at choice.py, then table.py.
"""
