#!/usr/bin/env python3
"""Writes documents of offices and clubs, and questions about them: office_documents.py FOLDER

Below FOLDER are then `files/` and `questions.jsonl`, in the form that `benchmarks/strangers_documents.py` reads. It needs
openpyxl, python-docx, python-pptx, odfpy and reportlab. Two runs write the same questions.
"""

import csv
import io
import json
import random
import sys
from email import policy
from email.message import EmailMessage
from pathlib import Path

import docx
import openpyxl
import pptx
from odf import table as odf_table
from odf import text as odf_text
from odf.opendocument import OpenDocumentSpreadsheet
from pptx.util import Inches
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table

QUESTIONS: list[dict[str, object]] = []
FILES = Path()
Rows = list[list[str]]


def ask(file: str, *asked: tuple[str, str, str]) -> None:
    """Each of `asked` is the question, the answer, and with "; " between them all strings of the right chunk."""
    for question, answer, together in asked:
        number = f"o{len(QUESTIONS) + 1:02}"
        strings = together.split("; ")
        QUESTIONS.append({"id": number, "question": question, "file": file, "answer": answer, "together": strings})


def put(name: str, text: str | bytes) -> Path:
    path = FILES / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def rows_of(text: str) -> Rows:
    return [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]


def workbook(name: str, sheets: dict[str, Rows]) -> None:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append([int(cell) if cell.isdigit() and not cell.startswith("0") else cell for cell in row])
    book.save(put(name, b""))


def word(name: str, parts: list[object]) -> None:
    """A text with "# " is a heading, one with "- " a list item, a list of rows a table."""
    document = docx.Document()
    for part in parts:
        if isinstance(part, list):
            grid = document.add_table(len(part), len(part[0]))
            for line, row in enumerate(part):
                for column, cell in enumerate(row):
                    grid.cell(line, column).text = cell
        elif str(part).startswith("# "):
            document.add_heading(str(part)[2:], 1)
        elif str(part).startswith("- "):
            document.add_paragraph(str(part)[2:], style="List Bullet")
        else:
            document.add_paragraph(str(part))
    document.save(str(put(name, b"")))


def slides(name: str, pages: list[tuple[str, object, str]]) -> None:
    """Each page has a title, a text or rows, and notes."""
    show = pptx.Presentation()
    for title, body, notes in pages:
        page = show.slides.add_slide(show.slide_layouts[1 if isinstance(body, str) else 5])
        page.shapes.title.text = title
        if isinstance(body, str):
            page.placeholders[1].text = body
        else:
            assert isinstance(body, list)
            shape = page.shapes.add_table(len(body), len(body[0]), Inches(1), Inches(2), Inches(8), Inches(3))
            for line, row in enumerate(body):
                for column, cell in enumerate(row):
                    shape.table.cell(line, column).text = cell
        if notes:
            page.notes_slide.notes_text_frame.text = notes
    show.save(str(put(name, b"")))


def pdf(name: str, parts: list[object]) -> None:
    styles = getSampleStyleSheet()
    flow: list[object] = []
    for part in parts:
        if isinstance(part, list):
            flow += [Table(part, style=[("GRID", (0, 0), (-1, -1), 0.5, colors.black)], repeatRows=1), Spacer(1, 12)]
        else:
            style = styles["Heading1" if str(part).startswith("# ") else "BodyText"]
            flow += [Paragraph(str(part).removeprefix("# "), style), Spacer(1, 6)]
    SimpleDocTemplate(str(put(name, b"")), pagesize=A4, invariant=1).build(flow)


def ods(name: str, title: str, rows: Rows) -> None:
    book = OpenDocumentSpreadsheet()
    sheet = odf_table.Table(name=title)
    for row in rows:
        line = odf_table.TableRow()
        for cell in row:
            made = odf_table.TableCell(valuetype="string")
            made.addElement(odf_text.P(text=cell))
            line.addElement(made)
        sheet.addElement(line)
    book.spreadsheet.addElement(sheet)
    book.save(str(put(name, b"")))


def mail(sender: str, to: str, subject: str, date: str, body: str, page: str = "") -> EmailMessage:
    message = EmailMessage(policy.SMTP)
    message["From"], message["To"], message["Subject"], message["Date"] = sender, to, subject, date
    message["Message-ID"] = f"<{abs(sum(map(ord, subject)))}@example.org>"
    message.set_content(body)
    if page:
        message.add_alternative(page, "html")
        message.set_boundary("=====boundary=====")
    return message


