#!/usr/bin/env python3
"""Generate the corpus of everyday documents: make_corpus.py OUT [CHECKS_DIR]

All files go below OUT. With CHECKS_DIR, features.jsonl and questions.jsonl
are written there. Dates and seeds are fixed: two runs give the same bytes.
"""
import base64, gzip, io, json, os, random, re, sys, tarfile, zipfile, datetime as dt
from email.message import EmailMessage
from email import policy
from xml.sax.saxutils import escape as esc

if os.environ.get('PYTHONHASHSEED') != '0':
    os.environ['PYTHONHASHSEED'] = '0'
    os.execv(sys.executable, [sys.executable] + sys.argv)

OUT = sys.argv[1]
CHECKS = sys.argv[2] if len(sys.argv) > 2 else None
FEATURES, QUESTIONS = [], []
FIX = (2025, 3, 14, 9, 30, 0)


def path(name):
    p = os.path.join(OUT, name)
    os.makedirs(os.path.dirname(p), exist_ok=True)
    return p


def put(name, data, enc='utf-8'):
    if isinstance(data, str):
        data = data.encode(enc)
    with open(path(name), 'wb') as f:
        f.write(data)


class At:
    """Checks of one file."""
    def __init__(self, file, kind):
        self.file, self.kind = file, kind

    def _a(self, feature, check, **kw):
        FEATURES.append(dict(file=self.file, kind=self.kind, feature=feature, check=check, **kw))

    def has(self, feature, text, **kw): self._a(feature, 'contains', text=text, **kw)
    def tog(self, feature, *texts, **kw): self._a(feature, 'together', texts=list(texts), **kw)
    def seq(self, feature, *texts, **kw): self._a(feature, 'order', texts=list(texts), **kw)
    def no(self, feature, text, **kw): self._a(feature, 'absent', text=text, **kw)
    def once(self, feature, text, **kw): self._a(feature, 'once', text=text, **kw)

    def q(self, question, answer, *together):
        QUESTIONS.append(dict(id='q%02d' % (len(QUESTIONS) + 1), question=question, file=self.file,
                              answer=answer, together=list(together)))


def zipbytes(entries, stored_first=False):
    b = io.BytesIO()
    with zipfile.ZipFile(b, 'w') as z:
        for i, (n, d) in enumerate(entries):
            zi = zipfile.ZipInfo(n, FIX)
            zi.external_attr = 0o644 << 16
            zi.compress_type = zipfile.ZIP_STORED if (stored_first and i == 0) else zipfile.ZIP_DEFLATED
            z.writestr(zi, d if isinstance(d, bytes) else d.encode('utf-8'))
    return b.getvalue()


def rezip(data):
    """Fixed times in a zip made by a library (also in workbooks inside it)."""
    src = zipfile.ZipFile(io.BytesIO(data))
    out = []
    for n in src.namelist():
        d = src.read(n)
        if n.endswith('core.xml'):
            d = re.sub(rb'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', b'2025-03-14T09:30:00Z', d)
        if n.endswith('.xlsx'):
            d = rezip(d)
        out.append((n, d))
    return zipbytes(out)


def png_text(lines, size=34, width=1500, height=0, noise=0):
    from PIL import Image, ImageDraw, ImageFont
    f = ImageFont.truetype('/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf', size)
    im = Image.new('L', (width, height or 80 + len(lines) * (size + 22)), 255)
    d = ImageDraw.Draw(im)
    y = 40
    for l in lines:
        d.text((60, y), l, font=f, fill=10)
        y += size + 22
    r = random.Random(7)
    for _ in range(noise):
        im.putpixel((r.randrange(im.width), r.randrange(im.height)), 120)
    b = io.BytesIO()
    im.save(b, 'PNG')
    return b.getvalue()


# ---------------------------------------------------------------- PDF
from reportlab.pdfgen import canvas
from reportlab.lib.pagesizes import A4
from reportlab.lib import colors
from reportlab.lib.utils import ImageReader
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.styles import getSampleStyleSheet, ParagraphStyle
from reportlab.platypus import (SimpleDocTemplate, BaseDocTemplate, PageTemplate, Frame, Paragraph, Spacer,
                                Table, TableStyle, PageBreak, ListFlowable, ListItem)
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfbase.cidfonts import UnicodeCIDFont

SS = getSampleStyleSheet()
N, H1, H2, H3 = SS['Normal'], SS['Heading1'], SS['Heading2'], SS['Heading3']
W, H = A4
pdfmetrics.registerFont(TTFont('DV', '/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf'))
pdfmetrics.registerFont(UnicodeCIDFont('STSong-Light'))
GRID = TableStyle([('GRID', (0, 0), (-1, -1), 0.5, colors.grey), ('BACKGROUND', (0, 0), (-1, 0), colors.lightgrey),
                   ('FONTNAME', (0, 0), (-1, 0), 'Helvetica-Bold'), ('VALIGN', (0, 0), (-1, -1), 'TOP')])


def pdf(name, flow, onpage=None, **kw):
    b = io.BytesIO()
    d = SimpleDocTemplate(b, invariant=1, pagesize=A4, title=kw.pop('title', name), author='corpus', **kw)
    f = onpage or (lambda c, d: None)
    d.build(flow, onFirstPage=f, onLaterPages=f)
    put(name, b.getvalue())
    return b.getvalue()


def canv(name, draw, **kw):
    b = io.BytesIO()
    c = canvas.Canvas(b, pagesize=A4, invariant=1, **kw)
    draw(c)
    c.save()
    put(name, b.getvalue())
    return b.getvalue()


def make_pdf():
    # 1 a long stock list, title row repeated on each page
    f = 'pdf/stocklist_ironmonger.pdf'
    a = At(f, 'pdf')
    r = random.Random(11)
    rows = [['Article no.', 'Description', 'Shelf', 'On hand', 'Reorder at', 'Unit price']]
    n = 4100
    for kind, sizes in [('Hex bolt M8 x {} zinc', (20, 25, 30, 35, 40, 45, 50, 60)), ('Hex bolt M10 x {} zinc', (30, 40, 45, 50, 60, 80)),
                        ('Hex bolt M8 x {} stainless', (20, 30, 40, 45, 60)), ('Coach screw 8 x {} galvanised', (50, 60, 70, 80, 100, 120)),
                        ('Wood screw 4 x {} brass', (16, 20, 25, 30, 35, 40, 50)), ('Wood screw 5 x {} brass', (25, 30, 40, 50, 60)),
                        ('Washer form A {} mm', (6, 8, 10, 12, 16)), ('Threaded rod M12, {} mm', (250, 500, 1000, 2000)),
                        ('Padlock brass {} mm', (30, 40, 50, 60)), ('Butt hinge {} mm', (60, 75, 100, 125)),
                        ('Chain galvanised {} mm', (4, 5, 6, 8)), ('Masonry drill {} mm', (5, 6, 8, 10, 12, 14)),
                        ('Cable clip white {} mm', (5, 7, 9, 12)), ('Turnbuckle M{}', (6, 8, 10, 12)),
                        ('Eye bolt M{} forged', (8, 10, 12, 16)), ('Shackle {} mm bow', (6, 8, 10, 12)),
                        ('Paint brush {} mm', (25, 38, 50, 75)), ('Sanding disc grit {}', (60, 80, 120, 180, 240))]:
        for s in sizes:
            n += r.randint(1, 4)
            rows.append([str(n), kind.format(s), '%s-%02d' % (r.choice('ABCDEF'), r.randint(1, 30)), str(r.randint(3, 950)),
                         str(r.choice((10, 20, 25, 50, 100))), '%.2f' % (r.randint(4, 2900) / 100)])
    t = Table(rows, repeatRows=1, colWidths=[62, 190, 50, 55, 62, 60])
    t.setStyle(GRID)
    pdf(f, [Paragraph('Brandvik Ironmongers: stock count of 28 February 2025', H1),
            Paragraph('Counted by the warehouse team after closing time. Prices are per piece and without tax.', N), Spacer(1, 8), t],
        title='Stock count')
    R = {x[1]: x for x in rows}
    x, y, z = R['Hex bolt M8 x 45 zinc'], R['Masonry drill 12 mm'], R['Sanding disc grit 180']
    a.tog('title row with a row of page 1', 'Shelf', 'Reorder at', x[0], x[1], x[2])
    a.tog('title row with a row of a later page', 'Shelf', 'On hand', y[0], y[1], y[2])
    a.tog('title row with a row of the last page', 'Unit price', z[0], z[1], z[5])
    a.once('table row not repeated', y[1])
    a.seq('rows in order over pages', 'Hex bolt M8 x 20 zinc', 'Masonry drill 12 mm', 'Sanding disc grit 240')
    a.has('heading before table', 'stock count of 28 February 2025')
    a.q('Where in the warehouse do we keep the zinc-plated M8 hexagon bolts that are 45 long?', x[2], 'Shelf', 'Hex bolt M8 x 45 zinc', x[2])
    a.q('How many 12 millimetre bits for drilling into brick were left when we counted at the end of February 2025?', y[3], 'On hand', 'Masonry drill 12 mm', y[3])

    # 2 two columns
    f = 'pdf/newsletter_two_columns.pdf'
    a = At(f, 'pdf')
    b = io.BytesIO()
    d = BaseDocTemplate(b, invariant=1, pagesize=A4, title='Rowing club newsletter')
    fw = (W - 120) / 2
    d.addPageTemplates(PageTemplate(frames=[Frame(45, 50, fw, H - 140, id='l'), Frame(W / 2 + 15, 50, fw, H - 140, id='r')],
                                    onPage=lambda c, d: (c.setFont('Helvetica-Bold', 18), c.drawString(50, H - 60, 'The Sculler: news of Tarnwater Rowing Club'),
                                                         c.setFont('Helvetica', 8), c.drawString(50, 30, 'Spring issue, page %d' % d.page))))
    fill = ('The committee met four times over the winter and most of what it decided concerned the boathouse. The slipway was cleared of weed in January, '
            'and the landing stage was given new planks after two members slipped there in the frost. We thank everybody who came with gloves and a shovel. ')
    fill2 = ('Training for novices takes place on the lower lake so long as the upper water stands above the red mark at the weir. Coxes are asked to keep '
             'to the right bank, because the anglers have their competition on the other side until the end of April. ')
    d.build([Paragraph('Boathouse roof repaired at last', H2), Paragraph(fill, N), Spacer(1, 6),
             Paragraph('After nine damp winters the roof above the racks has been relaid with larch shingles by the carpenter Ottoline Vass, who charged the club only for the timber.', N), Spacer(1, 6),
             Paragraph(fill2, N), Spacer(1, 6), Paragraph('A new double scull', H2),
             Paragraph('The boat christened Kingfisher arrives from the builder in the second week of May and replaces the Heron, which goes to the school at Lower Marsh.', N), Spacer(1, 6), Paragraph(fill * 2, N), Spacer(1, 6),
             Paragraph('Open day', H2), Paragraph('Visitors may try the rowing machines in the loft between ten and noon; children need a life jacket and an adult who stays with them on the bank.', N), Spacer(1, 6), Paragraph(fill2 * 2, N), Spacer(1, 6),
             Paragraph('Results of the winter head', H2), Paragraph('Our women took third place in the long race at Ferrybridge, nineteen seconds behind the winners from Caldmoor, in spite of a broken seat wheel.', N), Spacer(1, 6), Paragraph(fill, N), Spacer(1, 6),
             Paragraph('Subscriptions', H2), Paragraph('The yearly subscription rises by six pounds to cover the insurance of the trailer. Students and pensioners pay what they paid before.', N), Spacer(1, 6), Paragraph(fill2 * 2, N),
             Spacer(1, 6), Paragraph('Found in the changing room', H2), Paragraph('One silver whistle on a green cord, a left boot, and a flask with the initials P. J. R. Ask the caretaker.', N)])
    put(f, b.getvalue())
    a.has('sentence over lines of the left column', 'relaid with larch shingles by the carpenter Ottoline Vass, who charged the club only for the timber')
    a.has('sentence over lines of the right column', 'nineteen seconds behind the winners from Caldmoor, in spite of a broken seat wheel')
    a.seq('left column before right column', 'Boathouse roof repaired at last', 'A new double scull', 'Open day', 'Results of the winter head', 'Found in the changing room')
    a.tog('heading with its paragraph', 'A new double scull', 'replaces the Heron')
    a.once('body text once', 'rises by six pounds')

    # 3 form with values
    f = 'pdf/membership_form_filled.pdf'
    a = At(f, 'pdf')
    def draw(c):
        c.setFont('Helvetica-Bold', 16); c.drawString(60, H - 70, 'Application for membership: Larkfield Allotment Society')
        c.setFont('Helvetica', 11)
        y = H - 120
        for lab, nm, val in [('Surname', 'surname', 'Adeyemi-Holt'), ('First name', 'firstname', 'Rosalind'), ('Date of birth', 'dob', '7 November 1968'),
                             ('Plot wanted', 'plot', 'Half plot near the pump'), ('Telephone', 'phone', '01632 960 418'), ('Referee', 'referee', 'Mr Barnaby Quist')]:
            c.drawString(60, y, lab + ':')
            c.acroForm.textfield(name=nm, tooltip=lab, value=val, x=180, y=y - 6, width=260, height=20, fontSize=10, borderWidth=1)
            y -= 40
        c.drawString(60, y, 'I have read the rules:')
        c.acroForm.checkbox(name='rules', tooltip='I have read the rules', checked=True, x=200, y=y - 4, size=16)
        c.drawString(60, y - 60, 'Please hand the form to the secretary before the first Saturday in April.')
    canv(f, draw)
    a.has('form field value', 'Adeyemi-Holt')
    a.has('form field value', 'Half plot near the pump')
    a.tog('label with field value', 'Telephone', '01632 960 418')
    a.tog('label with field value', 'Referee', 'Barnaby Quist')
    a.has('fixed text beside form fields', 'hand the form to the secretary before the first Saturday in April')
    a.q('Who vouches for Rosalind on her request to join the allotment people?', 'Mr Barnaby Quist', 'Referee', 'Barnaby Quist')

    # 4 rotated page
    f = 'pdf/ferry_timetable_rotated.pdf'
    a = At(f, 'pdf')
    def draw(c):
        c.setFont('Helvetica-Bold', 16); c.drawString(60, H - 70, 'Skerry Line ferries: summer timetable 2025')
        c.setFont('Helvetica', 11)
        c.drawString(60, H - 100, 'The table on the next page is printed sideways. Bicycles travel free of charge.')
        c.showPage()
        c.setPageSize((H, W))  # the library swaps the sides of a page turned by 90 degrees
        c.setPageRotation(90)
        c.translate(W, 0); c.rotate(90)
        t = Table([['Sailing', 'Leaves Orsay Quay', 'Calls at Lunna', 'Arrives Brough', 'Runs on', 'Vessel'],
                   ['S1', '06:25', '07:10', '08:05', 'Monday to Friday', 'Fulmar'], ['S2', '09:40', 'no call', '10:55', 'daily', 'Petrel'],
                   ['S3', '13:15', '14:00', '14:55', 'Saturday only', 'Fulmar'], ['S4', '17:50', '18:35', '19:30', 'daily', 'Petrel'],
                   ['S5', '21:05', 'no call', '22:20', 'Sunday only', 'Gannet']], colWidths=[60, 120, 100, 100, 120, 80])
        t.setStyle(GRID); t.wrapOn(c, H, W); t.drawOn(c, 80, 330)
        c.setFont('Helvetica-Bold', 14); c.drawString(80, 500, 'Sailings from Orsay Quay to Brough')
        c.setFont('Helvetica', 10); c.drawString(80, 300, 'Gannet carries no cars. In a swell above three metres sailings may be cancelled at short notice.')
        c.showPage()
    canv(f, draw)
    a.tog('table row on rotated page', 'Arrives Brough', 'S3', '14:55', 'Saturday only')
    a.has('sentence on rotated page', 'In a swell above three metres sailings may be cancelled at short notice')
    a.seq('rows on rotated page', '06:25', '09:40', '13:15', '17:50', '21:05')
    a.q('When does the boat that goes just on Saturdays get in at Brough?', '14:55', 'Arrives Brough', 'Saturday only', '14:55')

    # 5 encrypted, empty user password
    f = 'pdf/salary_bands_encrypted.pdf'
    a = At(f, 'pdf')
    t = Table([['Band', 'Job title', 'Lowest', 'Highest'], ['B1', 'Porter', '21,480', '23,110'], ['B2', 'Ward clerk', '23,950', '26,300'],
               ['B3', 'Laboratory assistant', '26,940', '31,275'], ['B4', 'Radiographer', '33,600', '41,820'], ['B5', 'Senior radiographer', '42,700', '50,465']],
              colWidths=[50, 160, 80, 80]); t.setStyle(GRID)
    pdf(f, [Paragraph('St Osyth Cottage Hospital: pay bands from April 2025', H1),
            Paragraph('This file may be opened by anyone but not printed. Night work is paid with a supplement of thirty percent.', N), Spacer(1, 10), t],
        encrypt=StandardEncryption('', ownerPassword='owner-secret', canPrint=0, canModify=0, strength=128))
    a.has('encrypted with empty user password', 'Night work is paid with a supplement of thirty percent')
    a.tog('table row of encrypted file', 'Highest', 'Laboratory assistant', '31,275')
    a.q('What is the most a laboratory assistant can earn at the cottage hospital?', '31,275', 'Highest', 'Laboratory assistant', '31,275')

    # 6 scanned second page
    f = 'pdf/survey_letter_scanned_page2.pdf'
    a = At(f, 'pdf')
    img = png_text(['SITE NOTES', '', 'The cellar wall on the north side is damp', 'up to a height of forty centimetres.', 'Two joists in the attic show beetle holes.',
                    'The chimney was swept in October 2024.', '', 'Signed: Inspector Halloran'], width=1654, height=2339, noise=900)
    def draw(c):
        c.setFont('Helvetica-Bold', 15); c.drawString(60, H - 70, 'Survey of the house at 9 Pound Lane')
        c.setFont('Helvetica', 11)
        for i, l in enumerate(['Dear Mrs Ekdahl,', 'we visited your house on 4 February 2025 and enclose the notes of our inspector as a scan.',
                               'The bill for the visit follows by separate post. Kind regards, Coombe and Daughters, surveyors']):
            c.drawString(60, H - 110 - 22 * i, l)
        c.showPage()
        c.drawImage(ImageReader(io.BytesIO(img)), 0, 0, width=W, height=H)
        c.showPage()
    canv(f, draw)
    a.has('text page beside a scanned page', 'The bill for the visit follows by separate post')
    a.has('scanned page read by OCR', 'chimney was swept in October', needs='ocr')
    a.has('scanned page read by OCR', 'beetle holes', needs='ocr')

    # 7 handbook with headings, running head, ligature
    f = 'pdf/swimming_pool_handbook.pdf'
    a = At(f, 'pdf')
    def onp(c, d):
        c.setFont('Helvetica', 8); c.drawString(60, H - 40, 'Weirside Baths, staff handbook'); c.drawRightString(W - 60, 30, 'page %d' % d.page)
    LIG = ParagraphStyle('lig', parent=N, fontName='DV')
    B = lambda items: ListFlowable([ListItem(Paragraph(i, N)) for i in items], bulletType='bullet')
    pdf(f, [Paragraph('Staff handbook', SS['Title']),
            Paragraph('1 Opening the baths', H1), Paragraph('1.1 Before the first bathers', H2),
            Paragraph('The duty manager unlocks the pump room at half past five and reads the three gauges aloud to a second person, who writes them into the blue book.', N),
            Paragraph('1.2 Water tests', H2),
            Paragraph('Free chlorine is measured every two hours. If the value falls under 0.8 milligrams per litre the shallow end is closed until the dosing pump has caught up.', N),
            Paragraph('Take with you to each test:', N), B(['a clean cuvette from the drawer', 'the photometer with charged batteries', 'reagent tablets of type DPD one']), PageBreak(),
            Paragraph('2 Emergencies', H1), Paragraph('2.1 Bather in distress', H2),
            Paragraph('Blow three short blasts, throw the torpedo buoy, and send the nearest colleague for the defibrillator, which hangs beside the ticket desk.', N),
            Paragraph('2.2 Chemical smell', H2),
            Paragraph('Leave by the garden door against the wind. Nobody but the fire service enters the store again, even when the alarm has stopped.', N),
            Paragraph('2.3 Oxygen', H2),
            Paragraph('Only quali\ufb01ed sta\ufb00 may give oxygen. The certi\ufb01cate must be renewed every twenty-four months.', LIG), PageBreak(),
            Paragraph('3 Closing', H1), Paragraph('Count the lockers, switch the slide off at the red box, and set the alarm for zone four. Lost goggles go into the wicker basket.', N)],
        onpage=onp)
    a.tog('heading with its paragraph', 'Water tests', 'the shallow end is closed until the dosing pump has caught up')
    a.tog('heading with its paragraph', 'Chemical smell', 'Leave by the garden door against the wind')
    a.tog('list items with the line that introduces them', 'Take with you to each test', 'reagent tablets of type DPD one')
    a.has('ligatures read as letters', 'The certificate must be renewed every twenty-four months')
    a.has('ligatures read as letters', 'Only qualified staff may give oxygen')
    a.seq('sections in order', 'Opening the baths', 'Bather in distress', 'Chemical smell', 'Count the lockers')
    a.has('sentence over a line end', 'send the nearest colleague for the defibrillator, which hangs beside the ticket desk')

    # 8 German invoice, table without lines
    f = 'pdf/rechnung_malerbetrieb.pdf'
    a = At(f, 'pdf')
    t = Table([['Pos.', 'Leistung', 'Menge', 'Einzelpreis', 'Betrag'], ['1', 'Fensterläden abschleifen', '14 Stück', '18,50 €', '259,00 €'],
               ['2', 'Fassade grundieren, Südseite', '62 m²', '7,20 €', '446,40 €'], ['3', 'Fassade streichen, Südseite', '62 m²', '11,90 €', '737,80 €'],
               ['4', 'Gerüst für drei Tage', '1', '390,00 €', '390,00 €'], ['', '', '', 'Zwischensumme', '1.833,20 €'], ['', '', '', 'MwSt. 19 %', '348,31 €'],
               ['', '', '', 'Gesamtbetrag', '2.181,51 €']], colWidths=[35, 190, 70, 90, 80])
    t.setStyle(TableStyle([('ALIGN', (2, 0), (-1, -1), 'RIGHT'), ('LINEBELOW', (0, 0), (-1, 0), 0.7, colors.black)]))
    pdf(f, [Paragraph('Malerbetrieb Käthe Böhnisch, Weißenburg', H2), Paragraph('Rechnung Nr. 2025-0317 vom 21. März 2025', H1),
            Paragraph('Sehr geehrter Herr Dröse, für die ausgeführten Arbeiten an Ihrem Haus in der Mühlgasse berechnen wir:', N), Spacer(1, 10), t, Spacer(1, 10),
            Paragraph('Zahlbar ohne Abzug innerhalb von vierzehn Tagen. Bitte geben Sie die Rechnungsnummer an.', N)])
    a.tog('row of a table without lines', 'Einzelpreis', 'Fassade streichen, Südseite', '11,90 €', '737,80 €')
    a.tog('sum with its label', 'Gesamtbetrag', '2.181,51 €')
    a.has('umlauts', 'für die ausgeführten Arbeiten an Ihrem Haus in der Mühlgasse')
    a.q('Was hat der Maler für das Aufstellen vom Baugerüst verlangt?', '390,00 €', 'Betrag', 'Gerüst für drei Tage', '390,00 €')

    # 9 Chinese notice (CID font)
    f = 'pdf/xiaoqu_tongzhi.pdf'
    a = At(f, 'pdf')
    def draw(c):
        c.setFont('STSong-Light', 18); c.drawString(60, H - 80, '梧桐花园小区停水通知')
        c.setFont('STSong-Light', 12)
        for i, l in enumerate(['各位业主：因更换地下二层主水管，六号楼和七号楼将于四月九日', '上午八点至下午三点停水，请提前储备生活用水。', '其他楼栋不受影响。如有疑问请联系物业办公室，电话分机三零五。', '梧桐花园物业服务中心']):
            c.drawString(60, H - 120 - 24 * i, l)
    canv(f, draw)
    a.has('Chinese text in a CID font', '请提前储备生活用水')
    a.tog('heading with text', '停水通知', '更换地下二层主水管')
    a.q('小区里哪几栋房子那天没有自来水？', '六号楼和七号楼', '六号楼和七号楼', '停水')

    # 10 lab report: two-level title, wrapped cell
    f = 'pdf/soil_lab_report.pdf'
    a = At(f, 'pdf')
    P = lambda s: Paragraph(s, N)
    t = Table([['Sample', 'Topsoil', '', 'Subsoil', '', 'Remarks'], ['', 'pH', 'Lead mg/kg', 'pH', 'Lead mg/kg', ''],
               ['Orchard east', '6.4', '38', '6.9', '21', P('Roots present; dried for two days before sieving')],
               ['Orchard west', '6.1', '44', '6.6', '25', P('Stony, half of the sample had to be thrown away')],
               ['Old forge', '7.3', '412', '7.5', '187', P('Slag and charcoal; repeat the lead test with a fresh core')],
               ['Paddock', '5.8', '29', '6.0', '18', P('Nothing unusual')]], colWidths=[80, 45, 65, 45, 65, 170])
    t.setStyle(TableStyle([('GRID', (0, 0), (-1, -1), 0.5, colors.black), ('SPAN', (1, 0), (2, 0)), ('SPAN', (3, 0), (4, 0)), ('SPAN', (0, 0), (0, 1)), ('SPAN', (5, 0), (5, 1)), ('VALIGN', (0, 0), (-1, -1), 'TOP')]))
    pdf(f, [Paragraph('Soil analysis for Tithe Farm', H1), Paragraph('Table 1. Acidity and lead of four fields, sampled on 12 May 2025', N), Spacer(1, 6), t, Spacer(1, 8),
            Paragraph('All values are means of three readings by method LM-7.', N)])
    a.tog('caption with row', 'Acidity and lead of four fields', 'Old forge', '412')
    a.tog('row with title', 'Lead mg/kg', 'Orchard west', '44')
    a.has('cell text wrapped over lines', 'repeat the lead test with a fresh core')
    a.q('How much lead did they find deeper down at the place where the smithy used to be?', '187', 'Subsoil', 'Old forge', '187')

    # 11 a PDF called .txt
    f = 'misc/minutes_march.txt'
    a = At(f, 'pdf (wrong suffix)')
    pdf(f, [Paragraph('Minutes of the parents council, 6 March 2025', H1), Paragraph('Present: Ms Tamura, Mr Eze, Ms Lindqvist. Excused: Mr Fabian.', N), Spacer(1, 6), Paragraph('Item 1: Crossing patrol', H2),
            Paragraph('Mr Eze reports that the lollipop lady at Gosling Road retires in July and that the council has not advertised the post.', N), Paragraph('Item 2: Cake sale', H2),
            Paragraph('The cake sale brought in 214 pounds, which pays for the new goal nets.', N)])
    a.has('PDF named .txt', 'retires in July and that the council has not advertised the post')
    a.no('no raw PDF syntax', 'endobj')
    a.tog('heading with text', 'Cake sale', 'which pays for the new goal nets')


