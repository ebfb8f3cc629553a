# heapwalk. The two commands to know: make demo, make check. `make help` lists the rest.
#
#   make CC=clang                 another compiler
#   make check SANITIZE=1         with AddressSanitizer and UBSan
#   make check BUILD=/tmp/b       somewhere else
#   make WERROR=1                 a warning is an error
#   make V=1                      show the whole commands
#   make DEPS=check               do not install missing packages, only name them; DEPS=no: do not look

CC      ?= cc
PREFIX  ?= /usr/local
DESTDIR ?=
PYTHON  ?= /usr/bin/python3
BUILD   ?= $(if $(SANITIZE),build/sanitize,build)
DEPS    ?= install

CFLAGS   ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
            -Wpointer-arith -Wwrite-strings -Wvla $(if $(WERROR),-Werror)
comma    := ,
# FUZZING, set by `make fuzz` for a directory of its own: code that tells which way it goes, and small buffers.
SANFLAGS := $(if $(SANITIZE)$(FUZZING),-fsanitize=address$(comma)undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
SANFLAGS += $(if $(FUZZING),-fsanitize=fuzzer-no-link -DHW_SEEKER_BYTES=131072u -DHW_WINDOW_BYTES=8192u -DHW_SWEEP_MISSES=1)
PKGS     := libdw libelf libdeflate jansson smartcols capstone libzstd liblz4 liblzma zlib libseccomp
STD      := -std=gnu11 -D_GNU_SOURCE -pthread -Iinclude -Isrc

# Which groups of packages (see scripts/install-deps.sh) the goals need; the rest needs none.
GOALS       := $(or $(MAKECMDGOALS),all)
DEPS_GROUPS := $(strip \
    $(if $(filter-out help clean format deps check-layers,$(GOALS)),build) \
    $(if $(filter demo bench,$(GOALS)),demo) \
    $(if $(filter fuzz fuzzers lint,$(GOALS)),fuzz) \
    $(if $(filter check check-% stress victims bench lint flags,$(GOALS)),tests) \
    $(if $(filter check-matrix,$(GOALS)),matrix) \
    $(if $(filter lint format,$(GOALS)),tools))

ifneq ($(DEPS_GROUPS),)
ifneq ($(DEPS),no)
# Installs what is missing, and does nothing (in some milliseconds) when nothing is.
DEPS_STATUS := $(shell CC='$(CC)' PYTHON='$(PYTHON)' scripts/install-deps.sh --group '$(DEPS_GROUPS)' \
                   $(if $(filter check,$(DEPS)),--check,--if-missing) >&2 && echo ok)
ifneq ($(DEPS_STATUS),ok)
$(error some packages are missing: see above, or run scripts/install-deps.sh)
endif
endif
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS))
PKG_LIBS   := $(shell pkg-config --libs $(PKGS)) -ldl
endif

ALL_CFLAGS  = $(STD) $(CFLAGS) $(WARNINGS) $(SANFLAGS) $(PKG_CFLAGS)
ALL_LDFLAGS = $(LDFLAGS) $(SANFLAGS)

