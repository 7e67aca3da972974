"""Reads PDF. pdfium gives words with positions; lines, columns, tables and headings are derived from these."""
