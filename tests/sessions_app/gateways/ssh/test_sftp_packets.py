"""Packets of SFTP, also from clients that break the rules."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.gateways.ssh import sftp_packets as wire
from sessions_app.gateways.ssh.sftp_packets import Attributes, BadPacket, Packet

attributes = st.builds(
    Attributes,
    mode=st.none() | st.integers(0, 2**32 - 1),
    size=st.none() | st.integers(0, 2**64 - 1),
    time=st.none() | st.integers(0, 2**32 - 1),
)


@given(attributes)
def test_attributes_survive(about):
    packet = Packet(bytes((wire.SETSTAT,)) + about.encoded())
    assert packet.attributes() == about


@given(st.binary(min_size=1, max_size=60))
def test_no_bytes_lead_further_than_their_end(data):
    packet = Packet(data)
    for read in (packet.number, packet.text, packet.attributes, packet.long):
        try:
            read()
        except BadPacket:
            return


def test_attributes_with_endless_extensions_are_too_short():
    with pytest.raises(BadPacket):
        Packet(bytes((wire.SETSTAT,)) + struct.pack(">II", 0x8000_0000, 2**32 - 1)).attributes()


def test_a_status_has_its_id_code_and_text():
    packet = Packet(wire.status(7, wire.NO_SUCH_FILE, "No such file")[4:])
    assert (packet.type, packet.number(), packet.number(), packet.text()) == (101, 7, 2, b"No such file")