LIB_SRCS  := $(sort $(shell find src -name '*.c' -not -path 'src/cli/*'))
CLI_SRCS  := $(sort $(wildcard src/cli/*.c))
UNIT_SRCS := $(sort $(shell find tests/unit -name '*.c'))
FUZZ_SRCS := $(sort $(filter-out tests/fuzz/entry.c,$(wildcard tests/fuzz/*.c)) \
             $(wildcard tests/unit/alloc/builder*.c tests/unit/alloc/forms.c))
FUZZERS   := core walk roots debug unpack
C_FILES   := $(sort $(shell find src include tests bench demo -name '*.[ch]'))
VICTIMS   := $(patsubst tests/victims/%.c,$(BUILD)/victims/%,$(filter-out tests/victims/victim.c,$(wildcard tests/victims/*.c)))

# $(call run,WHAT,FILE,COMMAND): one short line for each command; all of it with V=1.
run = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2);) $(3)
# $(call remember,TEXT): the target is a file that holds TEXT; it is touched only when TEXT is new.
remember = @mkdir -p $(@D); echo '$(1)' | cmp -s - $@ || echo '$(1)' > $@
obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

.PHONY: all demo check check-unit check-e2e check-layers check-matrix stress fuzz fuzzers bench install format lint deps clean help victims flags FORCE

all: $(BUILD)/heapwalk

$(BUILD)/heapwalk: $(call obj,$(CLI_SRCS)) $(BUILD)/libheapwalk.a $(BUILD)/.sources
	$(call run,LINK,$@,$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^) $(PKG_LIBS))

$(BUILD)/libheapwalk.a: $(call obj,$(LIB_SRCS)) $(BUILD)/.sources
	@rm -f $@
	$(call run,AR,$@,$(AR) rcs $@ $(filter %.o,$^))

$(BUILD)/obj/%.o: %.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(call run,CC,$<,$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<)

# Rebuild everything when compiler or flags change.
$(BUILD)/.flags: FORCE
	$(call remember,$(CC) $(ALL_CFLAGS) $(LDFLAGS))

# Put the archive and the programs together again when a source was added or removed.
$(BUILD)/.sources: FORCE
	$(call remember,$(LIB_SRCS) $(CLI_SRCS) $(UNIT_SRCS) $(FUZZ_SRCS))

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# ---- tests --------------------------------------------------------------------------------------

# Victims are never sanitized: their heap must be glibc's own. No optimization across malloc/free.
$(BUILD)/victims/%: tests/victims/%.c $(wildcard tests/victims/victim.[ch])
	@mkdir -p $(@D)
	$(call run,CC,$<,$(CC) -std=gnu11 -D_GNU_SOURCE -O1 -g -fno-builtin $(WARNINGS) -pthread -o $@ $< tests/victims/victim.c)

victims: $(VICTIMS)

$(BUILD)/unit: $(call obj,$(UNIT_SRCS)) $(BUILD)/libheapwalk.a $(BUILD)/.sources
	$(call run,LINK,$@,$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^) $(PKG_LIBS) -lcriterion)

$(call obj,$(sort $(UNIT_SRCS) $(FUZZ_SRCS))): private ALL_CFLAGS += -Itests/unit

check: all $(BUILD)/unit $(BUILD)/fuzz/replay victims
	BUILD=$(BUILD) PYTHON=$(PYTHON) tests/run.sh

check-unit: $(BUILD)/unit
	$(BUILD)/unit

check-e2e: all victims
	$(PYTHON) tests/e2e/run.py --build $(BUILD) $(E2E)

check-layers:
	$(PYTHON) tests/layers.py

# Hundreds of times at targets that never stand still; check has a short version of it.
# STRESS='--rounds 500 --seconds 0' takes as long as it takes, STRESS=killed selects.
stress: all victims
	$(PYTHON) tests/stress/run.py --build $(BUILD) $(STRESS)

# Runs inputs of fuzzers once more: what they found, and their corpus. With any compiler.
$(BUILD)/fuzz/replay: $(call obj,$(FUZZ_SRCS)) $(BUILD)/libheapwalk.a $(BUILD)/.sources
	@mkdir -p $(@D)
	$(call run,LINK,$@,$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^) $(PKG_LIBS))

# One program for each fuzzer, for libFuzzer (clang), or for AFL++ with CC=afl-clang-fast.
fuzzers: $(addprefix $(BUILD)/fuzz/,$(FUZZERS))

$(addprefix $(BUILD)/fuzz/,$(FUZZERS)): $(BUILD)/fuzz/%: tests/fuzz/entry.c \
        $(filter-out %/replay.o,$(call obj,$(FUZZ_SRCS))) $(BUILD)/libheapwalk.a $(BUILD)/.sources
	@mkdir -p $(@D)
	$(call run,LINK,$@,$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -fsanitize=fuzzer -DFUZZER=$* \
	    -o $@ $(filter %.c %.o %.a,$^) $(PKG_LIBS))

# Its comparisons are with constants of our own, hundreds for each word of memory: they teach nothing.
$(BUILD)/obj/src/alloc/glibc/table.o: private SANFLAGS += $(if $(FUZZING),-fno-sanitize-coverage=trace-cmp)

# FUZZ='walk core' selects, SECONDS=3600 is for each of them. What they learn and find: tests/fuzz/run.py.
FUZZ_CC ?= clang
fuzz:
	$(MAKE) --no-print-directory CC=$(FUZZ_CC) FUZZING=1 BUILD=$(BUILD)/fuzzing fuzzers
	$(PYTHON) tests/fuzz/run.py --build $(BUILD)/fuzzing $(if $(SECONDS),--seconds $(SECONDS)) $(FUZZ)

# Under the libcs of other releases and machines, fetched once; not part of check.
# MATRIX='-k sid -k live' selects; MATRIX=--sample takes some victims for each libc.
check-matrix: all
	$(PYTHON) tests/matrix/run.py --build $(BUILD) $(MATRIX)

# ---- the rest -----------------------------------------------------------------------------------

demo: all $(BUILD)/demo/fragmented
	BUILD=$(BUILD) scripts/demo.sh

$(BUILD)/demo/%: demo/%.c
	@mkdir -p $(@D)
	$(call run,CC,$<,$(CC) -std=gnu11 -D_GNU_SOURCE -O1 -g $(WARNINGS) -pthread -o $@ $<)

# BENCH=pause,gap selects; BENCH_GIB=8 allows for larger heaps.
bench: all $(patsubst bench/%.c,$(BUILD)/bench/%,$(wildcard bench/*.c))
	$(PYTHON) bench/run.py --build $(BUILD) $(subst $(comma), ,$(BENCH))

$(BUILD)/bench/%: bench/%.c
	@mkdir -p $(@D)
	$(call run,CC,$<,$(CC) -std=gnu11 -D_GNU_SOURCE -O2 -g -fno-builtin-malloc $(WARNINGS) -pthread -o $@ $< -lm)

install: all
	install -D -m 755 $(BUILD)/heapwalk $(DESTDIR)$(PREFIX)/bin/heapwalk
	install -D -m 644 $(BUILD)/libheapwalk.a $(DESTDIR)$(PREFIX)/lib/libheapwalk.a
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/include/heapwalk include/heapwalk/heapwalk.h include/heapwalk/metrics.def
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/heapwalk README.md LICENSE docs/report.schema.json docs/dryrun.schema.json

format:
	clang-format -i $(C_FILES)

lint:
	MAKE='$(MAKE)' PYTHON='$(PYTHON)' scripts/lint.sh

# What the sources are compiled with, for tools that parse them.
flags:
	@echo '$(STD) -Itests/unit $(WARNINGS) $(PKG_CFLAGS)'

deps:
	scripts/install-deps.sh

# Only what we made: BUILD may be a directory that holds other things.
clean:
	rm -rf $(if $(filter build,$(BUILD)),build,$(addprefix $(BUILD)/,obj unit heapwalk libheapwalk.a victims demo bench fuzz fuzzing .flags .sources))

help:
	@echo 'make            build/heapwalk and build/libheapwalk.a'
	@echo 'make demo       show the main job on a really fragmented program, live and from a core'
	@echo 'make check      all tests; SANITIZE=1 with sanitizers, CC=clang with clang'
	@echo 'make check-matrix  the victims under the glibcs of four Debian releases and three machines'
	@echo 'make stress     hundreds of runs at busy targets, some of them killed, for about three minutes'
	@echo 'make fuzz       bytes made to break it, with libFuzzer; FUZZ=walk SECONDS=3600'
	@echo 'make bench      speed, memory and pauses, as ratios to a plain read; BENCH=pause,gap selects'
	@echo 'make install    to PREFIX=/usr/local, below DESTDIR= if given'
	@echo 'make lint       clang-format, clang-tidy, cppcheck, shellcheck, pyflakes, layers'
	@echo 'make format     rewrite the sources in the house style'
	@echo 'make deps       install every Debian package that build, tests and tools need'
	@echo 'make clean      remove what was built'
