"""Changes to requests that must not change the strategy: added noise, another wording, the other language."""

import random
from collections.abc import Callable, Mapping, Sequence

from gateway.context.long.choose import Strategy
from gateway.context.long.shape import shape_of

SAME: Mapping[Strategy, Sequence[tuple[str, str]]] = {
    Strategy.TREE: (
        ("Summarise this.", "总结一下。"),
        ("Can you boil this down for me?", "能帮我提炼一下吗？"),
        ("Please give me the essentials of the text.", "请告诉我文章的核心内容。"),
        ("In three sentences, what happens here?", "用三句话说说这里发生了什么。"),
        ("Write a synopsis.", "写一份内容提要。"),
        ("I have no time to read this, what does it say?", "我没时间看，这篇讲的是什么？"),
        ("Shorten it to a paragraph, please.", "请缩写成一段话。"),
        ("What are the most important points?", "最重要的几点是什么？"),
        ("Give a brief overview of everything that happens.", "简要介绍一下全部情节。"),
        ("Make an executive summary for my boss.", "给我的老板写一份摘要。"),
    ),
    Strategy.GATHER: (
        ("How many people are named in the text?", "文中提到了多少个人？"),
        ("List every place that is mentioned.", "列出提到的每一个地方。"),
        ("Put the events in the order in which they happened.", "把事件按发生的先后顺序排列。"),
        ("How often does it rain?", "一共下了几次雨？"),
        ("Compare the first chapter with the last one.", "比较第一章和最后一章。"),
        ("What is the total number of letters that were sent?", "总共寄出了多少封信？"),
        ("Does the story contradict itself anywhere?", "故事有没有自相矛盾的地方？"),
        ("Give me all the dates, one per line.", "给我所有的日期，每行一个。"),
        ("How does the hero change from beginning to end?", "主人公从头到尾有什么变化？"),
        ("Which character is mentioned most frequently?", "哪个人物被提到的次数最多？"),
    ),
    Strategy.FOCUS: (
        ("Who wrote the letter?", "信是谁写的？"),
        ("What colour was the door?", "门是什么颜色的？"),
        ("Where did the ship land?", "船在哪里靠岸？"),
        ("Tell me the name of the captain's wife.", "告诉我船长妻子的名字。"),
        ("In what year was the company founded?", "公司是哪一年成立的？"),
        ("Why did she leave the house?", "她为什么离开家？"),
        ("I would like to know the price of the ticket.", "我想知道票价。"),
        ("According to the text, what causes the disease?", "根据文章，这种病是什么引起的？"),
        ("What did the doctor say about the medicine?", "关于药，医生说了些什么？"),
        ("Find the phone number of the office.", "找出办公室的电话号码。"),
    ),
}
"""The same tasks in English and in Chinese. The words that the chooser looks for were chosen with these tasks in
view."""