# ---------------------------------------------------------------- DOCX (written part by part)
WNS = ('xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" '
       'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
       'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
       'xmlns:v="urn:schemas-microsoft-com:vml" xmlns:w14="http://schemas.microsoft.com/office/word/2010/wordml"')
XH = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
WML = 'application/vnd.openxmlformats-officedocument.wordprocessingml.'
REL = 'http://schemas.openxmlformats.org/officeDocument/2006/relationships/'


def wr(t, pr=''):
    return '<w:r>%s<w:t xml:space="preserve">%s</w:t></w:r>' % ('<w:rPr>%s</w:rPr>' % pr if pr else '', esc(t))


def wp(t, style=None, num=None, lvl=0):
    """A paragraph; t is plain text, or run xml if it starts with '<'."""
    pr = ('<w:pStyle w:val="%s"/>' % style if style else '') + ('<w:numPr><w:ilvl w:val="%d"/><w:numId w:val="%d"/></w:numPr>' % (lvl, num) if num else '')
    return '<w:p>%s%s</w:p>' % ('<w:pPr>%s</w:pPr>' % pr if pr else '', t if t.startswith('<') else wr(t))


def wt(rows, header=True):
    """A table; a cell is text, ready xml of blocks, or (tcPr, content)."""
    n = max(len(r) for r in rows)
    o = '<w:tbl><w:tblPr><w:tblStyle w:val="TableGrid"/><w:tblW w:w="0" w:type="auto"/></w:tblPr><w:tblGrid>%s</w:tblGrid>' % ('<w:gridCol w:w="2000"/>' * n)
    for i, r in enumerate(rows):
        o += '<w:tr>' + ('<w:trPr><w:tblHeader/></w:trPr>' if header and i == 0 else '')
        for c in r:
            pr = ''
            if isinstance(c, tuple):
                pr, c = c
            o += '<w:tc><w:tcPr><w:tcW w:w="2000" w:type="dxa"/>%s</w:tcPr>%s</w:tc>' % (pr, c if c.startswith('<w:p') or c.startswith('<w:t') else wp(c))
        o += '</w:tr>'
    return o + '</w:tbl>'


STYLES = XH + '<w:styles %s><w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/></w:style>' % WNS + ''.join(
    '<w:style w:type="paragraph" w:styleId="Heading%d"><w:name w:val="heading %d"/><w:basedOn w:val="Normal"/><w:pPr><w:outlineLvl w:val="%d"/></w:pPr><w:rPr><w:b/><w:sz w:val="%d"/></w:rPr></w:style>' % (i, i, i - 1, 36 - 4 * i) for i in (1, 2, 3)) + \
    '<w:style w:type="paragraph" w:styleId="Title"><w:name w:val="Title"/></w:style><w:style w:type="paragraph" w:styleId="ListParagraph"><w:name w:val="List Paragraph"/></w:style><w:style w:type="paragraph" w:styleId="Caption"><w:name w:val="caption"/></w:style><w:style w:type="table" w:styleId="TableGrid"><w:name w:val="Table Grid"/></w:style></w:styles>'
NUMBERING = XH + '<w:numbering %s>' % WNS + \
    '<w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl><w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="%2)"/></w:lvl></w:abstractNum>' \
    '<w:abstractNum w:abstractNumId="1"><w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/><w:lvlText w:val="•"/></w:lvl><w:lvl w:ilvl="1"><w:numFmt w:val="bullet"/><w:lvlText w:val="o"/></w:lvl></w:abstractNum>' \
    '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="1"/></w:num></w:numbering>'


def docx(body, header=None, footer=None, footnotes=None, endnotes=None, comments=None, links=()):
    ct, rels, parts = '', '', []
    def part(nm, typ, xml):
        nonlocal ct, rels
        ct += '<Override PartName="/word/%s.xml" ContentType="%s%s+xml"/>' % (nm, WML, typ)
        rels += '<Relationship Id="r_%s" Type="%s%s" Target="%s.xml"/>' % (nm, REL, re.sub(r'\d', '', nm), nm)
        parts.append(('word/%s.xml' % nm, xml))
    part('styles', 'styles', STYLES)
    part('numbering', 'numbering', NUMBERING)
    sect = ''
    if header:
        part('header1', 'header', XH + '<w:hdr %s>%s</w:hdr>' % (WNS, header)); sect += '<w:headerReference w:type="default" r:id="r_header1"/>'
    if footer:
        part('footer1', 'footer', XH + '<w:ftr %s>%s</w:ftr>' % (WNS, footer)); sect += '<w:footerReference w:type="default" r:id="r_footer1"/>'
    for nm, el, x in (('footnotes', 'footnote', footnotes), ('endnotes', 'endnote', endnotes)):
        if x:
            part(nm, nm, XH + '<w:%s %s><w:%s w:type="separator" w:id="-1"><w:p><w:r><w:separator/></w:r></w:p></w:%s>' % (nm, WNS, el, el) +
                 ''.join('<w:%s w:id="%d">%s</w:%s>' % (el, i + 1, wp('<w:r><w:%sRef/></w:r>' % el + wr(' ' + t)), el) for i, t in enumerate(x)) + '</w:%s>' % nm)
    if comments:
        part('comments', 'comments', XH + '<w:comments %s>' % WNS + ''.join(
            '<w:comment w:id="%d" w:author="%s" w:date="2025-03-10T10:00:00Z">%s</w:comment>' % (i, au, wp(t)) for i, (au, t) in enumerate(comments)) + '</w:comments>')
    for i, u in links:
        rels += '<Relationship Id="%s" Type="%shyperlink" Target="%s" TargetMode="External"/>' % (i, REL, u)
    R = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
    return zipbytes([
        ('[Content_Types].xml', XH + '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" ContentType="%sdocument.main+xml"/>%s</Types>' % (WML, ct)),
        ('_rels/.rels', XH + '<Relationships %s><Relationship Id="rId1" Type="%sofficeDocument" Target="word/document.xml"/></Relationships>' % (R, REL)),
        ('word/document.xml', XH + '<w:document %s><w:body>%s<w:sectPr>%s<w:pgSz w:w="11906" w:h="16838"/></w:sectPr></w:body></w:document>' % (WNS, body, sect)),
        ('word/_rels/document.xml.rels', XH + '<Relationships %s>%s</Relationships>' % (R, rels))] + parts)


def sdt(content, alias, extra=''):
    return '<w:sdt><w:sdtPr><w:alias w:val="%s"/><w:tag w:val="t_%s"/>%s</w:sdtPr><w:sdtContent>%s</w:sdtContent></w:sdt>' % (alias, re.sub(r'\W', '', alias), extra, content)


def ins(x): return '<w:ins w:id="51" w:author="R. Okafor" w:date="2025-02-03T08:00:00Z">%s</w:ins>' % x
def dele(t): return '<w:del w:id="52" w:author="R. Okafor" w:date="2025-02-03T08:00:00Z"><w:r><w:delText xml:space="preserve">%s</w:delText></w:r></w:del>' % esc(t)


def textbox(t):
    inner = '<w:txbxContent>%s</w:txbxContent>' % ''.join(wp(x) for x in t)
    return wp('<w:r><mc:AlternateContent><mc:Choice Requires="wps"><w:drawing><wp:anchor distT="0" distB="0" distL="0" distR="0" simplePos="0" relativeHeight="1" behindDoc="0" locked="0" layoutInCell="1" allowOverlap="1"><wp:simplePos x="0" y="0"/><wp:positionH relativeFrom="column"><wp:posOffset>0</wp:posOffset></wp:positionH><wp:positionV relativeFrom="paragraph"><wp:posOffset>0</wp:posOffset></wp:positionV><wp:extent cx="2400000" cy="900000"/><wp:wrapNone/><wp:docPr id="9" name="Text Box 9"/>'
              '<a:graphic><a:graphicData uri="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"><wps:wsp><wps:cNvSpPr txBox="1"/><wps:spPr/><wps:txbx>%s</wps:txbx><wps:bodyPr/></wps:wsp></a:graphicData></a:graphic></wp:anchor></w:drawing></mc:Choice>'
              '<mc:Fallback><w:pict><v:shape style="width:200pt;height:70pt"><v:textbox>%s</v:textbox></v:shape></w:pict></mc:Fallback></mc:AlternateContent></w:r>' % (inner, inner))


