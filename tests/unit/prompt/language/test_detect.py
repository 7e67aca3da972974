import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.prompt.language.detect import language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Write a short email to my landlord", "en"),
        ("resume tips", "en"),
        ("Translate to English: 你好，很高兴见到你", "en"),
        ("In Spanish, how do you say 'la casa de mi abuela'", "en"),
        ("cafe recommendations in São Paulo please", "en"),
        ("写一封邮件给老板", "zh"),
        ("用python写个快速排序", "zh"),
        ("翻译成英文：How are you doing today?", "zh"),
        ("把“hello world, this is a long sentence in English”翻译成中文", "zh"),
        ("Q: 今天天气怎么样", "zh"),
        ("幫我寫一封信給房東", "zh"),
        ("Compare Python and Ruby", "en"),
        ("Translate: Berechne 15 Prozent von 240", "en"),
        ("Calcule 20% de 350 euros", ""),
        ("Berechne 15 Prozent von 240", ""),
        ("Scrivi una email al mio capo", ""),
        ("Napisz email do szefa", ""),
        ("Tulis email untuk bos saya", ""),
        ("Vergleiche Python und Java", ""),
        ("Compare Python et Java", ""),
        ("Viết email cho sếp của tôi", ""),
        ("¿Cuál es la capital de Francia?", ""),
        ("Bonjour, je voudrais une lettre pour mon patron", ""),
        ("Wie schreibe ich einen Brief an die Bank?", ""),
        ("こんにちは、メールを書いてください", ""),
        ("안녕하세요 도와주세요", ""),
        ("Привет, как дела?", ""),
        ('Giải bài tập này theo định lý xác suất giúp tôi: "A fair coin is tossed five times. What is expected?"', ""),
        ("объясни, пожалуйста, почему эта функция возвращает ноль: def f(x): return x and the value of it", ""),
        ("1234 + 5678", ""),
        ("Leider kann ich am Freitag nicht kommen.\n\nTranslate this into English.", "en"),
        ("今天下午开会。\n\nTranslate this into English.", "en"),
        ("The lift is out of order.\n\n翻译成中文", "zh"),
        ("Leider kann ich am Freitag nicht kommen.\n\nBitte übersetze das.", ""),
        ("Übersetze das bitte ins Polnische.\nPlease keep off the grass.", ""),
        ("解释代码 a = sorted(set(b), key=b.index)", "zh"),
        ("x = None\nprint(x.name)\nAttributeError: x\n\n报错原因 解决方法", "zh"),
        ("The lift is out of order and I am in it; so what?\n今天下午开会", "en"),
        ("北京 is the capital of China and has many people (21 million)", "en"),
        ("", ""),
    ],
)
def test_the_asker_decides_not_what_is_pasted(text: str, language: str) -> None:
    assert language_of(text) == language


@given(st.text(max_size=300))
def test_any_text_has_one_of_three_answers(text: str) -> None:
    assert language_of(text) in ("en", "zh", "")
