"""An application that knows nothing of Foreword: it sorts the tickets of a bank with the stock client.

    python examples/ticket_app/app.py "My card was stolen on the train."

Only the base URL names the gateway.
"""

import os
import sys

from openai import OpenAI

MODEL = os.environ.get("MODEL", "smollm2-135m-instruct")
BASE_URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")
LABELS = ("card", "transfer", "loan", "fees", "login")
SYSTEM = f"""You sort the tickets of Fable Bank.
Each ticket has one label: {", ".join(LABELS)}.
Answer with the label alone, in lower case, and with nothing else."""


def label_of(client: OpenAI, ticket: str, user: str = "") -> tuple[str, str]:
    """Return the label that the model gives, and the id of the exchange for feedback."""
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL,
        messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": ticket}],
        temperature=0,
        max_tokens=12,
        user=user,
    )
    answer = raw.parse().choices[0].message.content or ""
    return answer.strip(), raw.headers["x-foreword-id"]


def main() -> None:
    client = OpenAI(base_url=BASE_URL, api_key=os.environ.get("OPENAI_API_KEY", "none"))
    for ticket in sys.argv[1:]:
        sys.stdout.write(f"{label_of(client, ticket)[0]}: {ticket}\n")


if __name__ == "__main__":
    main()