def sheets() -> None:
    models = ["Transit", "Sprinter", "Kangoo", "Berlingo", "Crafter", "Vivaro"]
    depots = ["Mallow", "Tralee", "Ennis", "Bantry"]
    draw = random.Random(7)
    vehicles, cards = [], []
    for number in range(200, 226):
        plate = f"KL-{number}"
        inspection = f"2026-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"
        vehicles.append([plate, draw.choice(models), draw.choice(depots), str(draw.randint(8000, 240000)), inspection])
        cards.append([str(draw.randint(700000, 799999)), plate, str(draw.choice([350, 400, 450, 600, 750]))])
    titles = ["Plate", "Model", "Depot", "Odometer km", "Next inspection"]
    limits = ["Card number", "Plate", "Monthly cap EUR"]
    workbook("fleet/vehicles.xlsx", {"Vehicles": [titles, *vehicles], "Fuel cards": [limits, *cards]})
    van, card = vehicles[4], cards[11]
    ask(
        "fleet/vehicles.xlsx",
        ("When is the van with the plate KL-204 due for its technical check?", van[4], f"KL-204; {van[4]}; Next inspection"),
        ("How many kilometres are on the clock of KL-217?", vehicles[17][3], f"KL-217; {vehicles[17][3]}; Odometer km"),
        ("how much petrol may be bought per month with the card for KL-211", card[2], f"KL-211; {card[2]}; Monthly cap EUR"),
    )
    budget = rows_of(
        """Item | Q1 | Q2 | Q3 | Q4
        Trade fairs | 4200 | 11800 | 26500 | 3900
        Print advertising | 6100 | 5900 | 5750 | 6400
        Search engine advertising | 18200 | 19400 | 17100 | 24800
        Photography | 1500 | 0 | 2300 | 900
        Sponsorships | 8000 | 8000 | 9500 | 9500"""
    )
    people = rows_of(
        """Item | Q1 | Q2 | Q3 | Q4
        Recruiting agencies | 15300 | 7700 | 21900 | 4100
        Language courses | 2650 | 2650 | 1800 | 3100
        Company bikes | 990 | 4470 | 3820 | 310
        Health checks | 0 | 6200 | 0 | 6350"""
    )
    workbook("finance/budget-2026.xlsx", {"Marketing": budget, "Human resources": people})
    ask(
        "finance/budget-2026.xlsx",
        ("What did marketing set aside for trade fairs in the third quarter?", "26500", "Trade fairs; 26500; Q3"),
        ("How much goes to headhunters from January to March?", "15300", "Recruiting agencies; 15300; Q1"),
        ("What will medical examinations of the staff cost at the end of the year?", "6350", "Health checks; 6350; Q4"),
    )
    singers = rows_of(
        """Name | Voice | Since | Key to rehearsal room | Phone
        Imelda Brandt | alto | 2011 | no | 0171 5550 113
        Tobias Quandt | bass | 2019 | yes | 0171 5550 148
        Ruth Okonjo | soprano | 2004 | no | 0171 5550 102
        Leif Sandberg | tenor | 2022 | no | 0171 5550 161
        Mirela Popa | alto | 2016 | yes | 0171 5550 127
        Hugh Farrow | bass | 1998 | no | 0171 5550 109"""
    )
    ods("choir/members.ods", "Members", singers)
    ask(
        "choir/members.ods",
        ("Since when has Ruth Okonjo been singing with us?", "2004", "Ruth Okonjo; 2004; Since"),
        ("What number do I dial to reach our only tenor?", "0171 5550 161", "Leif Sandberg; 0171 5550 161; Phone"),
    )


