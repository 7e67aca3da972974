"""PDF: pdfium gives words with their positions; lines, columns, tables and headings are derived from them."""
