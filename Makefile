# heapwalk. The two commands to know: make demo, make check. `make help` lists the rest.
#
#   make CC=clang                 another compiler
#   make check SANITIZE=1         with AddressSanitizer and UBSan
#   make check BUILD=/tmp/b       somewhere else
#   make WERROR=1                 a warning is an error
#   make V=1                      show the whole commands
#   make DEPS=check               do not install missing packages, only name them; DEPS=no: do not look

CC      ?= cc
OBJCOPY ?= objcopy
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
LIB_PKGS := libdw libelf libdeflate jansson smartcols capstone libzstd liblz4 liblzma zlib
PKGS     := $(LIB_PKGS) libseccomp
STD      := -std=gnu11 -D_GNU_SOURCE -pthread -Iinclude -Isrc

# Which groups of packages (see scripts/install-deps.sh) the goals need; the rest needs none.
GOALS       := $(or $(MAKECMDGOALS),all)
DEPS_GROUPS := $(strip \
    $(if $(filter-out help clean format deps check-layers %-files,$(GOALS)),build) \
    $(if $(filter demo bench,$(GOALS)),demo) \
    $(if $(filter fuzz fuzzers lint,$(GOALS)),fuzz) \
    $(if $(filter check check-unit check-e2e check-matrix stress victims bench lint flags,$(GOALS)),tests) \
    $(if $(filter check-matrix,$(GOALS)),matrix) \
    $(if $(filter check-package,$(GOALS)),package) \
    $(if $(filter lint format docs,$(GOALS)),tools))

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
LIB_LIBS   := $(shell pkg-config --libs $(LIB_PKGS)) -ldl
endif

VERSION := $(shell sed -n 's/^\#define HW_VERSION_STRING "\(.*\)"/\1/p' include/heapwalk/heapwalk.h)
SONAME  := libheapwalk.so.0
SHARED  := libheapwalk.so.$(VERSION)

ALL_CFLAGS  = $(STD) $(CPPFLAGS) $(CFLAGS) $(WARNINGS) $(SANFLAGS) $(PKG_CFLAGS)
ALL_LDFLAGS = $(LDFLAGS) $(SANFLAGS)