def separated() -> None:
    draw = random.Random(11)
    customers = ["Harbour Cafe", "Nolan & Sons", "Westfield School", "Ardmore Hotel", "Cliff Bakery", "St Brigid Clinic"]
    goods = ["oak table", "bar stool", "bench", "shelf unit", "writing desk", "coat rack"]
    out = io.StringIO()
    lines = [["Order", "Customer", "Product", "Units", "Unit price", "Ship date"]]
    for number in range(5101, 5141):
        units, price = str(draw.randint(1, 60)), f"{draw.randint(20, 480)}.00"
        day = f"2026-03-{draw.randint(1, 31):02}"
        lines.append([str(number), draw.choice(customers), draw.choice(goods), units, price, day])
    csv.writer(out).writerows(lines)
    put("sales/orders-march.csv", out.getvalue())
    first, second = lines[14], lines[33]
    ask(
        "sales/orders-march.csv",
        (f"On which day did order {first[0]} leave the warehouse?", first[5], f"{first[0]}; {first[5]}; Ship date"),
        (f"How many pieces does order {second[0]} comprise?", second[3], f"{second[0]}; {second[2]}; {second[3]}; Units"),
    )
    reagents = """Reagent;CAS;Cabinet;Hazard;Use before
Acetonitrile;75-05-8;F2;flammable;2027-04
Bromophenol blue;115-39-9;D1;none;2029-11
Hydrochloric acid 37%;7647-01-0;A3;corrosive;2028-02
Paraformaldehyde;30525-89-4;B1;carcinogenic;2026-09
Sodium azide;26628-22-8;B4;toxic;2027-12
Tetrahydrofuran;109-99-9;F1;flammable, peroxides;2026-06
Trichloroacetic acid;76-03-9;A1;corrosive;2028-08
"""
    put("lab/reagents.csv", reagents)
    ask(
        "lab/reagents.csv",
        ("Where do we keep the sodium azide?", "B4", "Sodium azide; B4; Cabinet"),
        ("Until when can the THF be used?", "2026-06", "Tetrahydrofuran; 2026-06; Use before"),
        ("Which chemical may cause cancer?", "Paraformaldehyde", "Paraformaldehyde; carcinogenic; Hazard"),
    )
    runners = "Place\tBib\tName\tClub\tCategory\tTime\n"
    names = ["Ana Ruiz", "Ben Achebe", "Cora Lind", "Dai Pugh", "Elsa Moen", "Finn Daly", "Gita Rao", "Hal Voss", "Ines Melo"]
    clubs = ["Riverside AC", "Hill Harriers", "unattached"]
    for place, name in enumerate(names, 1):
        club = clubs[place % 3]
        runners += f"{place}\t{draw.randint(100, 999)}\t{name}\t{club}\t{'W' if place % 2 else 'M'}{20 + 5 * (place % 5)}"
        runners += f"\t0:{33 + place}:{draw.randint(10, 59)}\n"
    put("sport/harbour-10k.tsv", runners)
    dai = next(line.split("\t") for line in runners.splitlines() if "Dai Pugh" in line)
    cora = next(line.split("\t") for line in runners.splitlines() if "Cora Lind" in line)
    ask(
        "sport/harbour-10k.tsv",
        ("What was Dai Pugh's finishing time?", dai[5], f"Dai Pugh; {dai[5]}; Time"),
        ("Which start number did Cora Lind wear?", cora[1], f"Cora Lind; {cora[1]}; Bib"),
    )


def texts() -> None:
    abroad = rows_of(
        """Country | Days a year | Notice | Approved by
        Portugal | 30 | 2 weeks | team lead
        Switzerland | 10 | 6 weeks | legal department
        Brazil | 0 | - | not possible
        Estonia | 45 | 1 week | team lead
        Canada | 20 | 8 weeks | board"""
    )
    word(
        "hr/working-from-elsewhere.docx",
        [
            "# Working from home",
            "Everybody may work from home on up to three days of a week. Tuesdays are reserved for the office.",
            "The company pays 540 euros once for a desk, a chair and a lamp; receipts go to the service desk.",
            "# Working from abroad",
            "The number of days depends on the country. Social insurance has to be told beforehand.",
            abroad,
            "# Not allowed",
            "- customer records on private computers",
            "- calls with patients in trains or cafes",
            "- printing payslips in copy shops",
        ],
    )
    ask(
        "hr/working-from-elsewhere.docx",
        ("How long can I work from Lisbon, Portugal each year?", "30", "Portugal; 30; Days a year"),
        ("Who has to agree if somebody wants to work in Zurich, Switzerland?", "legal", "Switzerland; legal department; Approved by"),
        ("How far ahead must I ask before working from Toronto?", "8 weeks", "Canada; 8 weeks; Notice"),
        ("What money do I get to furnish my home office?", "540 euros", "540 euros; desk"),
        ("May I talk to patients on the phone while on a train?", "no", "Not allowed; calls with patients in trains or cafes"),
    )
    lease = rows_of(
        """Item | Amount EUR | Due
        Monthly rent | 2,350 | 1st of the month
        Security deposit | 7,050 | before the keys are handed over
        Service charge | 410 | 1st of the month
        Parking space 22 | 95 | quarterly in advance
        Late payment | 40 | per reminder"""
    )
    word(
        "legal/lease-unit-14.docx",
        [
            "# Premises",
            "Unit 14 on the second floor of Mill House, 186 square metres, with a kitchenette and two parking spaces.",
            "# Payments",
            lease,
            "# End of the lease",
            "Either side may end the lease with nine months' written notice to the end of a calendar year.",
            "The tenant removes partition walls and paints the rooms white, unless the next tenant takes them over.",
        ],
    )
    ask(
        "legal/lease-unit-14.docx",
        ("What guarantee sum must the tenant of Mill House pay up front?", "7,050", "Security deposit; 7,050; Amount EUR"),
        ("How early must the office tenancy be cancelled?", "nine months", "nine months' written notice"),
        ("What does each reminder of an overdue rent cost?", "40", "Late payment; 40; Amount EUR"),
    )


