"""PDF: words with their places from pdfium, and from these lines, columns, tables and headings."""
