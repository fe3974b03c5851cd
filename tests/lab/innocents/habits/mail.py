"""Programs that look for mail, contacts, calendars and files at a name that points here."""

from tests.lab.innocents.scene import Scene

_IMAP, _POP, _SMTP = (143, 993), (110, 995), (587, 465, 25)


def guesses(scene: Scene) -> None:
    """A new account: configuration by the web first, then all combinations of mail ports, twice."""
    for at in scene.spread(scene.chances.randint(1, 4)):
        guest = scene.guest(six=0.1)
        scene.visit(guest, 443, 80, at=at)
        ports = [*_IMAP, *_POP, *_SMTP]
        if scene.chances.random() < 0.5:
            scene.chances.shuffle(ports)
        for turn in range(scene.chances.randint(1, 3)):
            scene.visit(guest, *ports, at=at + 0.3 + turn * scene.chances.uniform(3, 90), tries=1)


def calendars(scene: Scene) -> None:
    """A phone sets up contacts and calendars: secure ports first, then the plain ones."""
    for at in scene.spread(scene.chances.randint(1, 4)):
        guest = scene.guest()
        for nth, port in enumerate((443, 8443, 8843, 80, 8008, 8800)):
            scene.visit(guest, port, at=at + nth * scene.chances.uniform(0.1, 3), tries=1)


def old_accounts(scene: Scene) -> None:
    """The address was another's mail server; some phones still try it every few minutes, all day."""
    for _ in range(scene.chances.randint(1, 3)):
        guest, ports = scene.guest(), scene.chances.choice(((993, 587), (993, 465, 443), (143, 25), (995, 465)))
        for at in scene.spread(scene.chances.randint(12, 40)):
            scene.visit(guest, *ports, at=at)


def exchange(scene: Scene) -> None:
    """Mail servers deliver here and ask who is connected (ident); we deliver to one, and it calls back."""
    for at in scene.spread(scene.chances.randint(3, 20)):
        guest = scene.guest(six=0.1)
        scene.visit(guest, 25, at=at)
        if 25 in scene.tcp and scene.chances.random() < 0.3:
            scene.visit(guest, 587, 465, at=at + 2, tries=1)
    for at in scene.spread(scene.chances.randint(1, 6)):
        server = scene.guest(six=0)
        scene.connect(server, 25, at, lasts=3)
        scene.visit(server, 113, 25, at=at + 0.5, tries=1)


def shares(scene: Scene) -> None:
    """A computer of our network opens the host's name in its file manager, or looks for a printer."""
    for at in scene.spread(scene.chances.randint(1, 6)):
        guest = scene.neighbour()
        if scene.chances.random() < 0.6:
            scene.visit(guest, 445, 139, 548, at=at, tries=1)
            scene.datagram(guest, 137, at + 0.1, src_port=137)
        else:
            scene.visit(guest, 631, 9100, 515, at=at, tries=1)
            scene.datagram(guest, 161, at + 0.1)


HABITS = (guesses, calendars, old_accounts, exchange, shares)
