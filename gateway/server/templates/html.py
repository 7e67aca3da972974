"""Builds the gateway's HTML pages: plain HTML without scripts, images or other files."""

from html import escape

from litestar import Response

POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  color-scheme: light dark }}
table {{ border-collapse: collapse; margin: 1rem 0 }} th, td {{ padding: .2rem 1rem .2rem 0; text-align: right }}
th:first-child, td:first-child {{ text-align: left }} .said {{ font-weight: 600 }} .mind {{ color: #b60 }}
pre {{ overflow-x: auto; font-size: 13px; line-height: 1.35; border-left: 3px solid #8888; padding-left: .7rem }}
form {{ display: inline }} ins {{ color: #080 }} del {{ color: #b00 }} ins, del {{ text-decoration: none }}
</style>
<h1>{title}</h1>
{body}
</html>
"""


def page(title: str, body: str, status: int = 200) -> Response[str]:
    """Return a page. `title` is plain text, `body` is markup."""
    headers = {"content-security-policy": POLICY, "x-content-type-options": "nosniff", "cache-control": "no-store"}
    shown = PAGE.format(title=escape(title), body=body)
    return Response(shown, status_code=status, media_type="text/html", headers=headers)