def shows() -> None:
    regions = rows_of(
        """Region | Revenue 2025 | Growth | Churn
        Nordics | 14.2 m | 8% | 3.1%
        Iberia | 9.7 m | 22% | 5.4%
        Benelux | 11.9 m | -2% | 4.0%
        Alps | 6.3 m | 13% | 2.2%"""
    )
    risks = rows_of(
        """Risk | Owner | Likelihood | Countermeasure
        Supplier of cells goes bankrupt | Noor Haddad | medium | second source in Poland
        Patent dispute about the hinge | Ivo Marek | low | licence offer until June
        Warehouse in Ghent floods | Sil Peeters | high | move stock to Aalst"""
    )
    slides(
        "board/strategy-review.pptx",
        [
            ("Where we stand", "Revenue grew in three of four regions\nThe app has 310,000 users", "Start with the film."),
            ("Regions", regions, "The fall in Benelux comes from the loss of the contract with the railways."),
            ("Risks", risks, ""),
            ("Decisions for today", "Open a shop in Porto\nStop the printed catalogue\nHire 12 technicians", "Vote by hand."),
        ],
    )
    ask(
        "board/strategy-review.pptx",
        ("How fast is business growing in Spain and Portugal, i.e. Iberia?", "22%", "Iberia; 22%; Growth"),
        ("What share of customers leaves us in the Alps?", "2.2%", "Alps; 2.2%; Churn"),
        ("Who looks after the danger of high water in the storage building?", "Sil Peeters", "Ghent floods; Sil Peeters; Owner"),
        ("Why did sales go down in Benelux?", "railways", "Benelux; loss of the contract with the railways"),
    )
    first_week = rows_of(
        """Day | Topic | Room | Trainer
        Monday | Safety and fire drill | K-12 | Olga Weiss
        Tuesday | Till and returns | K-09 | Pat Molloy
        Wednesday | Forklift licence | Yard | Jens Krol
        Thursday | Product knowledge: paint | K-12 | Asha Nair
        Friday | Questions and test | K-01 | Olga Weiss"""
    )
    slides(
        "training/first-week.pptx",
        [
            ("Welcome", "Your badge opens doors from 6:30 to 19:00\nLunch is free in the first week", ""),
            ("Timetable of the first week", first_week, "The test has 20 questions; 14 right answers are enough."),
            ("Clothing", "Safety shoes of class S3\nNo rings at the forklift", "Shoes are paid up to 85 euros."),
        ],
    )
    ask(
        "training/first-week.pptx",
        ("Which room is the cash register course in?", "K-09", "Till and returns; K-09; Room"),
        ("Who teaches new staff to drive the lift truck?", "Jens Krol", "Forklift licence; Jens Krol; Trainer"),
        ("How many correct answers are needed to pass the exam on Friday?", "14", "14 right answers"),
    )


