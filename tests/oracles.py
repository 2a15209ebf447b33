"""Loops that are obviously right, written from the papers; they share no line with the library."""