def make_docx():
    # 1 lease: content controls, numbered list, header and footer
    f = 'docx/lease_agreement_pound_lane.docx'
    a = At(f, 'docx')
    body = wp('Tenancy agreement', 'Title') + wp('Parties', 'Heading1') + wp(wr('The landlord is ') + sdt(wr('Hillcrest Lettings Limited'), 'Landlord') + wr(' and the tenant is ') + sdt(wr('Marguerite Osei'), 'Tenant') + wr('.'))
    body += wp('Rent and deposit', 'Heading1') + sdt(wp('The monthly rent is 845 pounds, payable on the third working day of the month by standing order.') + wp('A deposit of 970 pounds is held by the scheme named Safehold.'), 'Rent clause')
    body += wp(wr('Heating is by ') + sdt(wr('wood pellets'), 'Heating', '<w:dropDownList><w:listItem w:displayText="wood pellets" w:value="1"/><w:listItem w:displayText="mains gas" w:value="2"/></w:dropDownList>') + wr(' and included in the rent.'))
    body += wp('Duties of the tenant', 'Heading1') + wp('The tenant shall', None) + ''.join(wp(t, 'ListParagraph', 1, l) for t, l in [
        ('keep the gutters free of leaves from October onwards', 0), ('let the agent in after notice of one day', 0), ('not keep animals, except', 0), ('caged birds', 1), ('one cat that has been neutered', 1), ('return all four keys on leaving', 0)])
    body += wp('Meter readings', 'Heading2') + sdt(wt([['Meter', 'Reading on moving in', 'Unit'], ['Electricity', '48213', 'kWh'], ['Cold water', '1077', 'cubic metres']]), 'Meters')
    put(f, docx(body, header=wp('Hillcrest Lettings, tenancy reference HL-2047'), footer=wp(wr('Page ') + '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText> PAGE </w:instrText></w:r><w:r><w:fldChar w:fldCharType="separate"/></w:r><w:r><w:t>1</w:t></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>')))
    a.has('inline content control', 'the tenant is Marguerite Osei')
    a.has('block content control', 'payable on the third working day of the month by standing order')
    a.tog('heading over a block content control', 'Rent and deposit', 'held by the scheme named Safehold')
    a.has('drop-down content control', 'Heating is by wood pellets and included in the rent')
    a.no('choice not taken of a drop-down', 'mains gas')
    a.tog('list item with its lead-in', 'The tenant shall', 'return all four keys on leaving')
    a.seq('list levels in order', 'not keep animals', 'caged birds', 'one cat that has been neutered', 'return all four keys')
    a.tog('table in a content control', 'Reading on moving in', 'Cold water', '1077')
    a.has('page header with reference', 'HL-2047')
    a.q('What did the water meter say when Marguerite took over the flat?', '1077', 'Reading on moving in', 'Cold water', '1077')
    a.q('Which pets may Marguerite Osei have under her rental contract?', 'caged birds and one neutered cat', 'not keep animals', 'caged birds', 'one cat that has been neutered')

    f = 'docx/lease_agreement_mill_street.docx'  # look-alike: another tenant
    a = At(f, 'docx')
    body = wp('Tenancy agreement', 'Title') + wp('Parties', 'Heading1') + wp(wr('The landlord is ') + sdt(wr('Hillcrest Lettings Limited'), 'Landlord') + wr(' and the tenant is ') + sdt(wr('Marcel Osei'), 'Tenant') + wr('.'))
    body += wp('Rent and deposit', 'Heading1') + wp('The monthly rent is 915 pounds, payable on the first of the month. A deposit of 1,050 pounds is held by the scheme named Safehold.')
    body += wp('Meter readings', 'Heading2') + wt([['Meter', 'Reading on moving in', 'Unit'], ['Electricity', '50991', 'kWh'], ['Cold water', '1707', 'cubic metres'], ['Gas', '8815', 'cubic metres']])
    put(f, docx(body, header=wp('Hillcrest Lettings, tenancy reference HL-2074')))
    a.has('inline content control', 'the tenant is Marcel Osei')
    a.tog('table row with title, look-alike file', 'Reading on moving in', 'Gas', '8815')
    a.q('How much gas had gone through the counter when Marcel moved into Mill Street?', '8815', 'Reading on moving in', 'Gas', '8815')

    # 2 tracked changes, comments, moved paragraph
    f = 'docx/remote_work_policy_tracked.docx'
    a = At(f, 'docx')
    body = wp('Working from home', 'Heading1') + wp(wr('Staff may work from home up to ') + dele('one day') + ins(wr('three days')) + wr(' a week once their ') + '<w:commentRangeStart w:id="0"/>' + wr('probation period') + '<w:commentRangeEnd w:id="0"/><w:r><w:commentReference w:id="0"/></w:r>' + wr(' has ended.'))
    body += '<w:p><w:pPr><w:rPr><w:ins w:id="60" w:author="R. Okafor" w:date="2025-02-03T08:00:00Z"/></w:rPr></w:pPr>' + ins(wr('The company lends each person one monitor and a footrest.')) + '</w:p>'
    body += '<w:p><w:pPr><w:rPr><w:del w:id="61" w:author="R. Okafor" w:date="2025-02-03T08:00:00Z"/></w:rPr></w:pPr>' + dele('Requests are sent by fax to the personnel department.') + '</w:p>'
    body += wp('Reachability', 'Heading2') + '<w:p><w:moveFromRangeStart w:id="70" w:name="m1" w:author="R" w:date="2025-02-03T08:00:00Z"/><w:moveFrom w:id="71" w:author="R" w:date="2025-02-03T08:00:00Z">%s</w:moveFrom><w:moveFromRangeEnd w:id="70"/></w:p>' % wr('Everyone answers the telephone between ten and three.')
    body += wp('Calendars are kept open to colleagues.') + '<w:p><w:moveToRangeStart w:id="72" w:name="m1" w:author="R" w:date="2025-02-03T08:00:00Z"/><w:moveTo w:id="73" w:author="R" w:date="2025-02-03T08:00:00Z">%s</w:moveTo><w:moveToRangeEnd w:id="72"/></w:p>' % wr('Everyone answers the telephone between ten and three.')
    put(f, docx(body, comments=[('Personnel', 'Does this hold for temps too?')]))
    a.has('tracked insertion within a sentence', 'up to three days a week once their probation period has ended')
    a.no('tracked deletion within a sentence', 'one day')
    a.has('inserted paragraph', 'The company lends each person one monitor and a footrest')
    a.no('deleted paragraph', 'fax to the personnel')
    a.once('moved text', 'Everyone answers the telephone between ten and three')
    a.seq('moved text at its new place', 'Calendars are kept open', 'answers the telephone between ten')

    # 3 nested tables, merged cells
    f = 'docx/school_inventory_nested.docx'
    a = At(f, 'docx')
    vm, vc = '<w:vMerge w:val="restart"/>', '<w:vMerge/>'
    inner = wt([['Part', 'Missing'], ['Petri dishes', '6'], ['Tweezers', '2']]) + wp('')
    body = wp('Inventory of the science rooms', 'Heading1') + wp('Table 2: Apparatus by room, counted in June', 'Caption')
    body += wt([['Room', 'Apparatus', 'Count', 'Details'], [(vm, 'S12'), 'Bunsen burner', '15', 'two with leaking taps'], [(vc, ''), 'Fume hood', '1', 'filter due in September'],
                [(vm, 'S14'), 'Microscope set', '9', inner], [(vc, ''), 'Skeleton', '1', 'left hand glued'], [('<w:gridSpan w:val="4"/>', 'Rooms S15 to S17 were locked')]])
    body += wp('Signed by Mr Pemberton-Iqbal, head of science.')
    put(f, docx(body))
    a.tog('nested table cell', 'Petri dishes', '6')
    a.once('nested table not repeated', 'Petri dishes')
    a.tog('nested table with outer row', 'Microscope set', 'Tweezers')
    a.tog('caption with row', 'Apparatus by room', 'Fume hood', 'filter due in September')
    a.tog('vertically merged cell with later row', 'S14', 'Skeleton', 'left hand glued')
    a.has('cell over all columns', 'Rooms S15 to S17 were locked')
    a.q('How many of the little round glass trays are gone from the microscope kit?', '6', 'Microscope set', 'Petri dishes', '6')

    # 4 footnotes, endnotes, text box
    f = 'docx/canal_history_notes.docx'
    a = At(f, 'docx')
    fn = lambda i: '<w:r><w:footnoteReference w:id="%d"/></w:r>' % i
    en = lambda i: '<w:r><w:endnoteReference w:id="%d"/></w:r>' % i
    body = wp('The Wexcombe Canal', 'Title') + wp('Building', 'Heading1') + wp(wr('The cutting was begun in 1793 by two hundred navvies from Lancashire.') + fn(1) + wr(' It took them eleven years to reach the summit pound.'))
    body += textbox(['Did you know?', 'A lock keeper was paid with a cottage and two tons of coal.']) + wp('Decline', 'Heading1') + wp(wr('The railway bought the company in 1851 and let the reservoirs silt up.') + en(1) + wr(' The last boat carried gravel.') + fn(2))
    body += wp('<w:r><w:t>The towpath was</w:t></w:r><w:r><w:noBreakHyphen/></w:r>' + wr('as old people say') + '<w:r><w:tab/></w:r>' + wr('haunted.'))
    put(f, docx(body, footnotes=['Parish register of Wexcombe, folio 33, gives two hundred and six names.', 'Its name was Patience, and she lies under the bridge at Odd Mill.'], endnotes=['Minutes of the Great Southern Railway, volume nine.']))
    a.has('footnote text', 'gives two hundred and six names')
    a.has('footnote text', 'she lies under the bridge at Odd Mill')
    a.has('endnote text', 'Minutes of the Great Southern Railway, volume nine')
    a.once('text box with fallback copy', 'two tons of coal')
    a.tog('heading with its paragraph', 'Building', 'It took them eleven years to reach the summit pound')

    # 5 bullets under headings
    f = 'docx/kitchen_hygiene_cards.docx'
    a = At(f, 'docx')
    body = wp('Kitchen cards for volunteers', 'Title')
    for h, items in [('Before you start', ['wash hands for twenty seconds', 'tie long hair back', 'cover cuts with a blue plaster']),
                     ('While cooking', ['taste with a fresh spoon each time', 'keep soup above sixty-three degrees', 'raw chicken stays on the red board']),
                     ('When you leave', ['empty the crumb tray', 'write the fridge temperature on the door sheet', 'turn the gas lever to the left'])]:
        body += wp(h, 'Heading2') + ''.join(wp(i, 'ListParagraph', 2) for i in items)
    body += wp('Allergens in our standing dishes', 'Heading2') + wt([['Dish', 'Gluten', 'Nuts', 'Milk'], ['Leek and potato soup', 'no', 'no', 'yes'], ['Spelt loaf', 'yes', 'traces', 'no'], ['Lentil dal', 'no', 'no', 'no'], ['Bakewell tart', 'yes', 'yes', 'yes']])
    put(f, docx(body))
    a.tog('list item with heading', 'While cooking', 'raw chicken stays on the red board')
    a.tog('list item with heading', 'When you leave', 'turn the gas lever to the left')
    a.tog('table with heading', 'Allergens in our standing dishes', 'Spelt loaf', 'traces')
    a.q('Is the leek and potato dish safe for somebody who cannot have dairy?', 'no, it has milk (yes)', 'Milk', 'Leek and potato soup', 'yes')

    # 6 German minutes
    f = 'docx/protokoll_schuetzenverein.docx'
    a = At(f, 'docx')
    body = wp('Protokoll der Mitgliederversammlung', 'Heading1') + wp('Schützenverein Oberkirnach, 17. Januar 2025, Gasthaus Zum Löwen') + wp('TOP 1: Kassenbericht', 'Heading2') + wp('Die Kassiererin Frau Größl meldet einen Überschuss von 1.240 Euro, obwohl das Sommerfest verregnet war.')
    body += wp('TOP 2: Wahlen', 'Heading2') + wt([['Amt', 'Gewählt', 'Ja', 'Nein', 'Enthaltung'], ['Erste Vorsitzende', 'Annegret Füßl', '41', '3', '2'], ['Zweiter Vorsitzender', 'Jürgen Thömmes', '38', '5', '3'], ['Schriftführer', 'Ömer Yıldız', '46', '0', '0'], ['Jugendwart', 'Lotte Bärwald', '29', '11', '6']])
    body += wp('TOP 3: Verschiedenes', 'Heading2') + wp('Der Schießstand bleibt wegen Renovierung bis Pfingsten geschlossen.')
    put(f, docx(body))
    a.tog('table row with title', 'Enthaltung', 'Lotte Bärwald', '29', '11')
    a.tog('heading with its paragraph', 'TOP 3: Verschiedenes', 'bis Pfingsten geschlossen')
    a.has('special letters', 'Ömer Yıldız')
    a.q('Wie viele haben gegen die neue Betreuerin des Nachwuchses im Schützenverein gestimmt?', '11', 'Nein', 'Jugendwart', '11')

    # 7 French, hyperlink, table of contents field
    f = 'docx/guide_stagiaires_fr.docx'
    a = At(f, 'docx')
    toc = wp('<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText xml:space="preserve"> TOC \\o "1-2" \\h \\z \\u </w:instrText></w:r><w:r><w:fldChar w:fldCharType="separate"/></w:r>' + wr('Accueil\t2')) + wp(wr('Horaires\t3') + '<w:r><w:fldChar w:fldCharType="end"/></w:r>')
    body = wp('Guide des stagiaires', 'Title') + toc + wp('Accueil', 'Heading1') + wp(wr('Le premier matin, présentez-vous à la loge avec une pièce d’identité. Le formulaire se trouve sur ') + '<w:hyperlink r:id="rl1">%s</w:hyperlink>' % wr('la page des ressources humaines') + wr(' et doit être signé deux fois.'))
    body += wp('Horaires', 'Heading1') + wp('Les stagiaires commencent à neuf heures et quart; le vendredi, l’atelier ferme à seize heures.') + wp('Indemnités', 'Heading2') + wt([['Durée du stage', 'Indemnité mensuelle', 'Titres-repas'], ['moins de deux mois', 'aucune', 'oui'], ['deux à quatre mois', '640 €', 'oui'], ['plus de quatre mois', '715 €', 'non']])
    put(f, docx(body, links=[('rl1', 'https://rh.exemple.fr/stages')]))
    a.has('text of a hyperlink within a sentence', 'la page des ressources humaines')
    a.no('field code', '\\h \\z')
    a.tog('table row with title', 'Indemnité mensuelle', 'plus de quatre mois', '715 €')
    a.tog('heading with its paragraph', 'Horaires', 'le vendredi, l’atelier ferme à seize heures')
    a.q('Combien touche par mois une personne qui fait un stage de cinq mois ?', '715 €', 'Indemnité mensuelle', 'plus de quatre mois', '715 €')

    # 8 DOCX without suffix
    f = 'misc/COVER_LETTER'
    a = At(f, 'docx (no suffix)')
    put(f, docx(wp('Application for the post of head gardener', 'Heading1') + wp('For the last six years I have looked after the walled garden at Quenby Hall, where I grafted forty old pear sorts.') + wp('My notice period is ten weeks.')))
    a.has('DOCX without a suffix', 'where I grafted forty old pear sorts')
    a.no('no zip bytes', 'word/document.xml')


# ---------------------------------------------------------------- XLSX, XLS, ODS
import xlsxwriter


def book(name, build):
    b = io.BytesIO()
    w = xlsxwriter.Workbook(b, {'in_memory': True})
    w.set_properties({'created': dt.datetime(2025, 3, 14)})
    build(w)
    w.close()
    put(name, b.getvalue())


def rowsat(ws, r, c, rows, fmt=None, head=None):
    for i, row in enumerate(rows):
        for j, v in enumerate(row):
            fm = head if i == 0 else (fmt or {}).get(j)
            if v is None:
                continue
            if isinstance(v, (dt.date, dt.datetime, dt.time)):
                ws.write_datetime(r + i, c + j, v, fm)
            elif isinstance(v, tuple):
                ws.write_formula(r + i, c + j, v[0], fm, v[1])
            else:
                ws.write(r + i, c + j, v, fm)


