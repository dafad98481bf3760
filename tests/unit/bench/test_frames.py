from bench import frames


def test_prints_what_a_frame_costs_each_way(capsys, monkeypatch):
    monkeypatch.setattr(frames, "ROUNDS", 50)
    frames.main()
    rows = [line.rsplit(maxsplit=3) for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == [
        "json.loads + b64decode",
        "frame in",
        "frame out",
        "kept in, besides",
        "kept out, besides",
        "µ-law in, besides",
        "µ-law out, besides",
    ]
    assert all(float(row[1]) > 0 for row in rows)
