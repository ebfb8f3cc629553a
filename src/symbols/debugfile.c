/*
 * Where the debug file of a stripped file is. In this order:
 *
 *     ROOT/.build-id/xx/yyyy.debug      the build-id is xxyyyy
 *     DIR/NAME, DIR/.debug/NAME,        the file lies in DIR and its .gnu_debuglink says NAME
 *     ROOT/DIR/NAME
 *     what libdwfl finds                debuginfod, and files without a build-id, by CRC
 *
 * ROOT is each absolute place of the debuginfo path, then /usr/lib/debug. The process may live in a
 * container with its own debug packages, so every place is looked at there as well.
 *
 * libdwfl knows most of these places too, but when it finds nothing it loads libdebuginfod, which
 * brings libcurl and several MiB, only to notice that there is no server to ask. So it comes last,
 * and only where it can help.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "symbols/private.h"

#include <elfutils/libdwelf.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define DEFAULT_ROOT "/usr/lib/debug"

/* Open what was found, if it really is what was searched for. */
static bool accept(const struct hw_debug_search *s, int fd, const char *path,
                   struct hw_elf_file *ret)
{
    if (fd < 0 || hw_elf_open(fd, path, s->machine, ret, NULL) != HW_OK)
        return false;
    if (ret->build_id_len == s->build_id_len &&
        memcmp(ret->build_id, s->build_id, s->build_id_len) == 0)
        return true;
    hw_elf_close(ret);
    return false;
}

/* Look at a path, ours and the target's own of that name. */
static bool try_path(const struct hw_debug_search *s, const char *path, struct hw_elf_file *ret)
{
    return accept(s, hw_open_regular(AT_FDCWD, path, false, NULL), path, ret) ||
           (s->root >= 0 && accept(s, hw_open_regular(s->root, path, true, NULL), path, ret));
}

/* Look at ROOT + `rest` for every ROOT. */
static bool try_roots(const struct hw_debug_search *s, const char *rest, struct hw_elf_file *ret)
{
    char path[PATH_MAX];
    int n;
    /* The list is libdwfl's: an entry may begin with + or - (whether to compare CRCs), and those
     * that are not absolute mean places beside the file. */
    for (const char *p = s->debuginfo_path; p && *p;) {
        size_t len = strcspn(p, ":"), sign = *p == '-' || *p == '+';
        if (len > sign && len < PATH_MAX && p[sign] == '/') {
            n = snprintf(path, sizeof path, "%.*s%s", (int)(len - sign), p + sign, rest);
            if (n > 0 && (size_t)n < sizeof path && try_path(s, path, ret))
                return true;
        }
        p += len + (p[len] == ':');
    }
    n = snprintf(path, sizeof path, DEFAULT_ROOT "%s", rest);
    return n > 0 && (size_t)n < sizeof path && try_path(s, path, ret);
}

bool hw_find_by_build_id(const struct hw_debug_search *s, const char *suffix,
                         struct hw_elf_file *ret)
{
    char hex[2 * 64 + 1], rest[256];
    if (s->build_id_len < 2)
        return false;
    hw_hex(s->build_id, s->build_id_len, hex, sizeof hex);
    snprintf(rest, sizeof rest, "/.build-id/%.2s/%s%s", hex, hex + 2, suffix);
    return try_roots(s, rest, ret);
}

/* The name of the debug file that `main` gives, NULL if none. A plain file name: with a slash it
 * could lead anywhere. */
static const char *debuglink(const struct hw_elf_file *main, GElf_Word *crc)
{
    const char *name = dwelf_elf_gnu_debuglink(main->elf, crc);
    return name && *name && !strchr(name, '/') ? name : NULL;
}

static bool find_by_debuglink(const struct hw_debug_search *s, const struct hw_elf_file *main,
                              struct hw_elf_file *ret)
{
    GElf_Word crc;
    const char *name = debuglink(main, &crc);
    const char *slash = strrchr(main->path, '/');
    if (!name || !slash || s->build_id_len == 0)
        return false;
    int dir_len = (int)(slash - main->path);
    char path[PATH_MAX];
    static const char *const between[] = {"/", "/.debug/"};
    for (size_t i = 0; i < 2; i++) {
        int n = snprintf(path, sizeof path, "%.*s%s%s", dir_len, main->path, between[i], name);
        if (n > 0 && (size_t)n < sizeof path && try_path(s, path, ret))
            return true;
    }
    int n = snprintf(path, sizeof path, "%.*s/%s", dir_len, main->path, name);
    return n > 0 && (size_t)n < sizeof path && main->path[0] == '/' && try_roots(s, path, ret);
}

static bool find_by_libdwfl(const struct hw_debug_search *s, const struct hw_elf_file *main,
                            struct hw_elf_file *ret)
{
    hw_autofree char *places = s->debuginfo_path ? strdup(s->debuginfo_path) : NULL;
    hw_autofree char *name = NULL;
    Dwfl_Callbacks callbacks = {.find_debuginfo = dwfl_standard_find_debuginfo,
                                .debuginfo_path = &places};
    Dwfl *dwfl = dwfl_begin(&callbacks);
    if (!dwfl)
        return false;
    /* libdwfl owns the descriptor if it takes it. The address does not matter: the session serves
     * only to find a file. */
    int fd = fcntl(main->fd, F_DUPFD_CLOEXEC, 0), found = -1;
    dwfl_report_begin(dwfl);
    Dwfl_Module *mod = dwfl_report_elf(dwfl, "", main->path, fd, 0, true);
    if (!mod && fd >= 0)
        close(fd);
    dwfl_report_end(dwfl, NULL, NULL);
    if (mod) {
        GElf_Word crc = 0;
        const char *link = debuglink(main, &crc);
        void *data = NULL;
        found = dwfl_standard_find_debuginfo(mod, &data, "", 0, main->path, link, crc, &name);
    }
    dwfl_end(dwfl);
    return accept(s, found, name ? name : main->path, ret);
}

bool hw_find_debug_file(const struct hw_debug_search *s, const struct hw_elf_file *main,
                        struct hw_elf_file *ret)
{
    if (hw_find_by_build_id(s, ".debug", ret))
        return true;
    if (!main->elf)
        return false;
    if (find_by_debuglink(s, main, ret))
        return true;
    const char *servers = getenv("DEBUGINFOD_URLS");
    return (s->build_id_len == 0 || (servers && *servers)) && find_by_libdwfl(s, main, ret);
}