def pages() -> None:
    cover = rows_of(
        """Benefit | Bronze | Silver | Gold
        Lost luggage | 400 | 900 | 2,000
        Delayed departure over 6 hours | none | 120 | 250
        Medical treatment | 50,000 | 250,000 | unlimited
        Rescue by helicopter | none | 5,000 | 15,000
        Cancellation of the trip | 500 | 1,500 | 4,000
        Legal aid | none | none | 10,000"""
    )
    pdf(
        "insurance/travel-cover.pdf",
        [
            "# What is covered",
            "All sums are in euros for each person and trip. The excess is 75 euros for each claim.",
            cover,
            "# How to claim",
            "Report a loss within 14 days. Keep the boarding pass and the airline's confirmation.",
        ],
    )
    ask(
        "insurance/travel-cover.pdf",
        ("What do I get on the silver plan if my suitcase disappears?", "900", "Lost luggage; 900; Silver"),
        ("Does gold pay for a lawyer, and up to what sum?", "10,000", "Legal aid; 10,000; Gold"),
        ("How many days do I have to notify the insurer of a loss?", "14 days", "within 14 days"),
    )
    faults = rows_of(
        """Code | Meaning | What to do
        E01 | No flame after three attempts | Check the gas tap, press Reset
        E04 | Water pressure below 0.8 bar | Fill up to 1.5 bar
        E07 | Flue fan turns too slowly | Call the service
        E11 | Sensor of the outflow broken | Replace part 7743
        E15 | Pump blocked | Turn the shaft with a screwdriver
        E19 | Frozen condensate pipe | Thaw with warm water"""
    )
    pdf(
        "manuals/boiler-hx40.pdf",
        [
            "# Faults of the boiler HX-40",
            "The display shows a code. After repairs, press Reset for three seconds.",
            faults,
            "# Maintenance",
            "Have the burner cleaned every 24 months or after 3,500 hours of operation, whichever comes first.",
            "The filter of the heating circuit is rinsed once a year.",
        ],
    )
    ask(
        "manuals/boiler-hx40.pdf",
        ("My heater shows E19, what is wrong?", "Frozen condensate pipe", "E19; Frozen condensate pipe; Meaning"),
        ("What should I do when the heating has too little water pressure?", "1.5 bar", "Water pressure below 0.8 bar; Fill up to 1.5 bar; What to do"),
        ("Which spare part repairs fault E11?", "7743", "E11; Replace part 7743"),
        ("How often does the burner of the HX-40 need cleaning?", "24 months", "burner cleaned every 24 months"),
    )


def mails() -> None:
    venue = mail(
        "Carla Duarte <carla@example.org>",
        "committee@example.org",
        "Summer party: new venue",
        "Tue, 12 May 2026 10:04:00 +0200",
        "Hello all,\n\nthe boathouse has cancelled because of the rats. We now have the Old Brewery, from 17:00, for 480 euros "
        "including glasses. Music must stop at 23:30. Parking is only behind the church.\n\nCan somebody bring a second grill?\n\nCarla\n",
    )
    put("mail/summer-party.eml", venue.as_bytes())
    table = (
        "<p>Dear Mrs Holm, our offer for the roof:</p><table><tr><th>Work</th><th>Price net</th><th>Days</th></tr>"
        "<tr><td>Scaffolding</td><td>1,180</td><td>1</td></tr><tr><td>Removing old tiles</td><td>2,460</td><td>2</td></tr>"
        "<tr><td>Insulation 18 cm</td><td>5,320</td><td>3</td></tr><tr><td>Clay tiles</td><td>8,940</td><td>4</td></tr>"
        "<tr><td>Gutters of zinc</td><td>1,730</td><td>1</td></tr></table><p>The offer holds until 30 June.</p>"
    )
    roof = mail("Roofs Ltd <office@example.com>", "holm@example.org", "Offer for your roof", "Mon, 4 May 2026 08:30:00 +0200", "See the HTML part.", table)
    put("mail/roof-offer.eml", roof.as_bytes())
    letters = [
        mail("Bo Lund <bo@example.org>", "house@example.org", "Bicycles in the hallway", "Wed, 1 Apr 2026 19:00:00 +0200",
             "Please move your bicycles by Sunday. The cleaner comes on Monday at 8. What is left goes to the cellar."),
        mail("Tea Vidal <tea@example.org>", "house@example.org", "Water off on Thursday", "Tue, 7 Apr 2026 18:20:00 +0200",
             "The plumber replaces the valve in the cellar. No water from 9:15 to 13:00. Fill a bucket for the toilet."),
        mail("Bo Lund <bo@example.org>", "house@example.org", "Code of the front door", "Fri, 10 Apr 2026 07:45:00 +0200",
             "From May the code of the door is 4471#. The old one works until the end of April."),
    ]  # fmt: skip
    box = b"".join(b"From x@example.org Wed Apr  1 19:00:00 2026\n" + one.as_bytes(policy=policy.default) + b"\n" for one in letters)
    put("mail/neighbours.mbox", box)
    ask("mail/summer-party.eml", ("How late can the band play at our summer party?", "23:30", "Music must stop at 23:30"))
    ask("mail/summer-party.eml", ("Where can guests of the party leave their cars?", "behind the church", "Old Brewery; behind the church"))
    ask("mail/roof-offer.eml", ("What do the roofers charge for thermal insulation?", "5,320", "Insulation 18 cm; 5,320; Price net"))
    ask("mail/roof-offer.eml", ("How many days does putting up the scaffold take?", "1", "Scaffolding; 1,180; Days"))
    ask("mail/neighbours.mbox", ("When will the taps be dry on Thursday?", "9:15 to 13:00", "No water from 9:15 to 13:00"))
    ask("mail/neighbours.mbox", ("how do I get into the building from May on", "4471#", "4471#"))


