"""Reads PDF. pdfium gives words with their positions, from which lines, columns, tables and headings are derived."""
