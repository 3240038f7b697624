"""An upgrade keeps what was trained: which concepts other code or libraries alone make stale, how two trainings of one
are compared, the record of what was proved, and which adoptions a model rests on. May know lineage, plan, production,
signing, jobs and store; the records themselves are read in jobs. Start at candidates.py.
"""