def programs() -> None:
    put(
        "code/tariff.py",
        '"""Prices of parking."""\n\nFREE_MINUTES = 15\nDAY_MAXIMUM_CENTS = 1800\n\n\ndef fee_cents(minutes: int, resident: bool = False) -> int:\n'
        '    """Each started half hour costs 90 cents, for residents 35. Lost tickets: see `lost_ticket`."""\n    if minutes <= FREE_MINUTES:\n'
        "        return 0\n    started = -(-minutes // 30)\n    return min(DAY_MAXIMUM_CENTS, started * (35 if resident else 90))\n\n\n"
        'def lost_ticket(days: int) -> int:\n    """A driver without a ticket pays the day\'s maximum, and 500 cents for the paperwork."""\n'
        "    return days * DAY_MAXIMUM_CENTS + 500\n\n\nclass Barrier:\n"
        '    """The barrier at the exit."""\n\n    def open_for(self, plate: str) -> bool:\n        """Stays up for 12 seconds, or until the loop in the ground is free."""\n'
        "        return plate not in self.blocked\n",
    )
    put(
        "code/upload.js",
        "// Uploads pictures in pieces.\nexport const PIECE_BYTES = 262144;\n\nexport async function uploadPiece(file, at) {\n"
        "  // a piece is tried five times, and the pause doubles from 400 ms\n  for (let attempt = 0; attempt < 5; attempt++) {\n"
        "    const done = await send(file.slice(at, at + PIECE_BYTES));\n    if (done) return true;\n    await sleep(400 * 2 ** attempt);\n  }\n  return false;\n}\n\n"
        "export function thumbnail(image) {\n  // the longer side becomes 320 pixels\n  const scale = 320 / Math.max(image.width, image.height);\n  return draw(image, scale);\n}\n",
    )
    put(
        "code/cache.go",
        "package cache\n\n// Entries older than this are dropped.\nconst maxAge = 45 * time.Minute\n\n// Get returns the value and counts the hit.\n"
        "func (c *Cache) Get(key string) (string, bool) {\n\tv, ok := c.items[key]\n\treturn v, ok\n}\n\n// evict removes the least used tenth when 20000 items are held.\n"
        "func (c *Cache) evict() {\n\tif len(c.items) < 20000 {\n\t\treturn\n\t}\n\tc.dropLeastUsed(len(c.items) / 10)\n}\n",
    )
    cells = [
        ("markdown", "# Why members leave the gym\nData of 2024 and 2025, 8,214 contracts."),
        ("code", "members = load('contracts.parquet')\nmembers['months'] = members.left - members.joined"),
        ("markdown", "## Result\nWhoever came fewer than three times in the second month left 2.7 times as often. The price hardly matters."),
        ("code", "model = GradientBoosting(trees=240, depth=4, rate=0.06)\nmodel.fit(train, left)"),
        ("markdown", "## Next\nCall these members in week six. Test with half of them until September."),
    ]
    made = [{"cell_type": kind, "metadata": {}, "source": text, **({"outputs": [], "execution_count": None} if kind == "code" else {})} for kind, text in cells]
    put("notebooks/members-leaving.ipynb", json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    ask(
        "code/tariff.py",
        ("What does a motorist who lost the ticket have to pay besides the daily maximum?", "500 cents", "lost_ticket; 500 cents"),
        ("How long does the exit gate remain raised?", "12 seconds", "open_for; 12 seconds"),
    )
    ask("code/upload.js", ("How often does the uploader retry a failed chunk of a photo?", "five times", "uploadPiece; five times"))
    ask("code/upload.js", ("To what size are preview pictures scaled down?", "320", "thumbnail; 320 pixels"))
    ask("code/cache.go", ("When does the Go cache throw out rarely used entries?", "20000", "evict; 20000"))
    ask("notebooks/members-leaving.ipynb", ("How many trees does the model of departing gym members have?", "240", "trees=240"))
    ask("notebooks/members-leaving.ipynb", ("What distinguishes people who quit the fitness studio?", "fewer than three", "fewer than three times in the second month; 2.7"))


def records() -> None:
    hours = (
        "<html><head><title>Town library</title></head><body><nav><a href='/'>Home</a><a href='/jobs'>Jobs</a></nav><main><h1>Town library</h1>"
        "<h2>Opening hours</h2><table><tr><th>Branch</th><th>Weekdays</th><th>Saturday</th><th>Reading room</th></tr>"
        "<tr><td>Centre</td><td>9-20</td><td>10-16</td><td>until 22</td></tr><tr><td>Harbour</td><td>11-18</td><td>closed</td><td>none</td></tr>"
        "<tr><td>University Road</td><td>8-23</td><td>9-21</td><td>all night</td></tr></table><h2>Fees</h2><ul><li>card for adults: 18 euros a year</li>"
        "<li>reminder: 1.50 euros for each item</li><li>books from other libraries: 3 euros</li></ul></main><footer>Imprint</footer></body></html>"
    )
    put("web/library.html", hours)
    put(
        "wiki/on-call.md",
        "# On call\n\n## Rota\n\n| Week | First | Second | Handover |\n|---|---|---|---|\n| 23 | Yusuf | Greta | Mon 10:00 |\n| 24 | Greta | Pavel | Mon 10:00 |\n"
        "| 25 | Pavel | Yusuf | Tue 10:00 (holiday) |\n\n## When the database is full\n\n1. Stop the nightly export: `systemctl stop export`.\n2. Delete partitions older than 90 days.\n"
        "3. Tell the finance team, whose report will be late.\n\n## Pay\n\nA night on call is paid with 65 euros, and each alarm after 22:00 with 30 more.\n",
    )
    stations = [
        {"station": "Altona Pier", "line": "F62", "lift": "out of order until 3 August", "bikes": 24},
        {"station": "Grove Park", "line": "F62", "lift": "none", "bikes": 0},
        {"station": "Kingsmead", "line": "F64", "lift": "works", "bikes": 41},
        {"station": "Ferry Lane", "line": "F68", "lift": "works", "bikes": 12},
    ]
    put("data/stations.json", json.dumps(stations, indent=1))
    tickets = [
        {"ticket": 8801, "customer": "Nolan & Sons", "problem": "printer prints pink pages", "solution": "cleaned the magenta drum"},
        {"ticket": 8802, "customer": "Cliff Bakery", "problem": "till freezes when a voucher is scanned", "solution": "firmware 3.19"},
        {"ticket": 8803, "customer": "Ardmore Hotel", "problem": "guests are thrown off the wireless network at night", "solution": "channel 11 in place of 6"},
        {"ticket": 8804, "customer": "St Brigid Clinic", "problem": "labels too small", "solution": "template 40 x 60 mm"},
    ]
    put("data/tickets.jsonl", "".join(json.dumps(one) + "\n" for one in tickets))
    dishes = [("Fish pie", "11.80", "fish, milk"), ("Lentil curry", "9.40", "mustard"), ("Walnut cake", "4.60", "nuts, egg, wheat"), ("Beef stew", "13.20", "celery")]
    menu = "".join(f"<dish><name>{name}</name><price>{price}</price><allergens>{what}</allergens></dish>" for name, price, what in dishes)
    put("data/menu.xml", f"<?xml version='1.0' encoding='utf-8'?><menu>{menu}</menu>")
    ask(
        "web/library.html",
        ("Is the harbour branch of the library open at the weekend?", "closed", "Harbour; closed; Saturday"),
        ("What must I pay for an interlibrary loan?", "3 euros", "books from other libraries: 3 euros"),
    )
    ask(
        "wiki/on-call.md",
        ("Who is second on duty in week 24?", "Pavel", "24; Greta; Pavel; Second"),
        ("What is one night of standby worth?", "65 euros", "65 euros"),
        ("Our disk is full of database data, how old must partitions be to be removed?", "90 days", "older than 90 days"),
    )
    ask("data/stations.json", ("Can wheelchair users get up to the platform at Altona Pier?", "no", "Altona Pier; out of order until 3 August; lift"))
    ask("data/tickets.jsonl", ("How was the wifi trouble of the hotel fixed?", "channel 11", "Ardmore Hotel; channel 11 in place of 6; solution"))
    ask("data/menu.xml", ("Which dessert can't I eat with a nut allergy?", "Walnut cake", "Walnut cake; nuts, egg, wheat"))


def languages() -> None:
    costs = rows_of(
        """Land | Tagegeld EUR | Übernachtung EUR | Kilometergeld
        Dänemark | 75 | 183 | 0,30
        Frankreich | 53 | 105 | 0,30
        Japan | 50 | 285 | entfällt
        Polen | 34 | 124 | 0,30"""
    )
    word("de/reisekosten.docx", ["# Pauschalen für Auslandsreisen", "Die Beträge gelten für jeden vollen Tag.", costs, "# Belege", "Rechnungen sind binnen sechs Wochen einzureichen. Trinkgeld wird nicht erstattet."])
    put("de/gartenverein.md", "# Gartenordnung\n\n## Ruhezeiten\n\nVon 13 bis 15 Uhr und ab 20 Uhr darf nicht gemäht werden.\n\n## Hecken\n\nHecken werden bis 28. Februar geschnitten und sind höchstens 1,25 m hoch.\n\n## Wasser\n\nDas Wasser wird am 30. Oktober abgestellt. Der Zähler wird zuvor abgelesen.\n")
    ask("de/reisekosten.docx", ("Wie viel zahlt die Firma für eine Hotelnacht in Japan?", "285", "Japan; 285; Übernachtung EUR"))
    ask("de/reisekosten.docx", ("Bis wann muss ich Quittungen abgeben?", "sechs Wochen", "binnen sechs Wochen"))
    ask("de/gartenverein.md", ("Wie hoch darf meine Hecke sein?", "1,25 m", "höchstens 1,25 m"))
    ask("de/gartenverein.md", ("Wann darf ich mittags keinen Rasen mähen?", "13 bis 15", "Von 13 bis 15 Uhr"))
    put(
        "es/piscina.html",
        "<html><body><main><h1>Piscina municipal</h1><table><tr><th>Entrada</th><th>Laborables</th><th>Festivos</th></tr><tr><td>Adultos</td><td>4,20</td><td>5,60</td></tr>"
        "<tr><td>Menores de 14 años</td><td>2,10</td><td>2,80</td></tr><tr><td>Jubilados</td><td>1,50</td><td>1,90</td></tr></table><p>El gorro de baño es obligatorio. Se cierra el 7 de septiembre.</p></main></body></html>",
    )
    ask("es/piscina.html", ("¿Cuánto cuesta la entrada para un niño en domingo?", "2,80", "Menores de 14 años; 2,80; Festivos"))
    ask("es/piscina.html", ("¿Qué día termina la temporada de la piscina?", "7 de septiembre", "7 de septiembre"))
    put("fr/recette.md", "# Tarte aux poireaux\n\n## Ingrédients\n\n- 4 poireaux\n- 25 cl de crème\n- 120 g de comté\n\n## Cuisson\n\nAu four à 190 °C pendant 35 minutes, puis laisser reposer dix minutes.\n")
    ask("fr/recette.md", ("Combien de temps faut-il cuire la tarte ?", "35 minutes", "190 °C; 35 minutes"))
    put("zh/宿舍规定.md", "# 宿舍管理规定\n\n## 作息\n\n每晚十一点熄灯,周末延长到十二点。\n\n## 电器\n\n禁止使用电热水壶和电炉。违者罚款二百元。\n\n## 来访\n\n访客须在门卫处登记,晚上九点以前离开。\n")
    ask("zh/宿舍规定.md", ("星期天几点关灯?", "十二点", "周末延长到十二点"))
    ask("zh/宿舍规定.md", ("用电炉会怎么样?", "罚款二百元", "电炉; 罚款二百元"))
    ask("zh/宿舍规定.md", ("客人最晚什么时候必须走?", "九点", "访客; 晚上九点以前离开"))


def main() -> None:
    global FILES
    folder = Path(sys.argv[1])
    FILES = folder / "files"
    for write in (sheets, separated, texts, shows, pages, mails, programs, records, languages):
        write()
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in QUESTIONS)
    (folder / "questions.jsonl").write_text(lines, "utf-8")
    count = sum(path.is_file() for path in FILES.rglob("*"))
    sys.stdout.write(f"{count} files, {len(QUESTIONS)} questions\n")


if __name__ == "__main__":
    main()