UNSEEN: Mapping[Strategy, Sequence[tuple[str, str]]] = {
    Strategy.TREE: (
        ("Could I have a quick rundown of this?", "能快速给我讲一下这篇吗？"),
        ("Explain in simple words what the whole text says.", "用简单的话解释全文说了些什么。"),
        ("Give me the highlights.", "给我讲讲重点。"),
        ("What is the author's central message?", "作者的中心思想是什么？"),
        ("Write a blurb of about fifty words.", "写一个五十字左右的简介。"),
        ("Retell the story briefly.", "简短地复述这个故事。"),
        ("Condense the document to its core.", "把这份文件浓缩一下。"),
        ("Provide bullet points of what matters here.", "列出这里的要点。"),
        ("What does this chapter cover?", "这一章都讲了哪些内容？"),
        ("Draft an abstract.", "起草一份摘要。"),
    ),
    Strategy.GATHER: (
        ("How many different animals occur in the story?", "故事里出现了多少种不同的动物？"),
        ("Which country is named most often?", "哪个国家被提到得最多？"),
        ("Make a table of all persons with their professions.", "把所有人物和他们的职业做成表格。"),
        ("Sort the battles by date.", "把战役按日期排序。"),
        ("Add up all the amounts.", "把所有金额加起来。"),
        ("Are there any inconsistencies in the account?", "叙述中有没有前后不一致的地方？"),
        ("Extract every quotation of the minister.", "摘录部长说的每一句话。"),
        ("How does the mood develop over the course of the text?", "气氛在全文中是如何发展的？"),
        ("What do the three reports have in common?", "这三份报告有什么共同点？"),
        ("Name everyone who speaks, with the number of times.", "列出每个说话的人以及次数。"),
    ),
    Strategy.FOCUS: (
        ("Who is the owner of the red car?", "红色汽车的主人是谁？"),
        ("What time does the train leave?", "火车几点出发？"),
        ("How many inhabitants does the island have?", "这座岛有多少居民？"),
        ("Which drug was given to the patients?", "病人服用了哪种药？"),
        ("How did the fire start?", "火是怎么起的？"),
        ("Quote the sentence about the bridge.", "引用关于那座桥的句子。"),
        ("Is the lease valid after 2020?", "租约在2020年之后还有效吗？"),
        ("What was the reason for the delay?", "延误的原因是什么？"),
        ("How old was he when his father died?", "父亲去世时他多大？"),
        ("Give the address of the embassy.", "给出大使馆的地址。"),
    ),
}
"""Tasks written before those words were chosen, and not looked at while choosing them."""

NOISE = (
    "The museum opens at nine and closes at five. Visitors leave their bags at the entrance.",
    "Copper conducts heat well. It melts at 1,085 degrees.",
    "今天的天气预报说下午有小雨，气温在十五度左右。",
    "The committee met on Tuesday and adjourned without a decision.",
)
Labelled = tuple[Strategy, str, str]
Change = Callable[[str, str, random.Random], str]
"""Combines a task and its text to a message."""


def _lines(text: str) -> list[str]:
    return text.split("\n\n") if "\n\n" in text else text.split("\n")


def noisy(task: str, text: str, draw: random.Random) -> str:
    """Add a fifth more paragraphs about something else."""
    pieces = _lines(text)
    numbered = bool(shape_of(f"{text}\n\n{task}").passages)
    for _ in range(max(2, len(pieces) // 5)):
        noise = draw.choice(NOISE)
        # to passages, another passage is added, but not at the front
        pieces.insert(draw.randrange(1, len(pieces) + 1), f"[{len(pieces)}] {noise}" if numbered else noise)
    return put(task, "\n\n".join(pieces))


def twice(task: str, text: str, draw: random.Random) -> str:
    """Append the paragraphs of the text once more, in another order."""
    pieces = _lines(text)
    return put(task, "\n\n".join([*pieces, *draw.sample(pieces, len(pieces))]))


def moved(task: str, text: str, draw: random.Random) -> str:
    """Move the task to the other end of the message."""
    return f"{task}\n\n{text}"


def politely(task: str, text: str, draw: random.Random) -> str:
    if any("一" <= letter <= "鿿" for letter in task):
        return put(draw.choice(("请问，", "麻烦您看一下：", "根据上文，")) + task, text)
    opening = draw.choice(("Please, ", "Here is my question about the text above: ", "Hi! Could you help me? "))
    return put(opening + task, text)


def put(task: str, text: str) -> str:
    return f"{text}\n\n{task}"


CHANGES: Mapping[str, Change] = {
    "irrelevant pieces added": noisy,
    "twice as long": twice,
    "the task at the other end": moved,
    "asked politely": politely,
}


def tasks_and_messages(texts: Sequence[str], tasks: Mapping[Strategy, Sequence[tuple[str, str]]]) -> list[Labelled]:
    """Return rows of expected strategy, language of the task, and message."""
    return [
        (expected, language, put(both[place], text))
        for expected, written in tasks.items()
        for both in written
        for place, language in enumerate(("English", "Chinese"))
        for text in texts
    ]
