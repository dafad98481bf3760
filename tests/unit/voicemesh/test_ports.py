import socket

import pytest

from voicemesh import ports
from voicemesh.ports import Wanted
from voicemesh.trouble import PortsTaken


def test_free_ports_pass():
    ports.check([Wanted("PORT", ports.free()), Wanted("STT_PORT", ports.free())])


def test_several_are_different_and_not_those_the_system_gives_to_connections():
    found = ports.several(20)
    assert len(set(found)) == 20
    assert all(port < 32_768 for port in found)
    ports.check([Wanted(f"PORT_{port}", port) for port in found])


def test_a_port_in_use_is_named_with_its_setting():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortsTaken) as taken:
            ports.check([Wanted("PORT", port), Wanted("STT_PORT", ports.free())])
    assert str(taken.value) == f"port {port} is in use: free it, or set PORT to another"


def test_all_ports_in_use_are_named_at_once():
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
        wanted = [Wanted("PORT", one.getsockname()[1]), Wanted("TTS_PORT", two.getsockname()[1])]
        with pytest.raises(PortsTaken) as taken:
            ports.check(wanted)
    assert len(str(taken.value).splitlines()) == 2


def test_a_port_wanted_twice_names_both_settings():
    port = ports.free()
    with pytest.raises(PortsTaken, match=f"LLM_PORT and PORT are both {port}"):
        ports.check([Wanted("PORT", port), Wanted("LLM_PORT", port)])


def test_a_host_that_is_not_ours_is_named():
    with pytest.raises(PortsTaken, match=r"192\.0\.2\.1"):
        ports.check([Wanted("PORT", ports.free(), "192.0.2.1")])
