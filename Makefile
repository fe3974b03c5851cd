# The developers' chores. `make check` is what continuous integration runs.
.PHONY: check test lint fix accuracy boot compare f2b-matrix ban-time ordinary bench faults soak fuzz clean

VENV := .venv/bin

check:
	.ci/run

test:
	./quickstart test

lint: $(VENV)/ruff
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	shellcheck quickstart .ci/run

fix: $(VENV)/ruff
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

# Scores the sensor over a directory of labelled captures; writes docs/measurements/accuracy.md and .json.
accuracy: $(VENV)/python
	$(VENV)/python -m tests.lab.accuracy $(CAPTURES)

# Lets sensors watch the same scans, in network namespaces, as root; writes docs/measurements/compare.md.
# PEERS="--portsentry BINARY" lets portsentry take part.
compare: $(VENV)/python
	$(VENV)/python -m tests.lab.compare $(PEERS)

# Tries the jail pack with Debian's fail2ban and the source trees FAIL2BAN="TREE TREE", with every firewall, in
# network namespaces, as root; writes the table of docs/fail2ban.md.
f2b-matrix: $(VENV)/python
	$(VENV)/python -m tests.lab.fail2ban_matrix $(FAIL2BAN) -o docs

# Lets an ordinary host live through a day in an hour, in network namespaces, as root; writes docs/measurements/ordinary.md.
# CAPTURES=DIR plays labelled innocent captures to it too.
ordinary: $(VENV)/python
	$(VENV)/python -m tests.lab.ordinary $(if $(CAPTURES),--captures $(CAPTURES)) -o docs/measurements

# Measures speed, loss, memory and delay, in network namespaces, as root; writes docs/measurements/performance.md.
# PEERS="--portsentry BINARY --peer NAME=COMMAND" lets others take part.
bench: $(VENV)/python
	$(VENV)/python -m tests.lab.bench $(PEERS) -o docs/measurements

# Breaks what is around the sensor, in network namespaces, as root; writes the table of docs/measurements/reliability.md.
# Takes an hour, most of it for a thousand deaths, and sets the clock of the machine wrong for seconds.
faults: $(VENV)/python
	$(VENV)/python -m tests.lab.faults -o docs/measurements

# Installs the service into a copy of a Debian or Ubuntu tree (debootstrap's, TREE=DIR), boots it with systemd and
# scans it, as root; writes docs/measurements/boot.md.
boot: $(VENV)/python
	$(VENV)/python -m tests.lab.boot $(TREE) -o docs/measurements

# How long a ban takes, with Debian's fail2ban, in network namespaces, as root; writes into docs/fail2ban.md.
# Takes a quarter of an hour, most of it for a scanner that goes on after its ban.
ban-time: $(VENV)/python
	$(VENV)/python -m tests.lab.ban_time -o docs

# Shows that memory and cost do not drift: 24 simulated hours at speed, then 20 minutes live, in network
# namespaces, as root; writes into docs/measurements/reliability.md.
soak: $(VENV)/python
	$(VENV)/python -m tests.lab.soak -o docs/measurements

# Fuzzes what reads hostile input; writes the table of docs/measurements/fuzzing.md. Takes an hour and a half, most of it for
# lines of tshark's. Needs `.venv/bin/pip install -e '.[test,fuzz]'`. Less: INPUTS=N, SECONDS=S, TARGETS="NAME NAME".
fuzz: $(VENV)/python
	$(VENV)/python -m tests.lab.fuzz $(if $(INPUTS),--inputs $(INPUTS)) $(if $(SECONDS),--seconds $(SECONDS)) \
		-o docs/measurements $(TARGETS)

clean:
	rm -rf .venv build dist *.egg-info .coverage .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/ruff $(VENV)/python:
	@echo "no Python environment yet: run ./quickstart test once" >&2; exit 1
