# The command as one file that needs no other, for containers: what it lacks stands in src/cli/missing.c.

# Debian has no static libsmartcols, of which static/columns.c does what is needed.
STATIC_PKGS := $(filter-out smartcols,$(PKGS))
# What would be loaded at run time is not there, instead of being the wrong version: static/loading.c.
STATIC_WRAP := -Wl,--wrap=dlopen -Wl,--wrap=dlsym -Wl,--wrap=dlclose -Wl,--wrap=dlerror

.PHONY: static static-files

static: all
	@$(MAKE) --no-print-directory static-files

# Links what is compiled already.
static-files:
	@mkdir -p $(BUILD)/static
	$(call run,LINK,$(BUILD)/static/heapwalk,$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -static-pie $(STATIC_WRAP) \
	    $(shell pkg-config --cflags $(PKGS)) -o $(BUILD)/static/heapwalk $(wildcard static/*.c) \
	    $(filter-out %/cli/build.o,$(call obj,$(CLI_SRCS))) $(LIB_OBJS) $(shell pkg-config --static --libs $(STATIC_PKGS)))
