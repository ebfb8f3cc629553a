# What is installed, and where. PREFIX and DESTDIR are for everybody, the directories for packagers.

# ---- made from what the program says of itself --------------------------------------------------

# Where what was built cannot run here: the path of a heapwalk of the same version that can.
HELP_OF ?= $(BUILD)/heapwalk

PAGES       := $(addprefix $(BUILD)/man/,heapwalk.1 heapwalk-json.5)
COMPLETIONS := $(addprefix $(BUILD)/completions/heapwalk.,bash zsh fish)
export PYTHONDONTWRITEBYTECODE := 1

all: $(PAGES) $(COMPLETIONS)

$(PAGES): $(BUILD)/man/%: man/%.in scripts/make-man.py scripts/usage.py $(wildcard docs/*.schema.json) \
        include/heapwalk/metrics.def $(BUILD)/heapwalk
	@mkdir -p $(@D)
	$(call run,MAN,$@,$(PYTHON) scripts/make-man.py $(HELP_OF) $< > $@.new && mv $@.new $@)

$(COMPLETIONS): $(BUILD)/completions/heapwalk.%: scripts/make-completions.py scripts/usage.py $(BUILD)/heapwalk
	@mkdir -p $(@D)
	$(call run,SHELL,$@,$(PYTHON) scripts/make-completions.py $(HELP_OF) $* > $@.new && mv $@.new $@)

# ---- install ------------------------------------------------------------------------------------

BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR    ?= $(PREFIX)/share
DOCDIR     ?= $(DATADIR)/doc/heapwalk
MANDIR     ?= $(DATADIR)/man
BASHDIR    ?= $(DATADIR)/bash-completion/completions
ZSHDIR     ?= $(DATADIR)/zsh/site-functions
FISHDIR    ?= $(DATADIR)/fish/vendor_completions.d
# gdb 9 and newer read all scripts of such a directory as they start. Distributions have it in /etc.
GDBINITDIR ?= $(if $(filter /usr /usr/local,$(PREFIX)),/etc,$(PREFIX)/etc)/gdb/gdbinit.d
GDB_SCRIPT := $(wildcard scripts/heapwalk-gdb.py)
STRIP      ?= strip

.PHONY: install install-files install-strip strip-files uninstall uninstall-files

install: all
	@$(MAKE) --no-print-directory install-files

# Copies what is built already.
install-files:
	install -D -m 755 $(BUILD)/heapwalk $(DESTDIR)$(BINDIR)/heapwalk
	install -D -m 644 -t $(DESTDIR)$(LIBDIR) $(BUILD)/$(SHARED) $(BUILD)/libheapwalk.a
	ln -sf $(SHARED) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libheapwalk.so
	install -D -m 644 heapwalk.pc.in $(DESTDIR)$(LIBDIR)/pkgconfig/heapwalk.pc
	sed -i -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|' \
	    -e 's|@VERSION@|$(VERSION)|; s|@LIB_PKGS@|$(LIB_PKGS)|' $(DESTDIR)$(LIBDIR)/pkgconfig/heapwalk.pc
	install -D -m 644 -t $(DESTDIR)$(INCLUDEDIR)/heapwalk include/heapwalk/*
	install -D -m 644 -t $(DESTDIR)$(MANDIR)/man1 $(BUILD)/man/heapwalk.1
	install -D -m 644 -t $(DESTDIR)$(MANDIR)/man5 $(BUILD)/man/heapwalk-json.5
	install -D -m 644 $(BUILD)/completions/heapwalk.bash $(DESTDIR)$(BASHDIR)/heapwalk
	install -D -m 644 $(BUILD)/completions/heapwalk.zsh $(DESTDIR)$(ZSHDIR)/_heapwalk
	install -D -m 644 $(BUILD)/completions/heapwalk.fish $(DESTDIR)$(FISHDIR)/heapwalk.fish
ifneq ($(GDB_SCRIPT),)
	install -D -m 644 $(GDB_SCRIPT) $(DESTDIR)$(DATADIR)/heapwalk/heapwalk-gdb.py
	install -d $(DESTDIR)$(GDBINITDIR)
	ln -sfr $(DESTDIR)$(DATADIR)/heapwalk/heapwalk-gdb.py $(DESTDIR)$(GDBINITDIR)/heapwalk.py
endif
	install -D -m 644 -t $(DESTDIR)$(DOCDIR) README.md LICENSE docs/*.md docs/*.schema.json
	install -D -m 644 -t $(DESTDIR)$(DOCDIR)/examples examples/*.c

# The debug information stays in the build directory.
install-strip: install
	@$(MAKE) --no-print-directory strip-files

strip-files:
	$(STRIP) $(DESTDIR)$(BINDIR)/heapwalk
	$(STRIP) --strip-unneeded $(DESTDIR)$(LIBDIR)/$(SHARED)
	$(STRIP) --strip-debug $(DESTDIR)$(LIBDIR)/libheapwalk.a

# What install writes, as seen by having it write elsewhere; and directories of our own.
uninstall: all
	@$(MAKE) --no-print-directory uninstall-files
uninstall-files: WHERE = $(abspath $(BUILD)/listed)
uninstall-files:
	@rm -rf $(WHERE)
	@$(MAKE) -s --no-print-directory install-files DESTDIR=$(WHERE)
	cd $(WHERE) && find . ! -type d -printf '$(abspath $(DESTDIR))/%P\0' | xargs -0 rm -f
	cd $(WHERE) && find . -depth -type d -path '*/heapwalk*' -printf '$(abspath $(DESTDIR))/%P\0' | \
	    xargs -0 -r -n 1 sh -c '! test -d "$$0" || rmdir --ignore-fail-on-non-empty "$$0"'
	@rm -rf $(WHERE)
