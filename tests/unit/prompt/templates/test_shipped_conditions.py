"""What the shipped templates add, and to which kinds of prompts they add nothing."""

from pathlib import Path

import pytest

from gateway.prompt.kept import KeptAsIs
from gateway.prompt.library.library import Library, load_library
from gateway.prompt.rewrite import compose, fill_or_keep

ROOT = Path(__file__).parents[4]
VALUES = "\n\nMon 4, Tue 9, Wed 2, Thu 7; the week before 3, 8, 6 and 5. All in litres, at noon."
SNIPPET = "\n\nfor (const row of rows) { total += row.price; }"


@pytest.fixture(scope="module")
def library() -> Library:
    return load_library([ROOT / "templates"])[0]


def addition(library: Library, id: str, query: str) -> str:
    """Return what the template writes beside the query; "" if it is not used."""
    template = library.get(id)
    assert template is not None
    try:
        filled = fill_or_keep(template, query)
    except KeptAsIs:
        return ""
    return compose(template, filled, query, [], []).turns[-1].text.replace(query, "").strip()


@pytest.mark.parametrize(
    ("id", "query", "words"),
    [
        (
            "technical-help.en",
            "How do I make a service start after the disk is mounted?",
            "how to check that it worked",
        ),
        ("technical-help.en", "my app only sees one of the two cameras, what should i check", "exact commands"),
        ("write-code.en", "How do I join two columns in Excel with a formula?", "ready to paste"),
        (
            "reason-step-by-step.en",
            "Solve my puzzle: if all bins are red, and one is not, who lied?",
            "every single condition",
        ),
        ("change-code.en", f"Make this shorter.{SNIPPET}", "give the complete changed code"),
        ("change-code.en", "Make this shorter.\n\nint n;\nn++;\nreturn n;\n", "give the complete changed code"),
        (
            "change-code.en",
            f"Add a limit of 10 rows.{SNIPPET}{SNIPPET * 40}",
            "change nothing that was not asked about",
        ),
        ("write-code.en", "Write an SQL query for the oldest member of each club.", "ready to paste"),
        ("write-code.en", "a regular expression for house numbers like 12b", "which cases it does not cover"),
        ("write-code.en", "write a script to print the size of each folder", "how to run or call it"),
        ("write-code.en", "I only know Java. Write a small web server in Go.", "with its imports"),
        ("compare-options.en", "compare felt and straw hats", "in which situation each is the better choice"),
        ("compare-options.en", "felt or straw hats?", "recommend one option"),
        ("compare-options.zh", "对比草帽和毡帽", "各自更适合什么情况"),
        ("compare-options.zh", "草帽和毡帽哪个好", "明确的建议"),
        ("change-code.en", f"I need this in TypeScript.{SNIPPET}", "give the complete changed code"),
        ("explain-code.en", f"I'd like to know how this works.{SNIPPET}", "explain it in order"),
        ("solve-maths.en", "Five cooks need 3 hours. Calculate the time for four cooks.", "step by step"),
        ("find-sources.en", "Name four studies about naps, with links.", "rather than inventing one"),
        ("recommend.en", "books like The Dispossessed?", "why it fits"),
        ("brainstorm.en", "Generate a list of five activities for a street party.", "differ in kind"),
        ("brainstorm.zh", "列出一些适合雨天的亲子活动。", "在类型上要有区别"),
        ("how-to.en", "How do I get candle wax out of a tablecloth?", "amounts, times and tools"),
        ("how-to.zh", "怎么把桌布上的蜡去掉？", "步骤"),
        ("classify-text.en", "Is this positive or negative?\n\nThe lamp fell apart after a week.", "the label alone"),
        ("classify-text.zh", "这条评论是好评还是差评？\n\n灯用了一周就坏了。", "只回答标签"),
        ("write-email.en", "Send an email to my sister that the shelf has arrived.", "a subject line"),
        ("write-email.zh", "发一封邮件给我姐姐，说书架已经到了。", "附上主题"),
        ("summarise.en", "Sum this e-mail up: the roof leaks since May and nobody came.", "still to be done"),
        (
            "summarise.en",
            "Hi Ann, the desk moved to May. Please call Bo.\n\nTwo-sentence summary please.",
            "main point",
        ),
        ("summarise.zh", "业主会决定六月换电梯，由物业联系厂家。\n\n请概括以上内容。", "由谁在什么时候完成"),
        ("solve-maths.en", "A tap fills 40 litres in 5 minutes. How long for 130 litres?", "step by step"),
        ("solve-maths.en", "3 pens cost $4.50, what do 7 pens cost?", "step by step"),
        (
            "explain-code.en",
            "I do not understand this code. Please explain it.\n`x = sorted(set(a) & set(b))`",
            "errors",
        ),
        ("extract-fields.en", f"List the days and the values.{VALUES}", "copy each value exactly"),
        ("classify-text.en", f"Which is it: praise, question, order\n{VALUES}", "label alone"),
        ("write-code.en", "Would it be possible to get an SQL statement that trims all names?", "ready to paste"),
        (
            "polish-text.en",
            "Make this more formal.\n\nHi, can we meet another day? Something came up.",
            "revised text alone",
        ),
        ("polish-text.zh", "把这句话改得委婉一点：你们的报告又晚了，明天必须交。", "只回答修改后的文本"),
        ("technical-help.zh", "怎么让服务在磁盘挂载之后再启动？", "按使用顺序"),
        ("solve-maths.zh", "水龙头5分钟放40升水，放130升要多久？", "一步一步"),
        ("solve-maths.en", "A tap fills 40 litres in 5 minutes. How long for the tank?", "is not enough"),
        ("write-code.en", "Write a bash script that renames all photos by date.", "what would change"),
        ("write-code.en", "Write a Telegram bot in Python that repeats messages.", "Keep secrets out"),
        ("write-code.zh", "写个Python脚本，把重复的照片删除", "先列出将要改动什么"),
        ("translate.en", 'Translate the idiom "rain cats and dogs" into Danish.', "the equivalent that is usual"),
        ("translate.en", "Translate to Danish: We open at nine on Monday and close at six.", "the translation alone"),
        ("translate.zh", "翻译成英文：画蛇添足", "说明意思或用法"),
        ("translate.zh", "翻译成英文：我们周一九点开门，周二休息。", "只回答译文"),
        ("recommend.en", "Recommend a few cafes in Porto.", "what may have changed"),
        ("explain-topic.en", "why do ships float?", "misunderstanding"),
        ("recommend.en", "What's a good board game for two?", "exist, and say in a few words"),
    ],
)
def test_it_adds(library: Library, id: str, query: str, words: str) -> None:
    assert words in addition(library, id, query)


