"""Long texts of many kinds, to fill the place of the text in a task's prompt. Words in a kind's name select the
text."""

import gzip
import json
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path

LENGTH = 40_000
"""Characters of a text."""
_MARKER = re.compile(
    r"<<<?\s*[\w ]+\s*>?>>|\[\[?\s*(?:TEXT|DOCUMENT|CONTENT|INPUT|正文|文本|原文)[\w ]*\]?\]|\{\{?\s*[\w ]+\s*\}?\}"
    r"|<TEXT>|⟦[^⟧]*⟧|【(?:正文|文本|TEXT)】",
    re.IGNORECASE,
)


def filled(prompt: str, text: str) -> str:
    """Put the text in place of the prompt's marker. Without a marker, the text follows after a blank line."""
    if not _MARKER.search(prompt):
        return f"{prompt}\n\n{text}"
    return _MARKER.sub(lambda _: text, prompt, count=1)


def text_of(kind: str, language: str, data: Path) -> str:
    """Return a text of this kind, or prose in this language if the kind is unknown."""
    name = kind.casefold()
    for words, make in KINDS.items():
        if any(_names(name, word) for word in words.split()):
            return make(language, data)[:LENGTH]
    return _prose(language, data)[:LENGTH]


def _names(kind: str, word: str) -> bool:
    """Whether a kind has a word, in singular or plural. Chinese words need no edges."""
    return word in kind if not word.isascii() else re.search(rf"\b{word}e?s?\b", kind) is not None


def _prose(language: str, data: Path) -> str:
    folder = data / "long_texts"
    names = (
        sorted(folder.glob("*zh*"))
        if language == "zh"
        else [path for path in sorted(folder.glob("*.txt")) if "zh" not in path.name]
    )
    return names[0].read_text("utf-8")[20_000:]


def _story(language: str, data: Path) -> str:
    if language == "zh":
        return _prose(language, data)
    with gzip.open(data / "squality_dev.jsonl.gz", "rt", "utf-8") as file:
        return str(json.loads(file.readline())["document"])


def _corpus(name: str) -> Callable[[str, Path], str]:
    def make(language: str, data: Path) -> str:
        if language == "zh":
            return _articles(language, data)
        return (data / "chunking_eval" / f"{name}.md").read_text("utf-8")

    return make


def _articles(language: str, data: Path) -> str:
    if language != "zh":
        return (data / "wikitext2" / "valid.txt").read_text("utf-8")
    articles = json.loads((data / "cmrc2018/trial.json").read_text("utf-8"))["data"]
    return "\n\n".join(paragraph["context"] for article in articles for paragraph in article["paragraphs"])


def _code(language: str, data: Path) -> str:
    folder = Path(__file__).parents[2] / "gateway"
    return "\n\n".join(path.read_text("utf-8") for path in sorted(folder.rglob("*.py"))[:30])


def _log(language: str, data: Path) -> str:
    draw = random.Random(3)
    said = (
        "worker {n} started",
        "connection to 10.0.0.{n} refused",
        "request {n} took {n} ms",
        "user {n} logged in",
        "cache miss for key {n}",
    )
    return "\n".join(
        f"2024-05-{1 + n // 300:02} 12:{n // 60 % 60:02}:{n % 60:02} "
        f"{draw.choice(('INFO', 'WARN', 'ERROR'))} {draw.choice(said).format(n=n)}"
        for n in range(900)
    )


def _table(language: str, data: Path) -> str:
    draw = random.Random(4)
    head = "编号,城市,金额,日期,状态" if language == "zh" else "id,city,amount,date,status"
    cities = ("北京", "上海", "广州") if language == "zh" else ("Oslo", "Lima", "Pune")
    states = ("已付", "未付") if language == "zh" else ("paid", "open")
    rows = [
        f"{n},{draw.choice(cities)},{draw.randrange(9000) / 100},2024-0{1 + n % 9}-11,{draw.choice(states)}"
        for n in range(1200)
    ]
    return "\n".join([head, *rows])


