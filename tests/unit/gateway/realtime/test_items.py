from __future__ import annotations

from gateway.realtime.items import (
    MOST_PICTURED,
    FunctionCall,
    InputImage,
    InputText,
    Message,
    images_of,
    without_large_images,
)


def picture(n_chars: int) -> InputImage:
    return InputImage("x" * n_chars, "high")


def test_pictures_are_found():
    first, second = picture(1), picture(2)
    assert images_of(Message("i", "user", (first, InputText("a"), second))) == (first, second)
    assert images_of(FunctionCall("i", "f", "c")) == ()


def test_small_pictures_stay_in_events():
    item = Message("i", "user", (picture(MOST_PICTURED // 2), picture(MOST_PICTURED // 2)))
    assert without_large_images(item) is item


def test_large_pictures_are_left_out_of_events():
    item = Message("i", "user", (InputText("a"), picture(MOST_PICTURED), picture(1)))
    assert without_large_images(item) == Message(
        "i", "user", (InputText("a"), InputImage(None, "high"), InputImage(None, "high"))
    )
