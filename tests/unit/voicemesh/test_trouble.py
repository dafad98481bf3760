from voicemesh import trouble


def test_every_trouble_is_in_the_list_at_the_top():
    kinds = {kind.__name__ for kind in trouble.Trouble.__subclasses__()}
    assert kinds
    assert all(f"* {name}: " in trouble.__doc__ for name in kinds)
