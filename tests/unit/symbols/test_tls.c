#include "support.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct hw_error err;

struct opened {
    struct hw_target *target;
    struct hw_modules *modules;
    struct hw_module *libc;
};

static void open_modules(struct opened *o)
{
    cr_assert_eq(hw_modules_open(o->target, NULL, &o->modules, &err), HW_OK);
    o->libc = module_named(o->modules, "libc.so.6");
    cr_assert_not_null(o->libc);
}

static void close_opened(struct opened *o)
{
    hw_modules_close(o->modules);
    hw_target_close(o->target);
}

Test(tls, from_memory_where_no_file_is_loaded)
{
    pid_t pid = child_start(child_sleep, NULL);
    struct opened o;
    int64_t with, without;
    cr_assert_eq(hw_target_open_live(pid, &o.target, &err), HW_OK);
    open_modules(&o);
    cr_assert_eq(hw_module_tls_offset(o.modules, o.libc, &without, &err), HW_OK, "%s", err.text);
    cr_assert_eq(hw_module_load(o.modules, o.libc, &err), HW_OK, "%s", err.text);
    cr_assert_eq(hw_module_tls_offset(o.modules, o.libc, &with, &err), HW_OK, "%s", err.text);
    cr_assert_eq(with, without);
    cr_assert_lt(with, 0);
    close_opened(&o);
    child_end(pid);
}

/* A copy of libc as it stands in a process, to be damaged. */
static uint8_t *copy_libc(struct hw_buffer_range *ret, int64_t *offset, hw_addr *errno_offset)
{
    pid_t pid = child_start(child_sleep, NULL);
    struct opened o;
    struct hw_symbol s;
    cr_assert_eq(hw_target_open_live(pid, &o.target, &err), HW_OK);
    open_modules(&o);
    cr_assert_eq(hw_module_load(o.modules, o.libc, &err), HW_OK, "%s", err.text);
    cr_assert_eq(hw_module_tls_offset(o.modules, o.libc, offset, &err), HW_OK, "%s", err.text);
    cr_assert(hw_module_symbol(o.libc, "errno", &s));
    *errno_offset = s.address;
    size_t len = o.libc->end - o.libc->start;
    uint8_t *bytes = malloc(len);
    cr_assert_eq(hw_read_all(o.target, o.libc->start, bytes, len, &err), HW_OK, "%s", err.text);
    *ret = (struct hw_buffer_range){.start = o.libc->start,
                                    .bytes = bytes,
                                    .len = len,
                                    .flags = HW_MAP_READ,
                                    .path = strdup(o.libc->path)};
    close_opened(&o);
    child_end(pid);
    return bytes;
}

/* Replace the words that equal `from`; how many there were. */
static size_t replace_words(uint8_t *bytes, size_t len, uint64_t from, uint64_t to)
{
    size_t count = 0;
    for (size_t i = 0; i + 8 <= len; i += 8) {
        if (memcmp(bytes + i, &from, 8) == 0) {
            memcpy(bytes + i, &to, 8);
            count++;
        }
    }
    return count;
}

Test(tls, slots_that_disagree)
{
    struct hw_buffer_range range;
    struct opened o;
    int64_t offset, again;
    hw_addr errno_offset;
    uint8_t *bytes = copy_libc(&range, &offset, &errno_offset);

    cr_assert_eq(hw_target_open_buffer(&range, 1, NULL, 0, &o.target, &err), HW_OK);
    open_modules(&o);
    cr_assert_eq(hw_module_load(o.modules, o.libc, &err), HW_OK, "%s", err.text);
    cr_assert_eq(hw_module_tls_offset(o.modules, o.libc, &again, &err), HW_OK, "%s", err.text);
    cr_assert_eq(again, offset);

    uint64_t slot = (uint64_t)offset + errno_offset;
    cr_assert_geq(replace_words(bytes, range.len, slot, slot + 8), 1);
    cr_assert_eq(hw_module_tls_offset(o.modules, o.libc, &again, &err), HW_ERR_CORRUPT);
    cr_assert_not_null(strstr(err.text, "disagree"));
    close_opened(&o);
    free(bytes);
    free((void *)(uintptr_t)range.path);
}
