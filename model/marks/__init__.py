"""What a picture says of itself: the mark in the PNG, and signed Content Credentials. May know reading. Start at
marking.py.
"""