def _talk(language: str, data: Path) -> str:
    names = ("小王", "李经理", "客服") if language == "zh" else ("Anna", "Tom", "Agent")
    lines = [line.strip() for line in re.split(r"(?<=[.!?。！？])\s*", _prose(language, data)[:LENGTH]) if line.strip()]
    return "\n".join(f"{names[n % 3]}: {line}" for n, line in enumerate(lines))


def _list(language: str, data: Path) -> str:
    lines = [
        line.strip() for line in re.split(r"(?<=[.!?。！？])\s*", _articles(language, data)[:LENGTH]) if line.strip()
    ]
    return "\n".join(f"{n}. {line}" for n, line in enumerate(lines, 1))


def _data(language: str, data: Path) -> str:
    names = ("张伟", "王芳", "李娜") if language == "zh" else ("Ann", "Bob", "Cy")
    rows = [{"id": n, "name": names[n % 3], "score": n * 7 % 100, "tags": ["a", "b"][: n % 3]} for n in range(700)]
    return json.dumps(rows, ensure_ascii=False, indent=1)


def _subtitles(language: str, data: Path) -> str:
    lines = _talk(language, data).split("\n")
    return "\n\n".join(
        f"{n}\n00:{n // 60:02}:{n % 60:02},000 --> 00:{n // 60:02}:{n % 60:02},900\n{line}"
        for n, line in enumerate(lines, 1)
    )


def _pages(language: str, data: Path) -> str:
    if language == "zh":
        return _articles(language, data)
    folder = Path(__file__).parents[2] / "docs"
    return "\n\n".join((folder / name).read_text("utf-8") for name in ("api.md", "operations.md", "collections.md"))


def _clauses(language: str, data: Path) -> str:
    draw = random.Random(5)
    if language == "zh":
        who, what = ("甲方", "乙方", "担保人"), ("支付费用", "书面通知对方", "保守秘密", "承担违约责任")
        return "\n\n".join(
            f"第{n}条　{draw.choice(who)}应在{draw.randrange(2, 90)}日内{draw.choice(what)}，金额为{n * 37}元。"
            for n in range(1, 700)
            for n in range(1, 700)
        )
    who, what = (
        ("tenant", "landlord", "guarantor"),
        ("pay the fee", "give notice in writing", "keep this secret", "insure it"),
    )
    return "\n\n".join(
        f"{n}. The {draw.choice(who)} shall {draw.choice(what)} within {draw.randrange(2, 90)} days, or pay {n * 37}."
        for n in range(1, 500)
    )


def _verses(language: str, data: Path) -> str:
    lines = [
        line.strip() for line in re.split(r"[,.;:!?，。；！？]\s*", _prose(language, data)[:LENGTH]) if line.strip()
    ]
    return "\n\n".join("\n".join(lines[n : n + 4]) for n in range(0, len(lines), 4))


KINDS: Mapping[str, Callable[[str, Path], str]] = {
    "contract lease court judgement law policy terms 合同 判决 法律 条款": _clauses,
    "poem lyrics verse 诗 歌词": _verses,
    "code script module source program 代码 程序 脚本 sql": _code,
    "subtitle srt 字幕": _subtitles,
    "csv table spreadsheet ledger invoice order inventory 表格 数据表 账单 流水 订单 库存": _table,
    "api documentation manual guide handbook": _pages,
    "json xml yaml config 配置": _data,
    "chat transcript interview dialogue conversation thread meeting minutes email mail forum podcast": _talk,
    "聊天 对话 访谈 会议 纪要 邮件 采访": _talk,
    "log trace 日志": _log,
    "review survey faq question ticket bug recipe list menu glossary itinerary": _list,
    "评论 问卷 问题 工单 菜谱 清单 行程": _list,
    "novel story chapter fiction play screenplay diary 小说 故事 剧本 日记 章": _story,
    "speech sermon lecture 演讲": _corpus("state_of_the_union"),
    "report financial annual budget audit 报告 年报 财": _corpus("finance"),
    "paper study thesis medical patent clinical trial 论文 病历 专利": _corpus("pubmed"),
    "news article encyclopedia textbook biography 新闻 文章 百科 教材 说明书": _articles,
}