LIB_SRCS  := $(sort $(shell find src -name '*.c' -not -path 'src/cli/*'))
CLI_SRCS  := $(sort $(wildcard src/cli/*.c))
UNIT_SRCS := $(sort $(shell find tests/unit -name '*.c'))
FUZZ_SRCS := $(sort $(filter-out tests/fuzz/entry.c,$(wildcard tests/fuzz/*.c)) \
             $(wildcard tests/unit/alloc/builder*.c tests/unit/alloc/forms.c))
FUZZERS   := core walk roots debug unpack report
C_FILES   := $(sort $(shell find src include tests bench demo examples static -name '*.[ch]'))
VICTIMS   := $(patsubst tests/victims/%.c,$(BUILD)/victims/%,$(filter-out tests/victims/victim.c,$(wildcard tests/victims/*.c)))

# $(call run,WHAT,FILE,COMMAND): one short line for each command; all of it with V=1.
run = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2);) $(3)
# $(call remember,TEXT): the target is a file that holds TEXT; it is touched only when TEXT is new.
remember = @mkdir -p $(@D); echo '$(1)' | cmp -s - $@ || echo '$(1)' > $@
obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIB_OBJS := $(call obj,$(LIB_SRCS))

.PHONY: all demo check check-unit check-e2e check-layers check-matrix check-package stress fuzz fuzzers bench docs format lint deps clean help victims flags FORCE

all: $(BUILD)/heapwalk $(BUILD)/$(SHARED)

# The command is what a user of the library could write: it gets no more than the library shows.
$(BUILD)/heapwalk: $(call obj,$(CLI_SRCS)) $(BUILD)/libheapwalk.a $(BUILD)/.sources
	$(call run,LINK,$@,$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^) $(PKG_LIBS))

# All objects as one, in which only what the header declares is global: internal names cannot clash
# with those of a program that links it.
$(BUILD)/libheapwalk.a: $(LIB_OBJS) $(BUILD)/.sources
	@rm -f $@ && $(CC) -r -nostdlib -o $(@:a=o) $(filter %.o,$^)
	@$(OBJCOPY) --localize-hidden $(@:a=o)
	$(call run,AR,$@,$(AR) rcs $@ $(@:a=o))

# Exports what the map names, which is what the header declares (tests/e2e/install.py).
$(BUILD)/$(SHARED): $(LIB_OBJS) src/libheapwalk.map $(BUILD)/.sources
	$(call run,LINK,$@,$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -shared -Wl$(comma)-soname$(comma)$(SONAME) \
	    -Wl$(comma)--version-script=src/libheapwalk.map -o $@ $(filter %.o,$^) $(LIB_LIBS))
	@ln -sf $(SHARED) $(BUILD)/$(SONAME) && ln -sf $(SONAME) $(BUILD)/libheapwalk.so

# The same objects for both libraries. What the header declares is visible, all else stays inside.
$(LIB_OBJS): private ALL_CFLAGS += -fPIC -fvisibility=hidden

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

$(BUILD)/unit: $(call obj,$(UNIT_SRCS) src/cli/watched.c) $(LIB_OBJS) $(BUILD)/.sources
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
$(BUILD)/fuzz/replay: $(call obj,$(FUZZ_SRCS)) $(LIB_OBJS) $(BUILD)/.sources
	@mkdir -p $(@D)
	$(call run,LINK,$@,$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^) $(PKG_LIBS))

# One program for each fuzzer, for libFuzzer (clang), or for AFL++ with CC=afl-clang-fast.
fuzzers: $(addprefix $(BUILD)/fuzz/,$(FUZZERS))

$(addprefix $(BUILD)/fuzz/,$(FUZZERS)): $(BUILD)/fuzz/%: tests/fuzz/entry.c \
        $(filter-out %/replay.o,$(call obj,$(FUZZ_SRCS))) $(LIB_OBJS) $(BUILD)/.sources
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

# The Debian packages, by lintian and in a small clean system; takes root and some minutes.
check-package:
	scripts/check-package.sh

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

include mk/install.mk mk/static.mk

# The reference of the library, in build/reference/html; fails where anything is not documented.
docs:
	@mkdir -p $(BUILD)/reference
	BUILD=$(BUILD) VERSION=$(VERSION) PYTHON=$(PYTHON) doxygen docs/Doxyfile

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
	rm -rf $(if $(filter build,$(BUILD)),build,$(addprefix $(BUILD)/,obj unit heapwalk libheapwalk.* man completions reference static victims demo bench fuzz fuzzing .flags .sources))

help:
	@echo 'make            build/heapwalk and the libraries behind it, build/libheapwalk.{a,so}'
	@echo 'make demo       show the main job on a really fragmented program, live and from a core'
	@echo 'make check      all tests; SANITIZE=1 with sanitizers, CC=clang with clang'
	@echo 'make check-matrix  the victims under the glibcs of four Debian releases and three machines'
	@echo 'make check-package  the Debian packages, by lintian and in a small clean system'
	@echo 'make stress     hundreds of runs at busy targets, some of them killed, for about three minutes'
	@echo 'make fuzz       bytes made to break it, with libFuzzer; FUZZ=walk SECONDS=3600'
	@echo 'make bench      speed, memory and pauses, as ratios to a plain read; BENCH=pause,gap selects'
	@echo 'make static     build/static/heapwalk, which needs no other file'
	@echo 'make install    to PREFIX=/usr/local, below DESTDIR= if given; also install-strip, uninstall'
	@echo 'make docs       the reference of the library, in build/reference/html'
	@echo 'make lint       clang-format, clang-tidy, cppcheck, shellcheck, pyflakes, doxygen, layers'
	@echo 'make format     rewrite the sources in the house style'
	@echo 'make deps       install every Debian package that build, tests and tools need'
	@echo 'make clean      remove what was built'
