"""Whatever leaves the program: results and notices on the terminal, confirmations, progress on terminal and on
Prefect's pages, exceptions in words, the webhook. Knows no other room of flows; every one may know it. Start at
console.py.
"""
