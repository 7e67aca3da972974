from hypothesis import given
from hypothesis import strategies as st

from gateway.ask import Turn
from gateway.records.frames import Frame, Scan, pack, stored, unpack
from gateway.records.schema import ExchangeRecord, decode

frames = st.lists(
    st.builds(
        lambda id, text, body: Frame(ExchangeRecord(id, turns=(Turn("user", text),)), body, "application/json"),
        st.text(max_size=20),
        st.text(max_size=50),
        st.binary(max_size=100),
    ),
    max_size=5,
)


def packed(items: list[Frame]) -> list[bytes]:
    buffer = bytearray()
    pieces = []
    for item in items:
        pack(item, buffer)
        pieces.append(bytes(buffer))
    return pieces


def read(data: bytes) -> list[Frame]:
    found = [stored(payload) for payload in unpack(data)[0]]
    return [Frame(decode(one.record), one.body, one.content_type, one.content_encoding) for one in found]


@given(frames)
def test_what_is_packed_is_read_back(items: list[Frame]) -> None:
    data = b"".join(packed(items))

    assert read(data) == items
    assert unpack(data)[1] == Scan(len(data), len(data))


@given(frames, st.data())
def test_a_segment_cut_anywhere_gives_all_frames_before_the_cut_and_no_other(
    items: list[Frame], data: st.DataObject
) -> None:
    pieces = packed(items)
    cut = data.draw(st.integers(0, sum(map(len, pieces))))
    whole, end = 0, 0
    while whole < len(pieces) and end + len(pieces[whole]) <= cut:
        end += len(pieces[whole])
        whole += 1

    assert read(b"".join(pieces)[:cut]) == items[:whole]
    assert unpack(b"".join(pieces)[:cut])[1] == Scan(end, cut, torn=cut > end)


@given(frames.filter(bool), st.data())
def test_a_changed_byte_costs_its_frame_and_invents_none(items: list[Frame], data: st.DataObject) -> None:
    pieces = packed(items)
    spoiled = bytearray(b"".join(pieces))
    at = data.draw(st.integers(0, len(spoiled) - 1))
    spoiled[at] ^= data.draw(st.integers(1, 255))
    before = 0
    while at >= len(pieces[before]):
        at -= len(pieces[before])
        before += 1

    assert read(bytes(spoiled)) == items[:before]


@given(st.binary(max_size=500))
def test_noise_holds_no_frames(noise: bytes) -> None:
    assert unpack(noise)[0] == []


def test_zeros_hold_no_frames() -> None:
    assert unpack(bytes(4096)) == ([], Scan(0, 4096))


def test_a_frame_inside_a_spoiled_one_is_not_believed() -> None:
    forged = packed([Frame(ExchangeRecord("forged"))])[0]
    outer = bytearray(packed([Frame(ExchangeRecord("outer"), forged)])[0])
    outer[4] ^= 1

    assert read(bytes(outer)) == []
    assert unpack(bytes(outer))[1].damaged
