"""What a picture says of itself: the mark in the PNG, and signed Content Credentials. Knows errors alone. Start at
marking.py.
"""
