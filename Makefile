# The developers' chores. `make check` is what continuous integration runs.
.PHONY: check test lint fix deb accuracy fleet fleet-sweep attacks boot compare f2b-matrix ban-time ordinary innocents evasion bench report scan-speed faults soak fuzz footprint image packages firewalls man site clean

VENV := .venv/bin

check:
	.ci/run

test:
	./quickstart test

lint: $(VENV)/ruff
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	shellcheck quickstart .ci/run docker/entrypoint docker/packages/build docker/packages/p*st* docker/packages/prerm

fix: $(VENV)/ruff
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

# Builds the Debian package into dist/, for the release that it runs on, or RELEASE=debian13.
deb: $(VENV)/nfpm
	docker/packages/build $(RELEASE)

# The programs of tests/lab. Each writes its page, or its part of one, in docs/measurements; all but accuracy,
# fleet-sweep, innocents, report and fuzz need root. `python -m tests.lab.NAME --help` has the options.

# Scores the sensor over a directory of labelled captures, CAPTURES=DIR, whole and damaged in four ways.
accuracy: $(VENV)/python
	$(VENV)/python -m tests.lab.accuracy $(CAPTURES)

# Plays every attack that we know; takes more than an hour. NAMES="NAME NAME" are attacks or their beginnings.
attacks: $(VENV)/python
	$(VENV)/python -m tests.lab.attacks $(NAMES)

# Sends more than two hundred scans that try not to be seen, and a thousand in simulated time.
evasion: $(VENV)/python
	$(VENV)/python -m tests.lab.evasion

# Lets sensors watch the same scans; PEERS="--portsentry BINARY" lets portsentry take part.
compare: $(VENV)/python
	$(VENV)/python -m tests.lab.compare $(PEERS)

# Tries the jails with Debian's fail2ban and the source trees FAIL2BAN="TREE TREE", with every firewall.
f2b-matrix: $(VENV)/python
	$(VENV)/python -m tests.lab.fail2ban_matrix $(FAIL2BAN)

# How long a ban takes. Takes a quarter of an hour, most of it for a scanner that goes on after its ban.
ban-time: $(VENV)/python
	$(VENV)/python -m tests.lab.ban_time

# Lets an ordinary host live through a day in an hour; CAPTURES=DIR plays labelled innocent captures to it too.
ordinary: $(VENV)/python
	$(VENV)/python -m tests.lab.ordinary $(if $(CAPTURES),--captures $(CAPTURES))

# Makes thousands of ordinary host-days in simulated time, and shows who is banned in them. DAYS=N are others than 4000.
innocents: $(VENV)/python
	$(VENV)/python -m tests.lab.innocents $(if $(DAYS),--days $(DAYS))

# Measures speed, loss, memory and delay; PEERS="--portsentry BINARY --peer NAME=COMMAND" lets others take part.
bench: $(VENV)/python
	$(VENV)/python -m tests.lab.bench $(PEERS)

# Reads a log of ten million lines, beside jq and DuckDB by hand. Takes ten minutes and 8 GB of /var/tmp.
report: $(VENV)/python
	$(VENV)/python -m tests.lab.report

# Measures what a fleet does, and what the thief of one host's key can do to it; BROKER=FILE is another nats-server.
fleet: $(VENV)/python
	$(VENV)/python -m tests.lab.fleet $(if $(BROKER),--broker $(BROKER))

# Simulates fleets of up to 10,000 hosts that see together who asks each of them; HOSTS="N N" are others.
fleet-sweep: $(VENV)/python
	$(VENV)/python -m tests.lab.fleet_sweep $(if $(HOSTS),--hosts $(HOSTS))

# Scans all ports of a host, beside nmap.
scan-speed: $(VENV)/python
	$(VENV)/python -m tests.lab.scan_speed

# Breaks what is around the sensor. Takes an hour, most of it for a thousand deaths, and sets the clock of the machine
# wrong for seconds.
faults: $(VENV)/python
	$(VENV)/python -m tests.lab.faults

# Installs the service into a copy of a Debian or Ubuntu tree (debootstrap's, TREE=DIR), boots it and scans it.
boot: $(VENV)/python
	$(VENV)/python -m tests.lab.boot $(TREE)

# Measures starts, interfaces that come and go, and memory; BEFORE=DIR is an older checkout beside it.
footprint: $(VENV)/python
	$(VENV)/python -m tests.lab.footprint $(if $(BEFORE),--before $(BEFORE))

# Builds the container's image on a minbase tree of Debian 13, TREE=DIR, runs it with few rights and scans it.
image: $(VENV)/python
	$(VENV)/python -m tests.lab.image $(TREE)

# Installs the service beside ufw, then firewalld, in a booted copy of a tree, TREE=DIR, and scans it.
firewalls: $(VENV)/python
	$(VENV)/python -m tests.lab.firewalls $(TREE)

# Installs, scans, upgrades, reboots and purges the PACKAGE of `make deb` in a copy of a tree of its release, TREE=DIR.
packages: $(VENV)/python
	$(VENV)/python -m tests.lab.packages $(TREE) $(PACKAGE)

# Shows that memory and cost do not drift: 24 simulated hours at speed, then 20 minutes live.
soak: $(VENV)/python
	$(VENV)/python -m tests.lab.soak

# Fuzzes what reads hostile input. Takes an hour and a half, most of it for lines of tshark's. Needs
# `.venv/bin/pip install -e '.[test,fuzz]'`. Less: INPUTS=N, SECONDS=S, TARGETS="NAME NAME".
fuzz: $(VENV)/python
	$(VENV)/python -m tests.lab.fuzz $(if $(INPUTS),--inputs $(INPUTS)) $(if $(SECONDS),--seconds $(SECONDS)) $(TARGETS)

# Writes the manual pages into build/man, from the texts of --help and of the settings.
man: $(VENV)/python
	$(VENV)/python -m tests.support.man_pages build/man

# Builds all pages as a site with a search into build/site; a dead link fails it.
site: $(VENV)/python
	$(VENV)/python -m tests.support.site build/site

clean:
	rm -rf .venv build dist *.egg-info .coverage .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/ruff $(VENV)/python $(VENV)/nfpm:
	@echo "no Python environment yet: run ./quickstart test once" >&2; exit 1
