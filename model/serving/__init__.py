"""What a served model lets its clients ask, and how it learns that one of them has gone. Start at requests.py."""
