"""The stage that scores candidates and writes the best k of every user.

It reads what the candidates' stage has written.
"""