@pytest.mark.parametrize(
    ("id", "query"),
    [
        # no machine and no code, and a comparison that is no choice
        ("technical-help.en", "normalize a vector"),
        ("technical-help.en", "invert a matrix"),
        ("compare-options.en", "Compare and contrast the two novels."),
        ("compare-options.zh", "比较这两个词语的含义"),
        # something done by hand in an application, a riddle to be made up, and what has no amounts and tools
        ("write-code.en", "In Word, how to find every line that is in italics?"),
        ("write-code.zh", "在Word里怎么找到所有斜体的字？"),
        ("reason-step-by-step.en", "Can you make up a riddle about a bridge that only children can answer?"),
        ("reason-step-by-step.zh", "出一道关于桥的脑筋急转弯，答案只有孩子想得到，是什么？"),
        ("how-to.en", "What is the best way to overcome an addiction?"),
        # a choice between two ways
        ("technical-help.en", "I have a web shop. Is it better to cache the pages in nginx or in Redis?"),
        ("technical-help.en", "Should I use Docker or a plain virtual machine for a small wiki?"),
        ("technical-help.zh", "小网站用nginx和apache，哪个更好？"),
        # the answer is one word or one line
        ("technical-help.en", "Which port does the database use? Answer in one word."),
        ("technical-help.en", "Briefly, how do I list the open files?"),
        # a text about technology is wanted, or a judgement on one
        ("technical-help.en", "Write a blog post about moving a shop to the cloud."),
        ("technical-help.en", "Here is the manual that I wrote. How is my introduction?"),
        # code is given, and the question is another one
        ("change-code.en", f"Which licence fits best?{SNIPPET}"),
        # prose with a semicolon at the end of a line
        ("change-code.en", "Can this be simplified?\n\nThe ferry leaves at nine;\nit returns at noon;\n"),
        ("explain-code.en", "What does this mean?\n\nMembers pay in May;\nguests pay at the door;\n"),
        ("change-code.zh", "把这段改短一点：\n\nThe ferry leaves at nine;\nit returns at noon;\n"),
        ("write-code.en", "Write the code for a clock, code only."),
        # an opinion on code, a manual of a program, and how to get on with people
        ("write-code.en", "I keep a list of functions, one for each shop. Does this make sense?"),
        ("write-code.zh", "为一款记账程序写一份使用手册。"),
        ("how-to.zh", "怎样和邻居更好地相处？"),
        ("write-code.en", "Write a 30 second script for a radio advert about soap."),
        ("write-code.en", "I want a to-do app. Ask me questions before you write any code."),
        # a picture of the values is wanted, not the values
        ("extract-fields.en", f"Plot these values over the days.{VALUES}"),
        ("extract-fields.en", f"Get the values and show them as a bar chart.{VALUES}"),
        ("extract-fields.en", f"Draw a diagram of it as SVG.{VALUES}"),
        ("extract-fields.zh", "把下面的数据可视化：周一4升，周二9升，周三2升，周四7升，周五11升，周六8升"),
        ("polish-text.en", "Write three different versions of this.\n\nThe lamp is small but it is bright."),
        ("polish-text.en", "Rephrase it ten times, please.\n\nThe lamp is small but it is bright."),
        # an article: a summary of it misses nothing that the addition would supply
        ("summarise.en", f"Summarise this article.\n\nThe council decided to close the bridge.{VALUES}"),
        ("summarise.en", f"Summarise this.{VALUES}"),
        ("summarise.zh", "总结这篇文章：蜜蜂靠太阳、地标和气味找到回家的路，蜂群会一起决定新的住处。"),
        # a row of things, and an exercise
        ("classify-text.en", "Classify each of these as a tool or a toy: saw, doll, drill, kite"),
        ("classify-text.en", "Is this a simple, compound or complex sentence?\n\nThe lamp fell and it broke."),
        ("classify-text.zh", "这些东西是工具还是玩具：锯子、娃娃、电钻、风筝"),
        # what is wanted is not a letter that somebody sends
        ("write-email.en", "May I write an e-mail to my teacher on a Sunday?"),
        ("write-email.en", "Write the subject lines for an e-mail campaign about soap."),
        ("write-email.zh", "把这封邮件翻译成英文：书架已经到了，谢谢。"),
        # a long question lists what its answer is to hold
        ("explain-topic.en", "Explain how a lock works. " + "Name each part and say what it does. " * 8),
        ("write-code.en", "Which of the following loops in Python ends? a) while 1 b) for x in [1]"),
        ("write-code.en", "Write a function in Go that turns Fahrenheit into Celsius."),
        # groups that the answer is to find have no labels, and a claim wants more than a label
        ("classify-text.en", "Divide these trees into two categories.\n\noak, spruce, maple, pine"),
        ("classify-text.en", "Sort the tools below into several different groups: saw, drill, chisel or plane"),
        ("classify-text.en", "Decide whether this is true or false: Lisbon lies on the Pacific."),
        ("classify-text.zh", "把下面的树分成两类：橡树、云杉、枫树、松树"),
        ("classify-text.zh", "判断下面的说法是否正确：里斯本在太平洋边上。"),
        # a title and one short line hold nothing to summarise
        ("summarise.zh", "请给下面的新闻标题写一篇80字的摘要：“新桥将于五月通车”"),
        ("summarise.zh", "总结一下：商店周日不营业。"),
        # an e-mail that exists is to be passed on
        ("write-email.en", "Please forward these e-mails to Bo.\n\nDear Ann, the shelf has arrived. Tim"),
        ("write-email.en", "Send this email to my sister: Hi, the shelf has arrived."),
        ("write-email.zh", "请把这封邮件转发给小李：书架已经到了。"),
        # how to bring people to something
        ("how-to.en", "how do i get my toddler to brush his teeth"),
        ("how-to.en", "How can I convince my neighbours to sort their rubbish?"),
        ("how-to.zh", "怎么让孩子自己刷牙？"),
        # what to say to people, and goals, are no instructions and no plan
        ("how-to.en", "My friend lost her cat. How do I comfort her?"),
        ("plan-task.en", "Write three goals for a plan that keeps our server safe."),
        # a report on one's own work, and a saying, are no summary
        ("summarise.zh", "请按下面的格式输出一篇专业的工作总结文章。\n\n引言\n工作内容\n成果和不足"),
        ("summarise.zh", "哪个成语最能总结这段话？\n\n老人每天都去河边挑水，十年没有断过。"),
        # a title and an author are no text to summarise
        ("summarise.en", 'Please summarise the main points of "The Long Winter of Corn" by Ada Quill.'),
        ("summarise.en", "Give me a short summary of this prompt: You are a bot that sorts mail into folders."),
        # plain sums need no steps
        ("solve-maths.en", "What is 7 raised to the power of 3?"),
        ("solve-maths.en", "Find the mean of 4, 8, 15 and 16."),
        ("solve-maths.en", "Rewrite 5x^2 = 3x + 1 in standard form."),
        ("solve-maths.zh", "36和48的最大公因数是多少？"),
        # links and sources of another kind
        ("find-sources.en", "Name two renewable energy sources."),
        ("find-sources.en", "Write an HTML link to example.com."),
        # one title or one line is wanted
        ("recommend.en", "Suggest a tagline for a bakery."),
        ("recommend.en", "Suggest a title for my memoir."),
        ("recommend.en", "Would you recommend this product to a friend?\n\nThe lamp fell apart after a week."),
        # advice on how to live has no amounts, times and tools
        ("how-to.en", "How do I become a better listener?"),
        ("how-to.zh", "如何成为更好的父母？"),
        # a list of facts, and a report that the client pasted, need no example
        ("explain-topic.en", "Name two advantages of wind power."),
        ("explain-topic.en", "Explain this report to me. " + "The patient has a slight fever since Monday. " * 14),
        ("summarise.en", 'Summarise this article in two sentences: "The Joy of Growing Your Own Herbs"'),
        ("technical-help.en", "Name one reason why people use an ad blocker."),
        ("technical-help.en", "Convince my brother to install Linux."),
        ("write-code.en", 'Deduplicate the strings in this array.\n\n["oak", "elm", "oak"]'),
        ("write-code.en", "What do you think is the best architecture for a chess server in Go?"),
        ("write-code.en", "Write a parser in Rust. Ask clarifying questions if you need to."),
        ("write-code.en", "Design three coding exercises about loops in Java."),
        ("how-to.en", "How do I decode a blurred barcode in an image?"),
        ("write-code.en", "Give me useful links about loops in Python."),
        ("brainstorm.en", "Think of a new way to use a bottle."),
        ("how-to.en", "Write an essay on how to be happy."),
        ("brainstorm.en", "Give me one idea for a birthday cake."),
    ],
)
def test_it_adds_nothing(library: Library, id: str, query: str) -> None:
    assert addition(library, id, query) == ""