def make_sheets():
    D = dt.date
    f = 'xlsx/choir_budget_2025.xlsx'
    a = At(f, 'xlsx')
    def b(w):
        bold, pc, da = w.add_format({'bold': 1}), w.add_format({'num_format': '0%'}), w.add_format({'num_format': 'yyyy-mm-dd'})
        s = w.add_worksheet('Income'); s.merge_range('A1:D1', 'Choir of St Brannoc: income 2025', bold)
        rowsat(s, 2, 0, [['Source', 'Planned', 'Received', 'Share received'], ['Subscriptions', 4200, 3990, ('=C4/B4', 0.95)], ['Ticket sales', 2600, 1950, ('=C5/B5', 0.75)], ['Donations', 800, 1040, ('=C6/B6', 1.3)], ['Total', ('=SUM(B4:B6)', 7600), ('=SUM(C4:C6)', 6980), None]], {3: pc}, bold)
        s = w.add_worksheet('Spending'); s.merge_range('A1:E1', 'Choir of St Brannoc: spending 2025', bold)
        rowsat(s, 2, 0, [['Purpose', 'Supplier', 'Paid on', 'Amount', 'Budget line'], ['Sheet music Fauré Requiem', 'Novalis Scores', D(2025, 1, 23), 312, 'Music'], ['Hall hire spring', 'Town Council', D(2025, 2, 14), 480, 'Venue'], ['Hall hire autumn', 'Town Council', D(2025, 9, 19), 510, 'Venue'],
                         ['Organ tuning', 'Pell and Sons', D(2025, 3, 6), 265, 'Instruments'], ['Soloist fee', 'Ines Barreto', D(2025, 4, 11), 700, 'Artists'], ['Soloist travel', 'Ines Barreto', D(2025, 4, 12), 138, 'Artists']], {2: da}, bold)
        s = w.add_worksheet('lookup'); rowsat(s, 0, 0, [['code', 'meaning'], ['V', 'Venue']]); s.hide()
    book(f, b)
    a.tog('row of first sheet with title', 'Planned', 'Received', 'Ticket sales', '2600', '1950')
    a.tog('percentage from cached formula', 'Share received', 'Subscriptions', '95%')
    a.has('cached value of SUM', '6980')
    a.no('formula text in place of value', 'SUM(C4')
    a.tog('date cell as a date', 'Paid on', 'Organ tuning', '2025-03-06')
    a.no('date serial number', '45722')
    a.tog('merged title over the table', 'spending 2025', 'Soloist fee', '700')
    a.seq('sheets in order', 'Ticket sales', 'Organ tuning')
    a.q('On what day in 2025 did the singers settle the bill for having the pipes of the organ adjusted?', '2025-03-06', 'Paid on', 'Organ tuning', '2025-03-06')
    a.q('What did the choir pay for the room in the autumn of 2025?', '510', 'Amount', 'Hall hire autumn', '510')

    f = 'xlsx/choir_budget_2024.xlsx'  # look-alike of the year before
    a = At(f, 'xlsx')
    def b(w):
        bold, da = w.add_format({'bold': 1}), w.add_format({'num_format': 'yyyy-mm-dd'})
        s = w.add_worksheet('Spending'); s.merge_range('A1:E1', 'Choir of St Brannoc: spending 2024', bold)
        rowsat(s, 2, 0, [['Purpose', 'Supplier', 'Paid on', 'Amount', 'Budget line'], ['Sheet music Bruckner motets', 'Novalis Scores', D(2024, 1, 19), 187, 'Music'], ['Hall hire spring', 'Town Council', D(2024, 2, 16), 455, 'Venue'], ['Hall hire autumn', 'Town Council', D(2024, 9, 20), 495, 'Venue'],
                         ['Organ tuning', 'Pell and Sons', D(2024, 3, 7), 250, 'Instruments'], ['Soloist fee', 'Hugh Marchetti', D(2024, 4, 12), 650, 'Artists']], {2: da}, bold)
    book(f, b)
    a.tog('row with title, look-alike file', 'Supplier', 'Amount', 'Soloist fee', 'Hugh Marchetti', '650')
    a.q('Which singer from outside did the choir engage in 2024?', 'Hugh Marchetti', 'Supplier', 'Soloist fee', 'Hugh Marchetti')

    f = 'xlsx/branch_sales_c7.xlsx'
    a = At(f, 'xlsx')
    def b(w):
        bold = w.add_format({'bold': 1}); s = w.add_worksheet('Q1')
        s.write('A1', 'Umber and Teal, paint shops'); s.write('A2', 'Figures are provisional until the auditors have signed'); s.write('C5', 'Litres of emulsion sold, first quarter 2025', bold)
        rowsat(s, 6, 2, [['Branch', 'Manager', 'January', 'February', 'March'], ['Ashby', 'K. Lomas', 1210, 1185, 1402], ['Corley', 'D. Njoroge', 988, 1033, 1151], ['Dunmere', 'S. Vint', 1544, 1390, 1671], ['Fosse Park', 'A. Brzezicki', 702, 655, 819]], None, bold)
        s.write('C13', 'Fosse Park was closed for one week in February.')
        s2 = w.add_worksheet('Q2'); s2.write('C5', 'Litres of emulsion sold, second quarter 2025', bold)
        rowsat(s2, 6, 2, [['Branch', 'Manager', 'April', 'May', 'June'], ['Ashby', 'K. Lomas', 1333, 1479, 1502], ['Corley', 'D. Njoroge', 1092, 1127, 1206], ['Dunmere', 'T. Achebe', 1498, 1617, 1733], ['Fosse Park', 'A. Brzezicki', 871, 940, 967]], None, bold)
    book(f, b)
    a.tog('table that starts at C7', 'Branch', 'February', 'Corley', '1033')
    a.tog('title above the table', 'first quarter 2025', 'Dunmere', '1544')
    a.tog('same branch on second sheet', 'Manager', 'June', 'Dunmere', 'T. Achebe', '1733')
    a.has('note under the table', 'Fosse Park was closed for one week in February')
    a.has('note above the table', 'provisional until the auditors have signed')
    a.q('Who ran the Dunmere paint outlet in spring, in the April-to-June figures?', 'T. Achebe', 'Manager', 'Dunmere', 'T. Achebe')

    f = 'xlsx/class_timetable_merged.xlsx'
    a = At(f, 'xlsx')
    def b(w):
        s = w.add_worksheet('Class 8B'); s.merge_range('A1:E1', 'Timetable of class 8B, from 3 February 2025')
        rowsat(s, 1, 0, [['Day', 'Lesson', 'Subject', 'Teacher', 'Room']])
        for i, (day, ls) in enumerate([('Monday', [('Physics', 'Ms Dhillon', 'S14'), ('French', 'M. Pruvost', 'L3'), ('Games', 'Mr Tait', 'Hall')]), ('Tuesday', [('Art', 'Ms Kowalczyk', 'A1'), ('Geography', 'Mr Obi', 'H7'), ('Maths', 'Dr Stenhouse', 'M2')]), ('Wednesday', [('Maths', 'Dr Stenhouse', 'M4'), ('Biology', 'Ms Dhillon', 'S12'), ('Drama', 'Mr Quill', 'Stage')])]):
            s.merge_range(2 + 3 * i, 0, 4 + 3 * i, 0, day)
            for j, (x, t, r) in enumerate(ls):
                for k, v in enumerate((j + 1, x, t, r)):
                    s.write(2 + 3 * i + j, 1 + k, v)
    book(f, b)
    a.tog('vertically merged day with its row', 'Wednesday', 'Drama', 'Mr Quill', 'Stage')
    a.seq('rows in order', 'Physics', 'Geography', 'Drama')
    a.q('In which room does class 8B learn about maps and countries?', 'H7', 'Room', 'Geography', 'H7')

    f = 'xlsx/ambulance_rota_dates.xlsx'
    a = At(f, 'xlsx')
    names = ['Ines Falk', 'Tom Redfearn', 'Yusuf Demir', 'Clara Boateng', 'Piotr Wilk', 'Hanne Sorensen', 'Liam Quaid']
    def b(w):
        da, ti = w.add_format({'num_format': 'yyyy-mm-dd'}), w.add_format({'num_format': 'hh:mm'})
        s = w.add_worksheet('Rota'); r = random.Random(5)
        rows = [['Date', 'Starts', 'Driver', 'Second', 'Vehicle']]
        for i in range(120):
            rows.append([D(2025, 3, 1) + dt.timedelta(days=i), dt.time(7 + 6 * (i % 2), 30 if i % 3 else 15), names[i % 7], names[(i * 3 + 1) % 7 if (i * 3 + 1) % 7 != i % 7 else (i + 2) % 7], 'Unit %d' % r.randint(1, 9)])
        b.rows = rows
        rowsat(s, 0, 0, rows, {0: da, 1: ti})
    book(f, b)
    x, y = b.rows[45], b.rows[111]
    ds = lambda d: d.isoformat()
    a.tog('date in its number format, long sheet', 'Driver', ds(x[0]), x[2], x[4])
    a.tog('title row with row 111', 'Vehicle', 'Second', ds(y[0]), y[3], y[4])
    a.no('date serial number', str((x[0] - D(1899, 12, 30)).days))
    a.no('time as day fraction', '0.3125')
    a.once('row not repeated', ds(y[0]))
    a.q('Who is behind the wheel of the ambulance on the nineteenth of June 2025?', b.rows[111][2] if y[0] == D(2025, 6, 19) else [z for z in b.rows[1:] if z[0] == D(2025, 6, 19)][0][2], 'Driver', '2025-06-19', [z for z in b.rows[1:] if z[0] == D(2025, 6, 19)][0][2])

    f = 'xlsx/seed_pricelist_long.xlsx'
    a = At(f, 'xlsx')
    def b(w):
        wrap = w.add_format({'text_wrap': 1}); s = w.add_worksheet('Seeds'); r = random.Random(23)
        rows = [['Order no.', 'Variety', 'Plant', 'Sow in', 'Packet holds', 'Germination']]
        pc = w.add_format({'num_format': '0%'}); k = 0
        for plant, vs in [('Tomato', 'Amberdrop Black Pearl,Corsair,Duchess,Early Lantern,Fireside'), ('Carrot', 'Amberdrop,Longfellow,Nantes Prince,Purple Rain'), ('Bean', 'Bluebell Climbing,Corsair,Hedge King,Yellow Wax'), ('Lettuce', 'Cosette,Frostproof,Green Lantern,Red Duchess'), ('Beetroot', 'Boldor Gem,Detroit Star,Fireside'), ('Pea', 'Early Onward,Hedge King,Sugar Lord')]:
            for v in vs.split(','):
                for org in ('', ' organic'):
                    k += 1
                    rows.append(['SD-%03d' % (k * 3 + 100), v + org, plant, r.choice(['February', 'March', 'April', 'May']), r.choice([25, 50, 80, 150, 300, 500]), r.randint(70, 98) / 100])
        b.rows = rows
        rowsat(s, 0, 0, rows, {5: pc})
        s.write(len(rows) + 1, 1, 'Frostproof keeps in the open\nuntil minus eight degrees', wrap)
    book(f, b)
    fb = [z for z in b.rows if z[1] == 'Fireside organic' and z[2] == 'Beetroot'][0]
    hk = [z for z in b.rows if z[1] == 'Hedge King' and z[2] == 'Pea'][0]
    a.tog('look-alike rows', 'Packet holds', fb[0], 'Fireside organic', 'Beetroot', str(fb[4]))
    a.tog('percentage cell', 'Germination', hk[0], '%d%%' % round(hk[5] * 100))
    a.has('cell with a line break', 'keeps in the open until minus eight degrees')
    a.q('What is the order code of the Hedge King that is a pea, not the bio one?', hk[0], 'Order no.', hk[0], 'Hedge King', 'Pea')
    a.q('How many seeds come in a bag of bio Fireside beet?', str(fb[4]), 'Packet holds', fb[0], 'Fireside organic', str(fb[4]))

    f = 'xlsx/期末成绩.xlsx'
    a = At(f, 'xlsx')
    def b(w):
        s = w.add_worksheet('三班'); s.merge_range('A1:E1', '初二三班期末考试成绩表')
        rowsat(s, 1, 0, [['学号', '姓名', '语文', '数学', '英语'], [80301, '欧阳晓彤', 92, 87, 95], [80302, '欧阳晓桐', 78, 96, 84], [80303, '马文博', 85, 73, 90], [80304, '司徒静怡', 89, 91, 77]])
        s = w.add_worksheet('四班'); s.merge_range('A1:E1', '初二四班期末考试成绩表')
        rowsat(s, 1, 0, [['学号', '姓名', '语文', '数学', '英语'], [80401, '韩子墨', 81, 88, 79], [80402, '马文博', 94, 68, 83]])
    book(f, b)
    a.tog('Chinese row with title', '数学', '欧阳晓桐', '96')
    a.tog('sheet title with row', '初二四班', '马文博', '68')
    a.q('三班的司徒同学外语考了多少分？', '77', '英语', '司徒静怡', '77')

    # old binary workbook
    import xlwt
    f = 'xlsx/old_orders_2004.xls'
    a = At(f, 'xls')
    w = xlwt.Workbook(); s = w.add_sheet('Orders')
    st = xlwt.easyxf(num_format_str='yyyy-mm-dd')
    for i, row in enumerate([['Order', 'Customer', 'Goods', 'Pieces', 'Shipped'], ['O-771', 'Café Müller', 'Espresso cups', 48, D(2004, 5, 3)], ['O-772', 'Hotel Adler', 'Soup plates', 120, D(2004, 5, 17)], ['O-773', 'Café Müller', 'Saucers', 60, D(2004, 6, 1)]]):
        for j, v in enumerate(row):
            s.write(i, j, v, *([st] if isinstance(v, D) else []))
    bb = io.BytesIO(); w.save(bb); put(f, bb.getvalue())
    a.tog('old XLS row with title', 'Pieces', 'Hotel Adler', 'Soup plates', '120')
    a.tog('old XLS date', 'Shipped', 'O-772', '2004-05-17')
    a.q('When did the soup crockery for the Adler leave our store?', '2004-05-17', 'Shipped', 'Hotel Adler', '2004-05-17')

    # a CSV and an HTML table called .xls
    f = 'misc/export_customers.xls'
    a = At(f, 'html (wrong suffix)')
    put(f, '<html><head><meta charset="utf-8"><style>td{mso-number-format:"\\@"}</style></head><body><table border=1><tr><th>Customer no.</th><th>Name</th><th>Town</th><th>Credit limit</th></tr><tr><td>00417</td><td>Bäckerei Sommer</td><td>Lindau</td><td>1500</td></tr><tr><td>00471</td><td>Bäckerei Winter</td><td>Lindau</td><td>2500</td></tr></table></body></html>')
    a.tog('HTML table called .xls', 'Credit limit', '00471', 'Bäckerei Winter', '2500')
    a.no('style sheet', 'mso-number-format')
    a.q('Up to what sum may the bakery with customer number 471 buy on account?', '2500', 'Credit limit', '00471', '2500')

    # ODS
    NSO = ' '.join('xmlns:%s="urn:oasis:names:tc:opendocument:xmlns:%s:1.0"' % x for x in [('office', 'office'), ('table', 'table'), ('text', 'text'), ('style', 'style'), ('number', 'datastyle')]) + ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:of="urn:oasis:names:tc:opendocument:xmlns:of:1.2" office:version="1.2"'
    def odf(mime, body):
        return zipbytes([('mimetype', mime), ('content.xml', XH + '<office:document-content %s><office:body>%s</office:body></office:document-content>' % (NSO, body)),
                         ('META-INF/manifest.xml', XH + '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0" manifest:version="1.2"><manifest:file-entry manifest:full-path="/" manifest:media-type="%s"/><manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/></manifest:manifest>' % mime)], True)
    make_sheets.odf = odf
    def cell(v):
        if v is None: return '<table:table-cell/>'
        if isinstance(v, D): return '<table:table-cell office:value-type="date" office:date-value="%s"><text:p>%s</text:p></table:table-cell>' % (v.isoformat(), v.isoformat())
        if isinstance(v, tuple): return '<table:table-cell office:value-type="%s" office:value="%s"%s><text:p>%s</text:p></table:table-cell>' % (v[0], v[1], v[3] if len(v) > 3 else '', v[2])
        if isinstance(v, int): return '<table:table-cell office:value-type="float" office:value="%d"><text:p>%d</text:p></table:table-cell>' % (v, v)
        return '<table:table-cell office:value-type="string"><text:p>%s</text:p></table:table-cell>' % esc(v)
    def tab(name, rows): return '<table:table table:name="%s"><table:table-column table:number-columns-repeated="8"/>%s<table:table-row table:number-rows-repeated="1048000"><table:table-cell table:number-columns-repeated="1024"/></table:table-row></table:table>' % (name, ''.join('<table:table-row>%s</table:table-row>' % (r if isinstance(r, str) else ''.join(cell(c) for c in r)) for r in rows))
    ODS = 'application/vnd.oasis.opendocument.spreadsheet'
    f = 'ods/village_library_loans.ods'
    a = At(f, 'ods')
    put(f, odf(ODS, '<office:spreadsheet>%s</office:spreadsheet>' % (tab('Loans', [['Book', 'Borrower', 'Due back', 'Fine'], ['The Salt Path', 'E. Moss', D(2025, 4, 2), ('currency', '0.4', '0.40 £')], ['The Salt Road', 'J. Moss', D(2025, 4, 9), ('currency', '0', '0.00 £')],
                '<table:table-cell office:value-type="string"><text:p>Atlas of Bogs</text:p></table:table-cell><table:table-cell table:number-columns-repeated="1" office:value-type="string"><text:p>V. Cardew</text:p></table:table-cell>' + cell(D(2025, 3, 19)) + cell(('currency', '1.8', '1.80 £'))]) +
               tab('Lost', ['<table:table-cell table:number-columns-spanned="3" office:value-type="string"><text:p>Books written off in 2024</text:p></table:table-cell><table:covered-table-cell table:number-columns-repeated="2"/>', ['Book', 'Reason', 'Value'], ['Knots for Children', 'chewed by a dog', 7], ['Home Brewing', 'never returned', 12]]))))
    a.tog('ODS row with title', 'Due back', 'The Salt Road', 'J. Moss', '2025-04-09')
    a.tog('ODS second sheet', 'Reason', 'Knots for Children', 'chewed by a dog')
    a.tog('ODS merged title with row', 'written off in 2024', 'Home Brewing')
    a.q('By when must J. Moss bring her volume back?', '2025-04-09', 'Due back', 'J. Moss', '2025-04-09')

    f = 'ods/gartenverein_kasse.ods'
    a = At(f, 'ods')
    rep = '<table:table-cell table:number-columns-repeated="3" office:value-type="float" office:value="55"><text:p>55</text:p></table:table-cell>'
    put(f, odf(ODS, '<office:spreadsheet>%s</office:spreadsheet>' % tab('Beiträge', [['Parzelle', 'Pächter', 'Beitrag 2022', 'Beitrag 2023', 'Beitrag 2024', 'Wasser'], cell('P 07') + cell('Familie Schröter') + rep + cell(19), ['P 08', 'Familie Schröder', 60, 65, 70, 23], ['P 09', 'Hr. Nguyen', 48, 52, 56, 31], ['Summe', None, ('float', '163', '163', ' table:formula="of:=SUM([.C2:.C4])"'), ('float', '172', '172', ' table:formula="of:=SUM([.D2:.D4])"'), 181, 73]])))
    a.tog('repeated cell written out', 'Beitrag 2024', 'Familie Schröter', '55', '19')
    a.tog('row with title', 'Wasser', 'Familie Schröder', '23')
    a.no('ODS formula text', 'SUM([')


