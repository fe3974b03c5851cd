"""A host may write three subjects of its own and ask for what is kept; it reads its own answers alone."""

from portsentry_py.fleet.subjects import (
    OPERATOR,
    ROSTER,
    ban_subject,
    host_of,
    host_permissions,
    operator_permissions,
    state_subject,
)


def test_a_host_writes_its_own_subjects() -> None:
    publish, subscribe = host_permissions("web1")
    assert publish[:3] == ["psp.ban.web1", "psp.state.web1", "psp.seen.web1"]
    assert all(subject.startswith("$JS.API.DIRECT.GET.PSP.psp.") for subject in publish[3:])
    assert "_INBOX_web1.>" in subscribe


def test_the_operator_alone_writes_the_roster_and_makes_the_stream() -> None:
    publish, _ = operator_permissions()
    assert ROSTER in publish
    assert not any("DELETE" in subject or "PURGE" in subject for subject in publish)
    assert set(publish).isdisjoint(host_permissions(OPERATOR)[0])


def test_a_subject_names_its_host() -> None:
    assert host_of(ban_subject("web1")) == ("ban", "web1")
    assert host_of(state_subject("web-2")) == ("state", "web-2")
    assert host_of(ROSTER) == ("roster", "")
