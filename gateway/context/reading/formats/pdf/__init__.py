"""Reads PDF files. pdfium returns words with their positions. Lines, columns, tables and headings are derived from
these positions.
"""