# ---------------------------------------------------------------- CSV, TSV
def make_csv():
    import csv
    def rows2(rows, **kw):
        b = io.StringIO(newline=''); csv.writer(b, **kw).writerows(rows); return b.getvalue()
    f = 'csv/mitglieder_semikolon.csv'
    a = At(f, 'csv')
    put(f, rows2([['Nr', 'Name', 'Ort', 'Eintritt', 'Beitrag'], ['101', 'Müller, Jörg', 'Gößweinstein', '01.03.2011', '48,00'], ['102', 'Möller, Jörg', 'Pottenstein', '15.07.2016', '36,00'], ['103', 'Strauß, Änne', 'Ebermannstadt', '30.09.2019', '48,00'], ['104', 'Straub, Anne', 'Gößweinstein', '02.01.2023', '24,00']], delimiter=';'), 'cp1252')
    a.tog('semicolon CSV in Windows-1252', 'Eintritt', 'Möller, Jörg', 'Pottenstein', '15.07.2016')
    a.no('replacement characters', '\ufffd')
    a.no('wrong decoding', 'MÃ¶ller')

    f = 'csv/guest_survey_linebreaks.csv'
    a = At(f, 'csv')
    put(f, rows2([['Room', 'Stay', 'Stars', 'Comment', 'Answered by'], ['12', 'May', '4', 'Lovely view.\nThe shower dripped all night,\nplease see to it.', 'Bridget'], ['14', 'May', '2', 'He said "never again"; the lift, too, was broken', 'Oswald'], ['21', 'June', '5', 'Breakfast until noon!\n\nWe shall return.', 'Bridget'], ['22', 'June', '3', 'Noise from the bar, though the staff were kind', 'Oswald']]))
    a.has('cell with line breaks', 'The shower dripped all night, please see to it')
    a.tog('row with a cell of several lines', 'Answered by', 'We shall return', '21', 'Bridget')
    a.tog('doubled quotes', 'Comment', '"never again"; the lift, too, was broken', 'Oswald')
    a.no('doubled quotes resolved', '""never again""')
    a.q('Which of our colleagues replied to the guest whose shower leaked?', 'Bridget', 'Answered by', 'dripped', 'Bridget')

    f = 'csv/webshop_orders_bom.csv'
    a = At(f, 'csv')
    r = random.Random(3)
    rows = [['order_id', 'ordered', 'customer', 'product', 'qty', 'status']]
    cust = ['Wren Aldous', 'Ren Aldous', 'Mina Castell', 'Oskar Dahl', 'Priya Raman', 'Toby Finch', 'Uma Ghent', 'Noel Hartog']
    prod = ['lamp oil 1 l', 'lamp oil 5 l', 'wick flat 22 mm', 'wick round 5 mm', 'glass chimney clear', 'glass chimney amber', 'brass burner']
    for i in range(150):
        rows.append(['W%05d' % (7000 + i * 7), '2025-%02d-%02d' % (1 + i // 28 % 6, 1 + i % 28), cust[r.randrange(8)], prod[r.randrange(7)], str(r.randint(1, 12)), r.choice(['sent', 'sent', 'sent', 'returned', 'open'])])
    rows[88][2:] = ['Ren Aldous', 'glass chimney amber', '17', 'returned']
    put(f, b'\xef\xbb\xbf' + rows2(rows).encode())
    a.tog('BOM before title row', 'order_id', rows[3][0], rows[3][2])
    a.no('BOM in text', '\ufeff')
    a.tog('title row with a late row', 'status', rows[140][0], rows[140][3], rows[140][5])
    a.tog('title row with a middle row', 'qty', rows[88][0], '17')
    a.once('row not repeated', rows[120][0])
    a.q('What happened to the big order of seventeen amber lamp glasses?', 'returned', 'status', '17', 'glass chimney amber', 'returned')

    f = 'csv/greenhouse_sensor_log.tsv'
    a = At(f, 'tsv')
    rows = [['time', 'house', 'temp_c', 'humidity_pct', 'vent', 'note']]
    for i in range(60):
        rows.append(['2025-06-%02dT%02d:00' % (10 + i // 24, i % 24), 'ABC'[i % 3], '%.1f' % (17 + (i * 7 % 13) + i % 10 / 10), str(50 + i * 11 % 40), 'open' if i % 5 else 'shut', ''])
    rows[34][5] = 'fan belt snapped'; rows[51][5] = 'fan belt replaced'
    put(f, '\n'.join('\t'.join(x) for x in rows) + '\n')
    a.tog('TSV row with title', 'humidity_pct', rows[34][0], 'fan belt snapped')
    a.seq('rows in order', 'fan belt snapped', 'fan belt replaced')
    a.q('How warm was it under glass in the hour when the belt of the ventilator tore?', rows[34][2], 'temp_c', 'fan belt snapped', rows[34][2])

    f = 'csv/bank_statement_preface.csv'
    a = At(f, 'csv')
    put(f, 'Account statement;Penrose Savings Bank\nAccount;Netball League Treasurer\nPeriod;01/02/2025 - 28/02/2025\n\nDate;Payee;Reference;Debit;Credit\n03/02/2025;Fenwick Sports;INV 5512 nets;118.40;\n07/02/2025;Teams;entry fees;;640.00\n12/02/2025;Leisure Centre;court hire wk 6;92.00;\n19/02/2025;Leisure Centre;court hire wk 7;94.50;\n26/02/2025;Fenwick Sports;INV 5560 whistles;31.75;\n')
    a.tog('title row after preface lines', 'Debit', 'court hire wk 7', '94.50')
    a.has('preface lines kept', 'Netball League Treasurer')
    a.q('What did renting the court in the seventh week cost the netball league?', '94.50', 'Debit', 'court hire wk 7', '94.50')

    f = 'csv/宿舍名单_gb18030.csv'
    a = At(f, 'csv')
    put(f, rows2([['房间号', '姓名', '学院', '床位', '联系电话'], ['A301', '诸葛明轩', '机械工程学院', '靠窗上铺', '分机7102'], ['A301', '钟离雪', '外国语学院', '靠门下铺', '分机7103'], ['A302', '诸葛明煊', '化学学院', '靠窗下铺', '分机7115'], ['B110', '郭䶮', '历史学院', '靠门上铺', '分机7230']]), 'gb18030')
    a.tog('GB18030 CSV row with title', '床位', '诸葛明煊', '靠窗下铺')
    a.has('sign outside GBK', '郭䶮')
    a.q('化学系那位诸葛同学睡哪个铺？', '靠窗下铺', '床位', '诸葛明煊', '靠窗下铺')


# ---------------------------------------------------------------- PPTX
def make_pptx():
    from pptx import Presentation
    from pptx.util import Inches, Pt
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE
    def save(p, name):
        b = io.BytesIO(); p.core_properties.created = p.core_properties.modified = dt.datetime(2025, 3, 14, 9, 30)
        p.save(b); put(name, rezip(b.getvalue()))
    def slide(p, title, lay=5):
        s = p.slides.add_slide(p.slide_layouts[lay]); s.shapes.title.text = title; return s
    def table(s, rows, top=2):
        t = s.shapes.add_table(len(rows), len(rows[0]), Inches(0.5), Inches(top), Inches(9), Inches(2)).table
        for i, r in enumerate(rows):
            for j, v in enumerate(r):
                t.cell(i, j).text = v
        return t
    f = 'pptx/quarterly_review_bakery.pptx'
    a = At(f, 'pptx')
    p = Presentation()
    s = p.slides.add_slide(p.slide_layouts[0]); s.shapes.title.text = 'Crumb and Crust: quarter one'; s.placeholders[1].text = 'Staff meeting, 11 April 2025'
    s = slide(p, 'Loaves per shop'); table(s, [['Shop', 'Manager', 'Loaves sold', 'Thrown away'], ['Harbour Street', 'Nell Ivory', '18,420', '611'], ['Market Row', 'Sunil Bhatt', '22,057', '1,304'], ['Station Arcade', 'Gwen Pardoe', '15,993', '278']])
    s.notes_slide.notes_text_frame.text = 'Do not blame Sunil in the meeting: the oven at Market Row was out of order for twelve days.'
    s = slide(p, 'Flour prices'); cd = CategoryChartData(); cd.categories = ['Rye', 'Spelt', 'Durum']; cd.add_series('Euro per sack', (31, 58, 44))
    ch = s.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, Inches(1), Inches(2), Inches(7), Inches(4), cd).chart
    ch.has_title = True; ch.chart_title.text_frame.text = 'What our mills charged in March'
    s = slide(p, 'Next steps', 1); tf = s.placeholders[1].text_frame; tf.text = 'Buy a second mixer'
    for t, l in [('quotes from two dealers', 1), ('decision in May', 1), ('Open the shop on Sundays', 0), ('trial at Station Arcade only', 1)]:
        q = tf.add_paragraph(); q.text = t; q.level = l
    save(p, f)
    a.tog('slide table row with title', 'Thrown away', 'Market Row', 'Sunil Bhatt', '1,304')
    a.tog('slide title with table', 'Loaves per shop', 'Station Arcade', '15,993')
    a.has('speaker notes', 'the oven at Market Row was out of order for twelve days')
    a.has('chart title', 'What our mills charged in March')
    a.tog('chart category with its slide', 'Flour prices', 'Spelt')
    a.tog('bullets with slide title', 'Next steps', 'trial at Station Arcade only')
    a.seq('slides in order', 'Staff meeting', 'Harbour Street', 'Flour prices', 'Buy a second mixer')
    a.q('How much bread did the bakery bin at the arcade by the station?', '278', 'Thrown away', 'Station Arcade', '278')
    a.q('For how long could they not bake at Market Row?', 'twelve days', 'Market Row', 'twelve days')

    f = 'pptx/volcano_lesson_groups.pptx'
    a = At(f, 'pptx')
    p = Presentation()
    s = slide(p, 'Inside a volcano')
    g = s.shapes.add_group_shape()
    for i, t in enumerate(['Magma chamber, four kilometres down', 'Conduit', 'Side vent with cinder cone']):
        tb = g.shapes.add_textbox(Inches(1), Inches(2 + i), Inches(4), Inches(0.6)); tb.text_frame.text = t
    g2 = g.shapes.add_group_shape(); tb = g2.shapes.add_textbox(Inches(6), Inches(3), Inches(3), Inches(1)); tb.text_frame.text = 'Ash cloud drifts to leeward'
    s = slide(p, 'Kinds of lava', 1); s.placeholders[1].text_frame.text = 'Pahoehoe is smooth and ropy'
    q = s.placeholders[1].text_frame.add_paragraph(); q.text = 'Aa is rough and cuts boots'
    s.notes_slide.notes_text_frame.text = 'Pass round the sample from Lanzarote; the pupils may touch it with gloves.'
    s = slide(p, 'Three eruptions'); table(s, [['Mountain', 'Year', 'Height of plume', 'Villages cleared'], ['Mount Terwick', '1911', '9 km', '3'], ['Mount Tarwick', '1987', '14 km', '11'], ['Pico Alto', '1987', '6 km', 'none']])
    s = p.slides.add_slide(p.slide_layouts[6]); tb = s.shapes.add_textbox(Inches(1), Inches(1), Inches(8), Inches(1)); tb.text_frame.text = 'Homework: draw a section of Pico Alto and label five parts.'
    save(p, f)
    a.tog('grouped shapes on a slide', 'Inside a volcano', 'Magma chamber, four kilometres down', 'Side vent with cinder cone')
    a.has('group in a group', 'Ash cloud drifts to leeward')
    a.has('speaker notes', 'Pass round the sample from Lanzarote')
    a.tog('look-alike rows', 'Villages cleared', 'Mount Tarwick', '1987', '11')
    a.has('slide without a title', 'draw a section of Pico Alto and label five parts')
    a.once('slide text once', 'Aa is rough and cuts boots')
    a.q('How high did the dust rise when Mount Terwick went off, the one with an e?', '9 km', 'Height of plume', 'Mount Terwick', '9 km')

    f = 'pptx/项目启动会.pptx'
    a = At(f, 'pptx')
    p = Presentation()
    s = slide(p, '仓库搬迁项目分工'); table(s, [['负责人', '任务', '截止日期'], ['尉迟敏', '签订新仓库租约', '五月十日'], ['宇文浩', '采购货架与叉车', '六月一日'], ['宇文皓', '迁移库存系统', '六月十五日']])
    s.notes_slide.notes_text_frame.text = '提醒大家：旧仓库的押金要到七月底才退。'
    save(p, f)
    a.tog('Chinese slide table', '截止日期', '宇文皓', '迁移库存系统', '六月十五日')
    a.has('Chinese notes', '旧仓库的押金要到七月底才退')
    a.q('叉车由谁去买，什么时候之前买好？', '宇文浩，六月一日', '负责人', '宇文浩', '六月一日')

    f = 'pptx/recyclage_atelier_fr.pptx'
    a = At(f, 'pptx')
    p = Presentation()
    s = slide(p, 'Que jeter où ?'); t = table(s, [['Déchet', 'Bac', 'Remarque'], ['Pot de yaourt', 'jaune', 'vider sans laver'], ['Bocal en verre', 'vert', 'enlever le couvercle'], ['Coquille d’œuf', 'brun', 'écraser d’abord'], ['Pour tout le reste : demander au gardien', '', '']])
    t.cell(4, 0).merge(t.cell(4, 2))
    s = slide(p, 'Calendrier', 1); s.placeholders[1].text_frame.text = 'Le bac brun passe le mardi, une semaine sur deux'
    save(p, f)
    a.tog('French slide table', 'Bac', 'Coquille d’œuf', 'brun', 'écraser d’abord')
    a.has('merged row of a slide table', 'demander au gardien')


# ---------------------------------------------------------------- ODT, RTF, EPUB
def make_text_docs():
    odf = make_sheets.odf
    ODT = 'application/vnd.oasis.opendocument.text'
    H = lambda t, l=1: '<text:h text:outline-level="%d">%s</text:h>' % (l, t)
    T = lambda t: '<text:p>%s</text:p>' % t
    TB = lambda rows: '<table:table table:name="T"><table:table-column table:number-columns-repeated="%d"/><table:table-header-rows><table:table-row>%s</table:table-row></table:table-header-rows>%s</table:table>' % (
        len(rows[0]), ''.join('<table:table-cell>%s</table:table-cell>' % T(c) for c in rows[0]), ''.join('<table:table-row>%s</table:table-row>' % ''.join('<table:table-cell>%s</table:table-cell>' % T(c) for c in r) for r in rows[1:]))
    f = 'odt/bicycle_repair_course.odt'
    a = At(f, 'odt')
    put(f, odf(ODT, '<office:text>' + H('Bicycle repair for beginners') + T('Hand-out of the evening class, third evening') + H('Mending a puncture', 2) + T('You will need') +
               '<text:list><text:list-item>%s</text:list-item><text:list-item>%s<text:list><text:list-item>%s</text:list-item></text:list></text:list-item></text:list>' % (T('two plastic tyre levers'), T('a patch kit'), T('glass paper, grain one hundred')) +
               T('Find the hole by holding the tube under water<text:note text:id="n1" text:note-class="footnote"><text:note-citation>1</text:note-citation><text:note-body>%s</text:note-body></text:note>; mark it with<text:s text:c="1"/>yellow<text:tab/>chalk.' % T('Spit on the valve first: it is the valve in one case out of five.')) +
               H('Setting the chain', 2) + T('The chain may sag by<text:span> two</text:span><text:span> centimetres</text:span> at most. A worn one is thrown away.') +
               H('Tightening torque', 2) + TB([['Part', 'Thread', 'Newton metres'], ['Seat post clamp', 'M6', '7'], ['Stem bolt', 'M5', '5'], ['Crank bolt', 'M8', '38'], ['Brake lever', 'M5', '6']]) + '</office:text>'))
    a.tog('ODT list item with lead-in', 'You will need', 'two plastic tyre levers')
    a.has('ODT nested list item', 'glass paper, grain one hundred')
    a.has('ODT footnote', 'it is the valve in one case out of five')
    a.has('ODT spans joined', 'may sag by two centimetres at most')
    a.has('ODT space and tab elements', 'mark it with yellow chalk')
    a.tog('ODT table row with title', 'Newton metres', 'Crank bolt', '38')
    a.tog('ODT heading with its paragraph', 'Setting the chain', 'A worn one is thrown away')
    a.q('How hard do I tighten the screw that holds the pedal arm?', '38 newton metres', 'Newton metres', 'Crank bolt', '38')

    f = 'odt/acta_comunidad_vecinos.odt'
    a = At(f, 'odt')
    put(f, odf(ODT, '<office:text><text:tracked-changes><text:changed-region text:id="ct1"><text:deletion><office:change-info><dc:creator>Rosa</dc:creator><dc:date>2025-02-01T10:00:00</dc:date></office:change-info>%s</text:deletion></text:changed-region></text:tracked-changes>' % T('con cargo al fondo de reserva') +
               H('Acta de la junta de vecinos') + T('Calle del Almendro 14, 30 de enero de 2025') + H('Punto primero: ascensor', 2) + T('Se aprueba cambiar el motor del ascensor<text:change text:change-id="ct1"/> por once votos a favor y dos en contra.') +
               H('Punto segundo: derramas', 2) + TB([['Piso', 'Propietario', 'Cuota', 'Pendiente'], ['1.º A', 'Sra. Ibáñez', '120 €', '0 €'], ['1.º B', 'Sr. Núñez', '120 €', '240 €'], ['2.º A', 'Sra. Núñez', '135 €', '135 €']]) +
               H('Ruegos y preguntas', 2) + T('La señora Ibáñez se queja del ruido de la azotea después de medianoche.') + '</office:text>'))
    a.has('sentence around a tracked deletion', 'cambiar el motor del ascensor por once votos a favor')
    a.no('ODT tracked deletion', 'fondo de reserva')
    a.tog('row with title', 'Pendiente', 'Sr. Núñez', '240 €')
    a.tog('heading with its paragraph', 'Ruegos y preguntas', 'ruido de la azotea')
    a.q('¿Cuánto debe todavía la vecina del segundo A?', '135 €', 'Pendiente', 'Sra. Núñez', '135 €')

    f = 'rtf/parents_letter_trip.rtf'
    a = At(f, 'rtf')
    row = lambda cells: r'\trowd\cellx2500\cellx5000\cellx7500\pard\intbl ' + ''.join(c + r'\cell ' for c in cells) + '\\row\n'
    put(f, '{\\rtf1\\ansi\\ansicpg1252\\deff0{\\fonttbl{\\f0\\fswiss Arial;}{\\f1\\froman Times New Roman;}}{\\colortbl;\\red200\\green0\\blue0;}{\\stylesheet{\\s1 heading 1;}}{\\info{\\title Trip}{\\author Office}}\n'
        '{\\*\\generator Corpuswriter;}\\pard\\s1\\b\\fs32 Class trip to the Jurassic coast\\b0\\fs22\\par\n'
        '\\pard Dear parents,\\line the coach leaves the school yard at 7.20 sharp on Thursday, 5 June. The caf\\\'e9 at Ch\\u226?teau Point sells crisps only\\emdash please pack a \\ul proper\\ulnone  lunch.\\par\n'
        '\\pard Children with hay fever bring their own tablets\\rquote  leaflet.\\par\\pard\\par\n' + row(['Coach', 'Classes', 'Teacher in charge']) + row(['A', '5a and 5b', 'Mrs Zo\\\'eb Hartnoll']) + row(['B', '5c', 'Mr Idris Bevan']) + row(['C', '6a', 'Miss Fay Underhill']) +
        '\\pard{\\pict\\pngblip\\picw10\\pich10 ' + png_text(['x'], width=60).hex() + '}\\par\nThe cost is fourteen pounds and eighty pence. {\\v hidden remark for the office}\\par}', 'ascii')
    a.has('RTF hex and unicode escapes', 'The café at Château Point sells crisps only')
    a.tog('RTF table row with title', 'Teacher in charge', '5a and 5b', 'Mrs Zoë Hartnoll')
    a.no('RTF control words', '\\intbl')
    a.no('RTF font table', 'Times New Roman')
    a.no('RTF picture bytes', '89504e47')
    a.has('RTF sentence', 'the coach leaves the school yard at 7.20 sharp')
    a.q('Which grown-up rides with the 5c children?', 'Mr Idris Bevan', 'Teacher in charge', '5c', 'Mr Idris Bevan')

    f = 'rtf/tarifs_piscine_fr.rtf'
    a = At(f, 'rtf')
    put(f, '{\\rtf1\\ansi\\ansicpg1252{\\fonttbl{\\f0 Arial;}}\\pard\\b Tarifs de la piscine municipale\\b0\\par\\pard Valables d\\\'e8s le 1er septembre. L\\rquote acc\\\'e8s est gratuit pour les moins de six ans.\\par\n' + row(['Formule', 'Plein tarif', 'Tarif r\\\'e9duit']) + row(['Entr\\\'e9e simple', '5,20 \\\'80', '3,90 \\\'80']) + row(['Carte de dix entr\\\'e9es', '44,00 \\\'80', '33,50 \\\'80']) + row(['Abonnement annuel', '310,00 \\\'80', '245,00 \\\'80']) + '}', 'ascii')
    a.tog('RTF row with euro sign', 'Tarif réduit', 'Carte de dix entrées', '33,50 €')
    a.has('RTF accents', 'gratuit pour les moins de six ans')

    def epub(name, title, lang, chapters, spine):
        X = '<?xml version="1.0" encoding="utf-8"?>\n'
        files = [('mimetype', 'application/epub+zip'), ('META-INF/container.xml', X + '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'),
                 ('OEBPS/content.opf', X + '<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="id">urn:uuid:00000000-0000-4000-8000-%012d</dc:identifier><dc:title>%s</dc:title><dc:language>%s</dc:language><meta property="dcterms:modified">2025-03-14T09:30:00Z</meta></metadata><manifest><item id="css" href="style.css" media-type="text/css"/><item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>%s</manifest><spine>%s</spine></package>' % (
                     len(title), title, lang, ''.join('<item id="%s" href="text/%s.xhtml" media-type="application/xhtml+xml"/>' % (k, k) for k in sorted(chapters)), ''.join('<itemref idref="%s"/>' % k for k in spine))),
                 ('OEBPS/style.css', 'p.first { text-indent: 0; font-variant: small-caps }'),
                 ('OEBPS/nav.xhtml', X + '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"><head><title>Contents</title></head><body><nav epub:type="toc"><ol>%s</ol></nav></body></html>' % ''.join('<li><a href="text/%s.xhtml">%s</a></li>' % (k, chapters[k][0]) for k in spine))]
        for k in sorted(chapters):
            files.append(('OEBPS/text/%s.xhtml' % k, X + '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>%s</title><link rel="stylesheet" href="../style.css"/></head><body><h1>%s</h1>%s</body></html>' % (chapters[k][0], chapters[k][0], chapters[k][1])))
        put(name, zipbytes(files, True))
    f = 'epub/walking_the_marches.epub'
    a = At(f, 'epub')
    epub(f, 'Walking the Marches', 'en', {
        'a_last': ('Home by the ridge', '<p>On the fifth morning the fog lay in the valley like milk in a saucer, and I came home along the ridge with one boot tied up with string.</p>'),
        'b_first': ('Setting out', '<p class="first">I left Clun with two loaves, a map of 1902 and the wrong socks.</p><p>The inn at Newcastle had been shut since the harvest.</p>'),
        'c_mid': ('The second day', '<p>Rain. The dyke runs here between larches, and a shepherd called Emrys showed me the ford.</p><h2>Distances</h2><table><caption>Stages of the walk</caption><tr><th>Stage</th><th>Miles</th><th>Climb in feet</th></tr><tr><td>Clun to Knighton</td><td>11</td><td>1,620</td></tr><tr><td>Knighton to Kington</td><td>14</td><td>2,140</td></tr><tr><td>Kington to Hay</td><td>15</td><td>1,890</td></tr></table>')}, ['b_first', 'c_mid', 'a_last'])
    a.seq('chapters in spine order', 'two loaves, a map of 1902', 'a shepherd called Emrys', 'one boot tied up with string')
    a.tog('chapter title with text', 'Setting out', 'The inn at Newcastle had been shut since the harvest')
    a.tog('table in a chapter', 'Climb in feet', 'Knighton to Kington', '2,140')
    a.tog('caption with row', 'Stages of the walk', 'Kington to Hay', '15')
    a.no('style sheet', 'small-caps')
    a.q('How far does the walker go from Kington to Hay?', '15 miles', 'Miles', 'Kington to Hay', '15')

    f = 'epub/contes_du_marais.epub'
    a = At(f, 'epub')
    epub(f, 'Contes du marais', 'fr', {'ch10': ('Le héron avare', '<p>Un héron comptait ses grenouilles chaque soir et n’en mangeait aucune, si bien qu’il mourut de faim au-dessus de son trésor.</p>'),
         'ch2': ('La loutre et la lune', '<p>La loutre plongea sept fois pour attraper la lune et ne ramena qu’un bouton de nacre.</p>'), 'ch1': ('Préface', '<p>Ces contes m’ont été dits par ma grand-mère, batelière à Maillezais.</p>')}, ['ch1', 'ch2', 'ch10'])
    a.seq('chapters by spine, not by name', 'batelière à Maillezais', 'bouton de nacre', 'mourut de faim')
    a.tog('chapter title with text', 'La loutre et la lune', 'un bouton de nacre')
    a.once('chapter text once', 'Un héron comptait ses grenouilles')


# ---------------------------------------------------------------- HTML, MHTML
def make_html():
    f = 'html/museum_visit.html'
    a = At(f, 'html')
    put(f, '''<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Plan your visit | Clockmakers Museum</title>
<script>window.dataLayer=[];function track(){return "tracker-id-9931"}</script><style>.hero{color:#a33}</style></head><body>
<div id="cookie-banner" class="cookie-consent" role="dialog" aria-label="cookies"><p>We use cookies to improve your browsing. Accept all or manage preferences.</p><button>Accept all</button></div>
<header><nav class="main-menu"><ul><li><a href="/">Home page</a></li><li><a href="/shop">Souvenir shop</a></li><li><a href="/press">Press room</a></li><li><a href="/jobs">Vacancies</a></li></ul></nav></header>
<main><article><h1>Plan your visit</h1><p>The Clockmakers Museum stands behind the old mint. All clocks are wound on Monday, when the house is <em>closed</em> to the public.</p>
<h2>Getting here</h2><p>Take tram four to Mint Gate; the footbridge has a ramp for wheelchairs.</p><figure><img src="clock.jpg" alt="Astronomical clock with a brass moon, built in 1587"><figcaption>The great clock in the hall of wheels</figcaption></figure>
<h2>Tickets</h2><table><caption>Admission from April 2025</caption><thead><tr><th>Visitor</th><th>Weekday</th><th>Weekend</th></tr></thead><tbody><tr><td>Adult</td><td>9.00</td><td>11.50</td></tr><tr><td>Child under 14</td><td>free</td><td>3.00</td></tr><tr><td>School class</td><td>25.00</td><td>not offered</td></tr></tbody></table>
<h3>Guided tours</h3><ul><li>tower tour, at eleven, ninety steps</li><li>workshop tour, at three, bring ear plugs</li></ul></article></main>
<aside class="related">You might also like: the tin toy collection</aside><footer><p>Imprint, privacy statement and terms of use</p></footer></body></html>''')
    a.no('menu', 'Souvenir shop')
    a.no('cookie banner', 'We use cookies')
    a.no('script', 'tracker-id-9931')
    a.no('style', '.hero')
    a.has('alt text', 'Astronomical clock with a brass moon')
    a.tog('table caption with row', 'Admission from April 2025', 'Weekend', 'Child under 14', '3.00')
    a.tog('heading with text', 'Getting here', 'the footbridge has a ramp for wheelchairs')
    a.tog('list item with heading', 'Guided tours', 'workshop tour, at three, bring ear plugs')
    a.has('text with an inline element', 'All clocks are wound on Monday, when the house is')
    a.seq('main content in order', 'behind the old mint', 'Take tram four', 'School class', 'ninety steps')
    a.q('What does a kid of ten pay at the clock collection on a Saturday since spring 2025?', '3.00', 'Weekend', 'Child under 14', '3.00')

    f = 'html/museum_visit_2019.html'  # look-alike: the old page
    a = At(f, 'html')
    put(f, '''<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Plan your visit | Clockmakers Museum</title></head><body><ul class="nav navbar" role="navigation"><li><a href="/">Home page</a></li><li><a href="/cal">Calendar of events</a></li></ul>
<div role="main"><h1>Plan your visit</h1><p>The Clockmakers Museum stays open in 2019 while the tower is behind scaffolding.</p><table><caption>Admission from May 2019</caption><thead><tr><th>Visitor</th><th>Weekday</th><th>Weekend</th></tr></thead><tbody><tr><td>Adult</td><td>6.50</td><td>8.00</td></tr><tr><td>Child under 14</td><td>free</td><td>2.00</td></tr><tr><td>School class</td><td>18.00</td><td>21.00</td></tr></tbody></table></div><div role="contentinfo">Old imprint</div></body></html>''')
    a.tog('caption with row, look-alike file', 'Admission from May 2019', 'Weekend', 'School class', '21.00')
    a.no('menu by role', 'Calendar of events')
    a.q('How much did a form of pupils pay at the clock collection on Sundays back in 2019?', '21.00', 'Weekend', 'School class', '21.00')

    f = 'html/parcel_tariffs.html'
    a = At(f, 'html')
    put(f, '''<html><head><meta charset="utf-8"><title>Parcel tariffs</title></head><body><div class="breadcrumbs"><a href="/">Start</a> &gt; <a href="/p">Prices</a></div><h1>Swiftwing parcel tariffs</h1>
<p>Prices in crowns&nbsp;&mdash; insurance is extra.</p><table border="1"><caption>Table A: parcels inside the country</caption><tr><th>Zone</th><th>Weight</th><th>Standard</th><th>Express</th></tr>
<tr><td rowspan="2">North</td><td>up to 5&nbsp;kg</td><td>62</td><td>98</td></tr><tr><td>up to 20 kg</td><td>115</td><td>171</td></tr><tr><td rowspan="2">Islands</td><td>up to 5 kg</td><td>84</td><td>139</td></tr><tr><td>up to 20 kg</td><td>152</td><td>none</td></tr></table>
<table border="1"><caption>Table B: parcels abroad</caption><tr><th>Zone</th><th>Weight</th><th>Standard</th><th>Express</th></tr><tr><td>Neighbours</td><td>up to 5 kg</td><td>133</td><td>210</td></tr><tr><td>Overseas</td><td>up to 5 kg</td><td>289</td><td>455</td></tr></table>
<dl><dt>Bulky goods</dt><dd>Anything longer than one hundred and twenty centimetres costs forty crowns more.</dd></dl><details><summary>May I send honey?</summary><p>Yes, in glass, with the lid taped.</p></details></body></html>''')
    a.tog('rowspan cell with second row', 'Islands', '152', 'Standard')
    a.tog('caption with row', 'Table B: parcels abroad', 'Overseas', '455')
    a.tog('definition list', 'Bulky goods', 'costs forty crowns more')
    a.tog('details and summary', 'May I send honey', 'with the lid taped')
    a.has('no-break space is a space', 'up to 5 kg')
    a.has('entities', 'Prices in crowns — insurance is extra')
    a.q('What is the fast rate for a light packet going overseas with Swiftwing?', '455', 'Express', 'Overseas', '455')

    f = 'html/blog_latin1.html'
    a = At(f, 'html')
    put(f, '<html><head><meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1"><title>Mi huerto</title></head><body><div id="menu"><a href="a">Inicio</a> <a href="b">Archivo</a></div><div id="content"><h1>Mi huerto en otoño</h1><p>Hoy sembré ajos y habas. El año pasado la cigüeña se comió los caracoles, pero este otoño no ha venido.</p><p>Próxima semana: cómo podar la higuera.</p></div></body></html>', 'latin-1')
    a.has('ISO-8859-1 page', 'la cigüeña se comió los caracoles, pero este otoño no ha venido')
    a.no('replacement characters', '\ufffd')

    f = 'html/notice_board_layout_table.html'
    a = At(f, 'html')
    put(f, '<HTML><BODY BGCOLOR=white><TABLE WIDTH=100%><TR><TD WIDTH=120><A HREF=i.htm>Index</A><BR><A HREF=l.htm>Links</A></TD><TD><H2>Chess evening moved</H2>The chess evening moves from Tuesday to Thursday because the hall floor is being varnished.<P>Bring your own clocks; the club has lost two.<P><IMG SRC=board.gif ALT="Position after move twelve of the blitz final"></TD></TR></TABLE></BODY></HTML>')
    a.tog('layout table, unclosed tags', 'Chess evening moved', 'because the hall floor is being varnished')
    a.has('alt text', 'Position after move twelve of the blitz final')

    f = 'html/saved_recipe.mhtml'
    a = At(f, 'mhtml')
    import quopri
    page = '<!DOCTYPE html><html><head><meta charset="utf-8"><title>Quince cheese</title><script>var ad="BUY-NOW-77"</script></head><body><nav><a href="x">All recipes</a></nav><main><h1>Quince cheese the slow way</h1><p>Simmer the peeled quinces with the rind of two lemons until a straw goes through, then sieve and weigh the pulp – you take as much sugar as pulp.</p><table><tr><th>Pulp</th><th>Sugar</th><th>Stirring time</th></tr><tr><td>500 g</td><td>500 g</td><td>40 minutes</td></tr><tr><td>1200 g</td><td>1200 g</td><td>75 minutes</td></tr></table><img src="cid:pic1" alt="Red slab on baking paper"></main></body></html>'
    put(f, b'From: <Saved by Browser>\r\nSubject: Quince cheese\r\nDate: Fri, 14 Mar 2025 09:30:00 -0000\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related; type="text/html"; boundary="----Bnd--77"\r\n\r\n------Bnd--77\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Location: https://recipes.example/quince\r\n\r\n' + quopri.encodestring(page.encode()) .replace(b'\n', b'\r\n') +
        b'\r\n------Bnd--77\r\nContent-Type: image/png\r\nContent-ID: <pic1>\r\nContent-Transfer-Encoding: base64\r\n\r\n' + base64.encodebytes(png_text(['x'], width=300)).replace(b'\n', b'\r\n') + b'\r\n------Bnd--77--\r\n')
    a.has('MHTML quoted-printable text', 'then sieve and weigh the pulp – you take as much sugar as pulp')
    a.no('base64 of the picture', 'iVBORw0KGgo')
    a.no('script', 'BUY-NOW-77')
    a.no('quoted-printable marks', '=E2=80=93')
    a.tog('table row with title', 'Stirring time', '1200 g', '75 minutes')
    a.q('How long do I have to keep stirring a bit more than a kilo of quince mash?', '75 minutes', 'Stirring time', '1200 g', '75 minutes')


# ---------------------------------------------------------------- mail
def make_mail():
    k = [0]
    def msg(frm, to, subj, when, body=None, **kw):
        m = EmailMessage(policy=policy.SMTP)
        m['From'], m['To'], m['Subject'], m['Date'] = frm, to, subj, when
        k[0] += 1; m['Message-ID'] = '<%d@corpus.example>' % k[0]
        if body is not None:
            m.set_content(body, **kw)
        return m
    def dump(name, m):
        i = 0
        for p in m.walk():
            if p.is_multipart() and p.get_content_maintype() == 'multipart':
                i += 1; p.set_boundary('=_bnd_%s_%d' % (re.sub(r'\W', '', name), i))
        put(name, m.as_bytes())
    f = 'mail/boiler_quoted_printable.eml'
    a = At(f, 'eml')
    dump(f, msg('Agnès Lemaître <agnes@maison.example>', 'Bureau <bureau@copro.example>', 'Chaudière en panne, bâtiment C', 'Tue, 14 Jan 2025 08:12:00 +0100',
                'Bonjour,\n\nla chaudière du bâtiment C s’est arrêtée cette nuit vers trois heures et affiche le code d’erreur E37. Les locataires du deuxième étage, dont une dame de quatre-vingt-onze ans, n’ont plus ni chauffage ni eau chaude.\n\nMerci d’appeler la société Thermidor avant midi.\nAgnès\n', cte='quoted-printable'))
    a.has('quoted-printable body over soft breaks', 'dont une dame de quatre-vingt-onze ans, n’ont plus ni chauffage ni eau chaude')
    a.tog('subject with body', 'Chaudière en panne, bâtiment C', 'E37')
    a.no('quoted-printable marks', '=C3=A8')
    a.no('encoded subject', '=?utf-8?')
    a.q('Quel message l’appareil de chauffage de l’immeuble C affichait-il ?', 'E37', 'Chaudière', 'E37')

    f = 'mail/lost_property_base64.eml'
    a = At(f, 'eml')
    dump(f, msg('Lost Property <lost@tram.example>', 'Mr V. Sokolov <v@sok.example>', 'Re: My umbrella', 'Wed, 5 Feb 2025 16:40:00 +0000',
                'Dear Mr Sokolov,\n\nwe have found a green umbrella with a duck’s head on line six. It waits for you at window four in the Depot Road office until the end of the month. Bring proof of identity and two pounds for storage.\n\nDolores Finnegan\n\nOn 3 Feb you wrote:\n> I lost my umbrella between Opera and Zoo.\n', cte='base64'))
    a.has('base64 body', 'a green umbrella with a duck’s head on line six')
    a.tog('sender with text', 'Lost Property', 'window four in the Depot Road office')
    a.no('base64', 'RGVhciBNciBTb2tvbG92')
    a.q('What must Mr Sokolov pay to get his brolly back from the tram people?', 'two pounds', 'umbrella', 'two pounds for storage')

    f = 'mail/lost_property_second.eml'  # look-alike
    a = At(f, 'eml')
    dump(f, msg('Lost Property <lost@tram.example>', 'Ms T. Sokolova <t@sok.example>', 'Re: My umbrella', 'Thu, 6 Feb 2025 09:05:00 +0000',
                'Dear Ms Sokolova,\n\nno umbrella with a parrot handle has come in from line two. We keep your note for six weeks; storage would cost three pounds.\n\nDolores Finnegan\n'))
    a.has('plain mail', 'no umbrella with a parrot handle has come in from line two')

    f = 'mail/invoice_html_only.eml'
    a = At(f, 'eml')
    dump(f, msg('Billing <bill@quickprint.example>', 'ana@studio.example', 'Invoice 88-1402', 'Mon, 17 Feb 2025 07:00:00 +0000',
                '<html><head><style>.x{font:12px Verdana}</style></head><body><p>Hello Ana,</p><p>this is your bill for the posters:</p><table><tr><th>Item</th><th>Copies</th><th>Price each</th><th>Sum</th></tr><tr><td>Poster A2 matt</td><td>40</td><td>2.15</td><td>86.00</td></tr><tr><td>Poster A3 gloss</td><td>120</td><td>0.95</td><td>114.00</td></tr></table><p>Please transfer the money by the third of March.</p><img src="https://t.example/p.gif" width=1 height=1></body></html>', subtype='html'))
    a.tog('HTML-only mail: table row', 'Price each', 'Poster A3 gloss', '120', '0.95')
    a.no('style', 'Verdana')
    a.no('tags', '<img')
    a.has('HTML-only mail: text', 'Please transfer the money by the third of March')
    a.q('How many shiny A3 placards did Ana have printed?', '120', 'Copies', 'Poster A3 gloss', '120')

    f = 'mail/trip_two_attachments.eml'
    a = At(f, 'eml')
    m = msg('Noor Haddad <noor@club.example>', 'all@club.example', 'Papers for the cave trip', 'Sat, 1 Mar 2025 10:00:00 +0000', 'Hello all,\nattached are the list of lamps and the rules of the hut. Bring wellington boots, size does not matter.\nNoor\n')
    m.add_attachment('Lamp,Owner,Battery\nPetzl red,Noor,AAA x 3\nPetzl blue,Casimir,18650\nOld carbide,Fergus,none\n'.encode(), maintype='text', subtype='csv', filename='lamps.csv')
    m.add_attachment(docx(wp('Rules of the hut', 'Heading1') + wp('The last one to leave turns the stopcock under the sink and hangs the key on the nail behind the beam.')), maintype='application', subtype='vnd.openxmlformats-officedocument.wordprocessingml.document', filename='hut_rules.docx')
    dump(f, m)
    a.has('mail body', 'Bring wellington boots, size does not matter')
    a.tog('CSV attachment', 'Battery', 'Petzl blue', 'Casimir', '18650')
    a.has('DOCX attachment', 'hangs the key on the nail behind the beam')
    a.no('base64 of attachment', 'UEsDB')
    a.q('What kind of cell does the lamp of Casimir take?', '18650', 'Battery', 'Casimir', '18650')

    f = 'mail/forward_attached_message.eml'
    a = At(f, 'eml')
    inner = msg('Hotel Seeblick <info@seeblick.example>', 'p@firm.example', 'Bestätigung Ihrer Buchung', 'Thu, 20 Mar 2025 11:00:00 +0100', 'Sehr geehrte Frau Pohl,\nwir bestätigen zwei Einzelzimmer vom 8. bis 10. Mai. Das Frühstück ist im Preis von 94 Euro je Nacht enthalten.\n')
    m = msg('P. Pohl <p@firm.example>', 'travel@firm.example', 'Fwd: hotel', 'Thu, 20 Mar 2025 11:30:00 +0100', 'Please book the train to match the attached message.\n')
    m.add_attachment(inner); dump(f, m)
    a.has('outer text', 'Please book the train to match')
    a.has('attached message body', 'wir bestätigen zwei Einzelzimmer vom 8. bis 10. Mai')
    a.tog('attached message with its subject', 'Bestätigung Ihrer Buchung', '94 Euro je Nacht')
    a.q('Was kostet eine Übernachtung am See samt Morgenmahlzeit?', '94 Euro', 'Frühstück', '94 Euro je Nacht')

    f = 'mail/newsletter_alternative.eml'
    a = At(f, 'eml')
    m = msg('Beekeepers <bees@hive.example>', 'members@hive.example', 'Swarm season', 'Fri, 2 May 2025 06:00:00 +0000', 'Dear keepers,\n\nthe swarm telephone is staffed by Thaddeus this year, evenings only.\nA skep with lid can be borrowed from the shed.\n')
    m.add_alternative('<html><body><p>Dear keepers,</p><p>the swarm telephone is staffed by <b>Thaddeus</b> this year, evenings only.</p><p>A skep with lid can be borrowed from the shed.</p></body></html>', subtype='html'); dump(f, m)
    a.once('plain and HTML version: once', 'A skep with lid can be borrowed from the shed')
    a.has('alternative mail', 'evenings only')

    f = 'mail/committee_archive.mbox'
    a = At(f, 'mbox')
    put(f, '''From kay@ball.example Mon Jan  6 09:00:00 2025
From: Kay Ormond <kay@ball.example>
To: committee@ball.example
Subject: Band for the spring ball
Date: Mon, 6 Jan 2025 09:00:00 +0000
Content-Type: text/plain; charset=utf-8

The Moonlight Seven ask 900 pounds and a hot supper. The Tin Whistlers ask 450.
>From where I sit the cheaper band is louder.

From jo@ball.example Tue Jan  7 18:20:00 2025
From: Jo Abara <jo@ball.example>
To: committee@ball.example
Subject: Re: Band for the spring ball
Date: Tue, 7 Jan 2025 18:20:00 +0000
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

I vote for the Whistlers, provided that they leave the bagpipe at home=20
and that Ad=C3=A8le sings.

From kay@ball.example Fri Jan 10 12:05:00 2025
From: Kay Ormond <kay@ball.example>
To: committee@ball.example
Subject: Hall deposit
Date: Fri, 10 Jan 2025 12:05:00 +0000
Content-Type: text/plain; charset=utf-8

The town hall keeps 150 pounds until the floor has been mopped. Gilbert has the receipt.
''')
    a.tog('first message with its subject', 'Band for the spring ball', 'a hot supper')
    a.has('second message decoded', 'leave the bagpipe at home and that Adèle sings')
    a.tog('third message with its subject', 'Hall deposit', 'Gilbert has the receipt')
    a.seq('messages in order', 'Moonlight Seven ask 900', 'Adèle sings', 'until the floor has been mopped')
    a.has('escaped From line', 'From where I sit the cheaper band is louder')
    a.q('Who looks after the slip for the money that the town hall withholds until cleaning?', 'Gilbert', 'Hall deposit', 'Gilbert has the receipt')


# ---------------------------------------------------------------- notebooks, JSON, XML
def make_data():
    def nb(cells, lang='python'):
        return json.dumps({'cells': cells, 'metadata': {'kernelspec': {'name': 'python3', 'display_name': 'Python 3', 'language': lang}, 'language_info': {'name': lang}}, 'nbformat': 4, 'nbformat_minor': 5}, indent=1)
    md = lambda i, t: {'cell_type': 'markdown', 'id': 'c%d' % i, 'metadata': {}, 'source': t.splitlines(True)}
    code = lambda i, t, o=(): {'cell_type': 'code', 'id': 'c%d' % i, 'metadata': {}, 'execution_count': i, 'source': t.splitlines(True), 'outputs': list(o)}
    f = 'notebooks/bird_counts.ipynb'
    a = At(f, 'ipynb')
    img = base64.b64encode(png_text(['plot'], width=300)).decode()
    put(f, nb([md(1, '# Winter bird counts\n\nThe counts come from **seven gardens** in Ely between December and February.'),
               code(2, 'import pandas as pd\n\ndef load_counts(path, drop_doubtful=True):\n    """Read the tally sheets and leave out sightings marked doubtful."""\n    t = pd.read_csv(path)\n    return t[t.sure == 1] if drop_doubtful else t\n', [{'output_type': 'stream', 'name': 'stderr', 'text': ['FutureWarning: the palette argument is going away\n']}]),
               md(3, '## Which garden had most siskins?\n\nSiskins come to niger seed only, so the gardens without a feeder for it are left out.'),
               code(4, "siskins = counts.query('species == \"siskin\"').groupby('garden').n.max()\nsiskins.plot.bar(title='Largest flock per garden')\n", [{'output_type': 'display_data', 'metadata': {}, 'data': {'image/png': img, 'text/plain': ['<Figure size 640x480 with 1 Axes>']}}]),
               code(5, 'threshold = siskins.median() * 1.5\n', [{'output_type': 'error', 'ename': 'NameError', 'evalue': "name 'siskinz' is not defined", 'traceback': ['\u001b[0;31mNameError\u001b[0m Traceback (most recent call last)']}])]))
    a.has('markdown cell', 'in Ely between December and February')
    a.tog('heading cell with its text', 'Which garden had most siskins', 'the gardens without a feeder for it are left out')
    a.tog('code cell whole', 'def load_counts', 'leave out sightings marked doubtful', 'drop_doubtful else t')
    a.no('picture output', img[:40])
    a.no('stream output', 'palette argument is going away')
    a.no('traceback', 'most recent call last')
    a.seq('cells in order', 'Winter bird counts', 'load_counts', 'niger seed', 'Largest flock per garden')
    a.q('Where in the finches analysis are uncertain observations thrown out?', 'load_counts', 'def load_counts', 'sightings marked doubtful')
    f = 'notebooks/loan_calculator.ipynb'
    a = At(f, 'ipynb')
    put(f, nb([md(1, '# Loan calculator\n\n| Bank | Yearly rate | Fee |\n|---|---|---|\n| Oakbank | 4.2 % | 150 |\n| Elmbank | 3.9 % | 410 |\n'), code(2, 'def monthly_rate(principal, yearly, years):\n    """Annuity: same sum each month."""\n    q = 1 + yearly / 1200\n    n = years * 12\n    return principal * q ** n * (q - 1) / (q ** n - 1)\n'), code(3, 'monthly_rate(9000, 3.9, 4)\n', [{'output_type': 'execute_result', 'execution_count': 3, 'metadata': {}, 'data': {'text/plain': ['202.8067719']}}])]))
    a.tog('table in a markdown cell', 'Yearly rate', 'Elmbank', '3.9 %', '410')
    a.tog('code cell whole', 'def monthly_rate', 'Annuity: same sum each month', 'return principal')
    a.no('JSON wrapping of cells', 'cell_type')

    f = 'json/museum_objects_nested.json'
    a = At(f, 'json')
    put(f, json.dumps({'exported': '2025-02-01', 'objects': [
        {'inventory': 'M-0917', 'title': 'Ladle with dragon handle', 'material': ['pewter', 'bone'], 'found': {'place': 'Skelby bog', 'year': 1931, 'by': {'name': 'peat cutter Ansgar Roe'}}, 'loans': [{'to': 'Aarhus', 'until': '2025-09-30'}]},
        {'inventory': 'M-0971', 'title': 'Ladle with bird handle', 'material': ['silver'], 'found': {'place': 'Vester church', 'year': 1884, 'by': {'name': 'sexton Laust Bech'}}, 'loans': []},
        {'inventory': 'M-1102', 'title': 'Comb with runes', 'material': ['antler'], 'found': {'place': 'Skelby bog', 'year': 1958, 'by': {'name': 'schoolgirl Ebba Thune'}}, 'loans': [{'to': 'Kiel', 'until': '2026-01-15'}]}]}, indent=2))
    a.tog('nested record in one piece', 'M-0971', 'Ladle with bird handle', 'Laust Bech')
    a.tog('list inside a record', 'M-1102', 'Kiel', '2026-01-15')
    a.q('Who dug up the spoon with the dragon on its grip?', 'peat cutter Ansgar Roe', 'Ladle with dragon handle', 'Ansgar Roe')
    f = 'json/allotment_rules_config.json'
    a = At(f, 'json')
    put(f, '{"watering":{"pump_hours":{"weekday":"06:00-09:00","sunday":"07:30-08:30"},"hose_ban_above_c":31},"bonfire":{"allowed_months":["October","November"],"min_distance_m":25},"fees":{"plot_full":64,"plot_half":37,"key_deposit":15},"contact":{"steward":"Delphine Arrow","phone":"ext. 88 \\u2013 mornings"}}')
    a.has('escape in JSON resolved', 'ext. 88 – mornings')
    a.tog('keys with values', 'steward', 'Delphine Arrow')
    a.tog('nested key with value', 'sunday', '07:30-08:30')
    f = 'json/settings_export'
    a = At(f, 'json (no suffix)')
    put(f, json.dumps({'devices': [{'name': 'Hall thermostat', 'serial': 'TH-5520', 'target_c': 19}, {'name': 'Attic thermostat', 'serial': 'TH-5502', 'target_c': 14}]}, indent=1))
    a.tog('JSON without suffix', 'Attic thermostat', 'TH-5502')

    f = 'json/app_reviews.jsonl'
    a = At(f, 'jsonl')
    rv = [('ok', 'Pim', 4, 'Does what it says, though the font is tiny.'), ('bad', 'Ludo', 1, 'Crashes when I rotate the tablet on the bus.'), ('good', 'Xenia', 5, 'My grandmother plays it every evening.'), ('bad', 'Ludovic', 2, 'The adverts shout at me at full volume.'), ('ok', 'Bo', 3, 'Fine, but where did the dark mode go?\nI liked it.')]
    put(f, ''.join(json.dumps({'id': 500 + i, 'tag': t, 'user': {'nick': n, 'country': 'XKZ'[i % 3]}, 'stars': s, 'text': x}) + '\n' for i, (t, n, s, x) in enumerate(rv)))
    a.tog('record in one piece', 'Ludovic', 'The adverts shout at me at full volume')
    a.tog('record in one piece', '502', 'Xenia', 'My grandmother plays it every evening')
    a.seq('records in order', 'the font is tiny', 'rotate the tablet', 'adverts shout', 'dark mode')
    a.q('Which user complains about loud commercials in the game?', 'Ludovic', 'Ludovic', 'adverts shout')
    f = 'json/server_log.jsonl'
    a = At(f, 'jsonl')
    put(f, ''.join(json.dumps({'ts': '2025-05-%02dT%02d:%02d:00Z' % (1 + i // 40, i * 3 % 24, i * 17 % 60), 'level': 'ERROR' if i in (63, 97) else 'INFO', 'service': ['mail', 'print', 'door'][i % 3], 'msg': {63: 'toner drum missing in copier 4', 97: 'lock of gate 3 jammed'}.get(i, 'heartbeat %d' % i)}) + '\n' for i in range(120)))
    a.tog('log record in one piece', 'ERROR', 'print', 'toner drum missing in copier 4')
    a.seq('records in order', 'toner drum missing', 'lock of gate 3 jammed')

    f = 'xml/lamp_catalogue.xml'
    a = At(f, 'xml')
    put(f, '<?xml version="1.0" encoding="ISO-8859-1"?>\n<!-- exported by warehouse robot -->\n<catalogue currency="EUR"><lamp sku="LP-210"><name>Étoile pendant lamp</name><socket>E27</socket><price>89</price><stock site="Lyon">4</stock></lamp><lamp sku="LP-201"><name>Étoile wall lamp</name><socket>G9</socket><price>64</price><stock site="Lyon">11</stock></lamp><lamp sku="LP-330"><name>Plumb desk lamp</name><socket>E14</socket><price>52</price><stock site="Ghent">0</stock><remark><![CDATA[Shade <not> included & base is heavy]]></remark></lamp></catalogue>', 'latin-1')
    a.tog('record with attribute', 'LP-201', 'Étoile wall lamp', 'G9')
    a.has('CDATA', 'Shade <not> included & base is heavy')
    a.no('replacement characters', '\ufffd')
    f = 'xml/weather_warnings_rss.xml'
    a = At(f, 'xml')
    put(f, '<?xml version="1.0" encoding="UTF-8"?><rss version="2.0" xmlns:wx="urn:wx"><channel><title>Weather warnings, Northern Isles</title><item><title>Gale at Noup Head</title><description>&lt;p&gt;Gusts of seventy knots before dawn.&lt;/p&gt;</description><wx:level>amber</wx:level></item><item><title>Snow on Ward Hill</title><description>Drifts above the second cattle grid.</description><wx:level>yellow</wx:level></item></channel></rss>')
    a.tog('feed item in one piece', 'Snow on Ward Hill', 'Drifts above the second cattle grid', 'yellow')
    a.has('escaped markup', 'Gusts of seventy knots before dawn')


# ---------------------------------------------------------------- LaTeX, RST, SRT, Markdown, text
def make_markup():
    f = 'tex/moss_growth_paper.tex'
    a = At(f, 'latex')
    put(f, r'''\documentclass[11pt]{article}
\usepackage[utf8]{inputenc}
\title{Moss growth on slate roofs}
\author{D. Ferreira \and H. Lund}
\begin{document}
\maketitle
\begin{abstract}
We measured moss on sixty-two roofs over four winters and find that copper strips halve its growth.
\end{abstract}
\section{Introduction}
Slate roofs carry moss where the sun is low~\cite{lund2019}. % TODO: ask Hanna whether we may quote the slater
\section{Results}\label{sec:results}
\subsection{Growth by aspect}
North-facing roofs gained most, as Table~\ref{tab:growth} shows.
\begin{table}[h]
\caption{Yearly gain in grams per square metre}\label{tab:growth}
\begin{tabular}{lrr}
\hline
Aspect & Bare & Copper strip \\
\hline
North & 412 & 203 \\
East & 276 & 131 \\
South & 58 & 40 \\
\hline
\end{tabular}
\end{table}
\subsection{Slope}
Moss thickness follows $h = a e^{-bs}$ with slope $s$, and the fit is poor above fifty degrees.
\begin{itemize}
\item steep roofs shed moss in one piece
\item shallow roofs keep water and need scraping
\end{itemize}
\end{document}
''')
    a.tog('section title with text', 'Growth by aspect', 'North-facing roofs gained most')
    a.tog('caption with row', 'Yearly gain in grams per square metre', 'East', '131')
    a.tog('column title with row', 'Copper strip', 'North', '203')
    a.has('abstract', 'copper strips halve its growth')
    a.tog('list item with section', 'Slope', 'steep roofs shed moss in one piece')
    a.no('comment of the source', 'ask Hanna')
    a.q('How much moss settles per year on a roof looking east that has the metal band?', '131 grams per square metre', 'Copper strip', 'East', '131')
    f = 'tex/homework_sheet.tex'
    a = At(f, 'latex')
    put(f, r'''\documentclass{scrartcl}
\begin{document}
\section*{Übungsblatt 5}
\begin{enumerate}
\item Ein Eimer fasst \textbf{neun} Liter und tropft dreimal je Minute. Wann ist er halb leer?
\item Zeichnen Sie ein Dreieck mit den Seiten 5\,cm, 6\,cm und 7\,cm.
\end{enumerate}
Abgabe bis Dienstag um zehn im Briefkasten vor Raum 2.117.
\end{document}
''')
    a.has('text of a LaTeX sheet', 'Abgabe bis Dienstag um zehn im Briefkasten vor Raum 2.117')
    a.tog('item with title', 'Übungsblatt 5', 'tropft dreimal je Minute')

    f = 'rst/printer_manual.rst'
    a = At(f, 'rst')
    put(f, '''==================
Label printer LX-4
==================

.. contents::

Loading paper
=============

Open the lid and lay the roll with the printed side up.
The sensor arm must rest on the paper.

.. warning:: The cutter is sharp even when the power is off.

Error lights
------------

=======  ===========  =========================
Light    Blinks       What to do
=======  ===========  =========================
amber    slowly       clean the roller
amber    quickly      let the head cool
red      steadily     call the service line
=======  ===========  =========================

Serial line
-----------

.. code-block:: python

   port.open(baud=19200, parity="even")

.. This is a comment for the next editor: fix the photo.
''')
    a.tog('heading with text', 'Loading paper', 'The sensor arm must rest on the paper')
    a.tog('simple table row with title', 'What to do', 'quickly', 'let the head cool')
    a.has('warning', 'The cutter is sharp even when the power is off')
    a.tog('code with heading', 'Serial line', 'baud=19200')
    a.q('The sticker machine flashes orange at a fast pace; what now?', 'let the head cool', 'What to do', 'quickly', 'let the head cool')
    f = 'rst/changelog.rst'
    a = At(f, 'rst')
    put(f, 'Changelog\n*********\n\n2.1.0\n=====\n\n* The exporter writes dates with a time zone.\n* Removed the ``--legacy`` switch.\n\n2.0.3\n=====\n\n* A crash on empty folders is gone.\n\n2.0.2\n=====\n\n* A crash on folders named with umlauts is gone.\n')
    a.tog('change with its version', '2.0.3', 'A crash on empty folders is gone')
    a.tog('change with its version', '2.1.0', 'The exporter writes dates with a time zone')

    f = 'srt/harbour_film.srt'
    a = At(f, 'srt')
    cues = ['The harbour of Skagness was dug by hand', 'in the hard winter of 1799.', '<i>Gulls cry.</i>', 'My father was the last pilot', 'who knew the sandbank by its smell.', 'He would wet a finger,', 'hold it up, and say: half a fathom less tonight.', 'When the radar came he gave away his lead line', 'to the children, who made a swing of it.']
    put(f, '\ufeff' + ''.join('%d\r\n00:%02d:%02d,250 --> 00:%02d:%02d,900\r\n%s\r\n\r\n' % (i + 1, i * 5 // 60, i * 5 % 60, (i * 5 + 4) // 60, (i * 5 + 4) % 60, c) for i, c in enumerate(cues)))
    a.has('cue text', 'who knew the sandbank by its smell')
    a.tog('neighbouring cues in one piece', 'My father was the last pilot', 'who knew the sandbank by its smell')
    a.seq('cues in order', 'dug by hand', 'hard winter of 1799', 'hold it up', 'a swing of it')
    a.no('tags of cues', '<i>')
    f = 'srt/kochkurs_de.srt'
    a = At(f, 'srt')
    put(f, ''.join('%d\n00:00:%02d,000 --> 00:00:%02d,500\n%s\n\n' % (i + 1, i * 4, i * 4 + 3, c) for i, c in enumerate(['Heute kochen wir Grünkohl,\naber ohne Schmalz.', 'Die Blätter zupfen Sie von den Rippen', 'und dämpfen sie zwölf Minuten.', 'Erst zum Schluss kommt der Essig dazu.'])), 'cp1252')
    a.has('cue of two lines, Windows-1252', 'Heute kochen wir Grünkohl, aber ohne Schmalz')
    a.no('replacement characters', '\ufffd')

    f = 'md/oncall_runbook.md'
    a = At(f, 'markdown')
    put(f, '''---
title: Night duty runbook
owner: platform team
---

# Night duty runbook

## Disk full on the archive host

Check first which folder grows:

```bash
# biggest folders first
du -xh /srv/archive | sort -h | tail -n 15
```

If it is `thumbs`, run the sweeper and tell Oksana in the morning.

## Queue does not drain

1. Look at the dead letters.
2. Restart worker **seven** only.
3. Wake the lead if the backlog exceeds forty thousand.

| Alarm | Meaning | First aid |
|-------|---------|-----------|
| Q-11 | consumer lost | restart worker |
| Q-12 | broker slow | move leader |
| Q-21 | poison message | park it by hand |

## Certificates

They renew on their own; only `kiosk.example` is done by hand, each April.
''')
    a.tog('heading with its code', 'Disk full on the archive host', 'du -xh /srv/archive')
    a.tog('comment line in code is no heading', 'biggest folders first', 'sort -h | tail -n 15', 'Check first which folder grows')
    a.tog('numbered item with heading', 'Queue does not drain', 'Wake the lead if the backlog exceeds forty thousand')
    a.tog('pipe table row with title', 'First aid', 'Q-12', 'broker slow', 'move leader')
    a.q('What is the remedy for alarm Q-21?', 'park it by hand', 'First aid', 'Q-21', 'park it by hand')
    f = 'md/读书会安排.md'
    a = At(f, 'markdown')
    put(f, '# 周五读书会安排\n\n地点在老图书馆三楼的茶室，请自带杯子。\n\n## 书目\n\n| 日期 | 书名 | 主持人 |\n|---|---|---|\n| 三月七日 | 《呼兰河传》 | 端木萍 |\n| 三月二十一日 | 《边城》 | 夏侯川 |\n\n## 规则\n\n- 迟到的人负责洗杯子\n- 不许剧透下一本\n')
    a.tog('Chinese table row with title', '主持人', '《边城》', '夏侯川')
    a.tog('Chinese list item with heading', '规则', '迟到的人负责洗杯子')
    f = 'md/setext_recipes.md'
    a = At(f, 'markdown')
    put(f, 'Grandfather\'s pickles\n=====================\n\nSlice the cucumbers as thick as a coin.\n\nBrine\n-----\n\nBoil one part vinegar with two parts water; the mustard seeds\ngo in last.\n\n<!-- photo missing -->\n\n> He always said the jar must squeak.\n')
    a.tog('underlined heading with text', 'Brine', 'the mustard seeds go in last')
    a.has('quotation', 'He always said the jar must squeak')
    a.no('comment in Markdown', 'photo missing')

    f = 'txt/bauhof_notiz_cp1252.txt'
    a = At(f, 'text')
    put(f, 'Notiz für den Bauhof\r\n\r\nDer Streusalzvorrat reicht noch für fünf Tage – bitte „grobes“ Salz nachbestellen.\r\nAm Mühlweg fehlt ein Kanaldeckel; die Stelle ist mit Flatterband gesichert.\r\nKosten für den Ersatz: etwa 180 € zuzüglich Anfahrt.\r\n', 'cp1252')
    a.has('Windows-1252: dash and quotes', 'reicht noch für fünf Tage – bitte „grobes“ Salz nachbestellen')
    a.has('Windows-1252: euro', 'etwa 180 € zuzüglich Anfahrt')
    a.no('replacement characters', '\ufffd')
    f = 'txt/shokudo_sjis.txt'
    a = At(f, 'text')
    put(f, '社員食堂からのお知らせ\n\n四月から日替わり定食の値段が五百八十円になります。\n水曜日は魚料理の日です。アレルギーのある方は厨房の西村までお申し出ください。\n食器は返却口へお戻しください。ご協力をお願いいたします。\n', 'shift_jis')
    a.has('Shift-JIS', '日替わり定食の値段が五百八十円になります')
    a.no('replacement characters', '\ufffd')
    f = 'txt/menwei_gb18030.txt'
    a = At(f, 'text')
    put(f, '门卫值班须知\n\n夜班人员每两小时巡视一次锅炉房，并在蓝色登记簿上签字。\n外来车辆一律停在东门外的空地上，送奶车除外。\n如遇火警，先按走廊尽头的红色按钮，再打电话给王师傅。\n', 'gb18030')
    a.has('GB18030', '并在蓝色登记簿上签字')
    a.has('GB18030', '送奶车除外')
    f = 'txt/scanner_report_utf16le_nobom.txt'
    a = At(f, 'text')
    put(f, 'Scanner report\r\n\r\nUnit in the post room, serial PX-7719.\r\nThe glass was cleaned and the belt shortened by one tooth.\r\nNext service is due after eighty thousand sheets.\r\n', 'utf-16-le')
    a.has('UTF-16LE without BOM', 'the belt shortened by one tooth')
    a.no('NUL characters', '\x00')
    f = 'txt/notes_utf16be_bom.txt'
    a = At(f, 'text')
    put(f, b'\xfe\xff' + 'Besprechung Möbelhaus\nDie Küche wird erst am Gründonnerstag geliefert, weil die Fronten falsch lackiert waren.\n'.encode('utf-16-be'))
    a.has('UTF-16BE with BOM', 'weil die Fronten falsch lackiert waren')
    a.no('BOM in text', '\ufeff')
    f = 'txt/dacha_koi8r.txt'
    a = At(f, 'text')
    put(f, 'Памятка для дачников\n\nВоду в посёлке отключают с первого октября. Перед отъездом слейте бак и закройте вьюшку.\nКлючи от сторожки висят у Зинаиды Павловны. Собаку по кличке Буран кормить не надо, её кормит сторож.\nАвтобус до станции ходит по воскресеньям в половине седьмого.\n', 'koi8-r')
    a.has('KOI8-R', 'Перед отъездом слейте бак и закройте вьюшку')
    a.has('KOI8-R', 'Собаку по кличке Буран кормить не надо')
    f = 'txt/lettre_mairie_cp1252_cr.txt'
    a = At(f, 'text')
    put(f, 'Madame la maire,\r\rles lampadaires de la rue des Cœurs restent éteints depuis Noël, sauf celui devant la boulangerie.\rNous demandons qu’ils soient réparés avant la rentrée.\r', 'cp1252')
    a.has('old Mac line ends, Windows-1252', 'la rue des Cœurs restent éteints depuis Noël, sauf celui devant la boulangerie')


# ---------------------------------------------------------------- source code, archives
PY = '''"""Tide helper for the harbour office."""
import datetime


class TideTable:
    """Holds high waters of one port."""

    def __init__(self, port, offset_minutes=0):
        self.port = port
        self.offset = datetime.timedelta(minutes=offset_minutes)

    def next_high(self, now):
        """Return the first high water after now, moved by the offset of the port."""
        for t in sorted(self.times):
            if t + self.offset > now:
                return t + self.offset
        raise LookupError("table of %s ended" % self.port)


def draught_allowed(depth_cm, swell_cm, keel_cm=30):
    """Largest draught that may cross the bar."""
    if swell_cm > 180:
        return 0
    return depth_cm - swell_cm // 2 - keel_cm
'''


def make_code():
    f = 'code/tides.py'; a = At(f, 'python'); put(f, PY)
    a.tog('function whole', 'def draught_allowed', 'Largest draught that may cross the bar', 'swell_cm // 2 - keel_cm')
    a.tog('method whole', 'def next_high', 'moved by the offset of the port', 'raise LookupError')
    a.once('code once', 'if swell_cm > 180:')
    a.q('Above which wave height does our harbour program let no boat in at all?', '180 cm (swell_cm > 180 returns 0)', 'draught_allowed', 'swell_cm > 180')
    f = 'code/seatPlan.js'; a = At(f, 'javascript')
    put(f, '// Seat plan of the village theatre\nconst ROWS = 14;\n\n/** Price of a seat; the last two rows see a pillar and are cheaper. */\nexport function seatPrice(row, isMember) {\n  const base = row > ROWS - 2 ? 7.5 : 12;\n  return isMember ? base * 0.8 : base;\n}\n\nexport const holdSeat = async (api, seat) => {\n  const answer = await api.post(`/hold/${seat}`);\n  if (answer.status === 409) throw new Error("seat already taken");\n  return answer.token;\n};\n')
    a.tog('function with its comment', 'the last two rows see a pillar and are cheaper', 'function seatPrice', 'base * 0.8')
    a.tog('arrow function whole', 'holdSeat', 'seat already taken', 'answer.token')
    f = 'code/Ledger.java'; a = At(f, 'java')
    put(f, 'package org.club.money;\n\nimport java.util.*;\n\n/** Double entry book of the club. */\npublic class Ledger {\n    private final Map<String, Long> cents = new TreeMap<>();\n\n    /** Moves money; overdrawing the youth fund is refused. */\n    public void transfer(String from, String to, long amount) {\n        if (from.equals("youth") && cents.getOrDefault(from, 0L) < amount) {\n            throw new IllegalStateException("youth fund too small");\n        }\n        cents.merge(from, -amount, Long::sum);\n        cents.merge(to, amount, Long::sum);\n    }\n\n    /** Closing balance of one account. */\n    public long balance(String account) {\n        return cents.getOrDefault(account, 0L);\n    }\n}\n')
    a.tog('method with its comment', 'overdrawing the youth fund is refused', 'public void transfer', 'youth fund too small')
    a.q('Which pot of club money can never go below zero in the bookkeeping program?', 'the youth fund', 'transfer', 'youth fund')
    f = 'code/sluice.go'; a = At(f, 'go')
    put(f, 'package sluice\n\nimport "errors"\n\n// ErrJammed is returned when the gate does not move within the limit.\nvar ErrJammed = errors.New("gate jammed")\n\n// Open raises the gate by the given number of teeth and waits for the limit switch.\nfunc (g *Gate) Open(teeth int) error {\n\tif teeth > g.maxTeeth {\n\t\tteeth = g.maxTeeth\n\t}\n\tif !g.motor.Run(teeth, g.limit) {\n\t\treturn ErrJammed\n\t}\n\treturn nil\n}\n')
    a.tog('method with its comment', 'waits for the limit switch', 'func (g *Gate) Open', 'return ErrJammed')
    f = 'code/scale.rs'; a = At(f, 'rust')
    put(f, '//! Reading of the shop scale.\n\n/// Net weight in grams; a bowl heavier than the goods is an error.\npub fn net_weight(gross: u32, bowl: u32) -> Result<u32, ScaleError> {\n    gross.checked_sub(bowl).ok_or(ScaleError::BowlTooHeavy)\n}\n\n#[derive(Debug)]\npub enum ScaleError {\n    BowlTooHeavy,\n    NotSettled { millis: u64 },\n}\n')
    a.tog('function with its comment', 'a bowl heavier than the goods is an error', 'fn net_weight', 'checked_sub(bowl)')
    a.tog('enum whole', 'enum ScaleError', 'NotSettled')
    f = 'code/kiln.c'; a = At(f, 'c')
    put(f, '#include <stdio.h>\n#include "kiln.h"\n\n#define SAFE_OPEN_C 120 /* door may be opened below this */\n\n/* Step of the ramp: never more than 4 degrees a minute for porcelain. */\nint ramp_step(int clay, int wanted)\n{\n    int top = clay == PORCELAIN ? 4 : 9;\n    return wanted > top ? top : wanted;\n}\n\nint door_may_open(int temp_c)\n{\n    return temp_c < SAFE_OPEN_C;\n}\n')
    a.tog('function with its comment', 'never more than 4 degrees a minute for porcelain', 'int ramp_step', 'wanted > top')
    a.has('macro', 'SAFE_OPEN_C 120')
    a.q('Below what heat will the pottery oven firmware let me pull the door?', '120 degrees', 'SAFE_OPEN_C', '120')
    f = 'code/clinic_schema.sql'; a = At(f, 'sql')
    put(f, "-- Schema of the animal clinic\nCREATE TABLE owner (\n  owner_id INTEGER PRIMARY KEY,\n  family_name TEXT NOT NULL,\n  village TEXT DEFAULT 'Ober-Eichen'\n);\n\nCREATE TABLE animal (\n  animal_id INTEGER PRIMARY KEY,\n  owner_id INTEGER REFERENCES owner(owner_id),\n  species TEXT CHECK (species IN ('cat', 'dog', 'goat', 'parrot')),\n  chip_no CHAR(15)\n);\n\n-- Animals that missed their yearly jab\nCREATE VIEW overdue AS\nSELECT a.animal_id, o.family_name FROM animal a JOIN owner o USING (owner_id)\nWHERE a.last_jab < DATE('now', '-13 months');\n")
    a.tog('table definition whole', 'CREATE TABLE animal', 'parrot', 'chip_no')
    a.tog('view with its comment', 'Animals that missed their yearly jab', 'CREATE VIEW overdue', '-13 months')
    a.q('How long after the last shot does the vet database treat a beast as late?', '13 months', 'overdue', '-13 months')
    f = 'code/backup_nightly.sh'; a = At(f, 'shell')
    put(f, '#!/bin/sh\n# Nightly copy of the parish files to the loft disk\nset -eu\nDEST=/mnt/loft\n\nprune() {\n    # keep thirty-five days, but never touch the January sets\n    find "$DEST" -name "*.tar" -mtime +35 ! -name "*-01-*" -delete\n}\n\ntar -cf "$DEST/parish-$(date +%F).tar" /srv/parish\nprune\n')
    a.tog('shell function with its comment', 'never touch the January sets', 'prune()', '-mtime +35')

    # archives
    f = 'archives/scout_camp.zip'; a = At(f, 'zip')
    put(f, zipbytes([('camp/packing.csv', 'thing,number,packed by\nheadlamp,1,scout\nstorm lantern,2,leader\ntarpaulin,3,leader\n'), ('camp/letter.docx', docx(wp('Camp at Birkmoor', 'Heading1') + wp('The nearest doctor is Dr Sandoval in Upper Birk, behind the chapel.'))), ('camp/.DS_Store', b'\0\0\0\1Bud1\0\0\x10'), ('camp/fotos/kein_text.bin', bytes(range(256)) * 4)]))
    a.tog('CSV in a ZIP', 'packed by', 'storm lantern', '2', 'leader')
    a.has('DOCX in a ZIP', 'Dr Sandoval in Upper Birk, behind the chapel')
    a.no('binary member', 'Bud1')
    f = 'archives/robot_project.tar.gz'; a = At(f, 'tar')
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode='w', format=tarfile.USTAR_FORMAT) as t:
        for n, d in (('robot/README.md', '# Line follower\n\n## Calibration\n\nHold the robot over white paper and press the left whisker for three seconds.\n'), ('robot/steer.py', 'def steer(left, right):\n    """Positive turns to starboard."""\n    return (left - right) * 0.35\n')):
            ti = tarfile.TarInfo(n); ti.size = len(d); ti.mtime = 1741944600; t.addfile(ti, io.BytesIO(d.encode()))
    put(f, gzip.compress(b.getvalue(), mtime=1741944600))
    a.tog('Markdown in a TAR', 'Calibration', 'press the left whisker for three seconds')
    a.tog('Python in a TAR', 'def steer', 'Positive turns to starboard', '0.35')
    f = 'archives/outer_with_inner.zip'; a = At(f, 'zip')
    put(f, zipbytes([('inner.zip', zipbytes([('deep/poem.txt', 'The kettle hums, the cat is late,\nthe moon has rolled behind the gate.\n')])), ('note.txt', 'The poem lies in the inner archive.\n')]))
    a.has('archive in an archive', 'the moon has rolled behind the gate')
    a.has('text beside it', 'The poem lies in the inner archive')


def main():
    os.makedirs(OUT, exist_ok=True)
    for m in (make_pdf, make_docx, make_sheets, make_csv, make_pptx, make_text_docs, make_html, make_mail, make_data, make_markup, make_code):
        m()
    if CHECKS:
        for n, l in (('features', FEATURES), ('questions', QUESTIONS)):
            with open(os.path.join(CHECKS, n + '.jsonl'), 'w', encoding='utf-8') as h:
                for x in l:
                    h.write(json.dumps(x, ensure_ascii=False) + '\n')
    n = sum(len(x[2]) for x in os.walk(OUT))
    print(n, 'files', len(FEATURES), 'checks', len(QUESTIONS), 'questions')


main()
