#include "support.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct hw_target *target;
static struct hw_modules *modules;
static struct hw_error err;

static void open_live(pid_t pid)
{
    cr_assert_eq(hw_target_open_live(pid, &target, &err), HW_OK, "%s", err.text);
    cr_assert_eq(hw_modules_open(target, NULL, &modules, &err), HW_OK, "%s", err.text);
}

static void close_all(void)
{
    hw_modules_close(modules);
    hw_target_close(target);
    modules = NULL;
    target = NULL;
}

static struct hw_module *load(struct hw_module *mod)
{
    cr_assert_not_null(mod);
    cr_assert_eq(hw_module_load(modules, mod, &err), HW_OK, "%s (%s)", err.text, err.remedy);
    return mod;
}

/* ---- a live process -------------------------------------------------------------------------- */

static __thread int own_tls_variable = 42;

struct addresses {
    hw_addr tp, errno_at, own_at, malloc_info_at, curbrk;
};

static void tell_addresses(void *facts)
{
    struct addresses *a = facts;
    own_tls_variable++;
    /* malloc_info(), since a sanitizer does not put its own in the place of this one. */
    *a =
        (struct addresses){.tp = thread_pointer(),
                           .errno_at = (hw_addr)(uintptr_t)&errno,
                           .own_at = (hw_addr)(uintptr_t)&own_tls_variable,
                           .malloc_info_at = (hw_addr)(uintptr_t)dlsym(RTLD_DEFAULT, "malloc_info"),
                           .curbrk = (hw_addr)(uintptr_t)sbrk(0)};
}

Test(modules, libc_of_a_live_process)
{
    struct addresses a;
    pid_t pid = child_with_facts(tell_addresses, &a, sizeof a);
    open_live(pid);
    struct hw_module *libc = load(module_named(modules, "libc.so.6"));
    cr_assert(libc->has_build_id);
    cr_assert_eq(libc->build_id_len, 20);
    cr_assert_not_null(libc->file);
    cr_assert_eq(hw_module_load(modules, libc, &err), HW_OK, "twice is free");

    struct hw_symbol s;
    cr_assert(hw_module_symbol(libc, "malloc_info", &s));
    cr_assert_eq(s.address, a.malloc_info_at);
    cr_assert_not(s.is_tls);
    cr_assert(hw_module_symbol(libc, "malloc", &s));
    cr_assert_eq(hw_modules_at(modules, s.address), libc);
    cr_assert(hw_module_symbol(libc, "__curbrk", &s));
    uint64_t word;
    cr_assert_eq(hw_read_word(target, s.address, &word, &err), HW_OK);
    cr_assert_eq(word, a.curbrk);
    cr_assert_not(hw_module_symbol(libc, "no_such_symbol", &s));
    cr_assert_not(hw_module_symbol(libc, "", &s));

    char text[64];
    cr_assert(hw_module_find_text(libc, "GNU C Library", text, sizeof text));
    cr_assert_eq(strncmp(text, "GNU C Library", 13), 0, "%s", text);
    cr_assert_lt(strlen(text), sizeof text);
    cr_assert_not(hw_module_find_text(libc, "no such text, certainly", text, sizeof text));

    uint64_t offset;
    const char *name = hw_module_name_of(libc, a.malloc_info_at + 3, &offset);
    cr_assert_str_eq(name, "malloc_info");
    cr_assert_eq(offset, 3);
    close_all();
    child_end(pid);
}

Test(modules, build_id_is_that_of_the_file)
{
    pid_t pid = child_start(child_sleep, NULL);
    open_live(pid);
    struct hw_module *libc = module_named(modules, "libc.so.6");
    cr_assert(libc && libc->has_build_id);
    char hex[2 * 64 + 1];
    for (size_t i = 0; i < libc->build_id_len; i++)
        snprintf(hex + 2 * i, 3, "%02x", libc->build_id[i]);
    run("readelf -n %s 2>/dev/null | grep -q 'Build ID: %s'", libc->path, hex);
    close_all();
    child_end(pid);
}

/* Needs libc's debug package: local symbols. */
Test(modules, local_symbols_and_libc_tls)
{
    struct addresses a;
    pid_t pid = child_with_facts(tell_addresses, &a, sizeof a);
    open_live(pid);
    struct hw_module *libc = load(module_named(modules, "libc.so.6"));
    struct hw_symbol s;
    if (!hw_module_symbol(libc, "main_arena", &s))
        cr_skip("libc has no debug symbols here");
    cr_assert_eq(s.size, 2200);
    cr_assert_eq(hw_modules_at(modules, s.address), libc);
    cr_assert_not(s.dynamic_only);
    cr_assert(hw_module_symbol(libc, "mp_", &s));
    cr_assert_eq(s.size, 136);
    cr_assert(hw_module_symbol(libc, "tcache", &s));
    cr_assert(s.is_tls);
    cr_assert_lt(s.address, 4096, "the offset in the block, without a bias");
    cr_assert(hw_module_symbol(libc, "dlinfo", &s), "dlinfo@@GLIBC_2.34 in the table");

    int64_t offset;
    cr_assert_eq(hw_module_tls_offset(modules, libc, &offset, &err), HW_OK, "%s", err.text);
    cr_assert(hw_module_symbol(libc, "errno", &s));
    cr_assert(s.is_tls);
    cr_assert_eq(a.tp + (uint64_t)offset + s.address, a.errno_at);
    close_all();
    child_end(pid);
}

Test(modules, executable_and_its_tls)
{
    struct addresses a;
    pid_t pid = child_with_facts(tell_addresses, &a, sizeof a);
    open_live(pid);
    struct hw_module *exe = load(module_exe(modules));
    struct hw_symbol s;
    cr_assert(hw_module_symbol(exe, "own_tls_variable", &s));
    cr_assert(s.is_tls);
    int64_t offset;
    cr_assert_eq(hw_module_tls_offset(modules, exe, &offset, &err), HW_OK, "%s", err.text);
    cr_assert_eq(a.tp + (uint64_t)offset + s.address, a.own_at);
    cr_assert(hw_module_symbol(exe, "module_exe", &s));
    cr_assert_eq(s.address, (hw_addr)(uintptr_t)module_exe);
    cr_assert_not(s.dynamic_only);
    close_all();
    child_end(pid);
}

Test(modules, data_files_and_odd_addresses)
{
    pid_t pid = child_start(child_sleep, NULL);
    open_live(pid);
    cr_assert_null(hw_modules_at(modules, 0));
    cr_assert_null(hw_modules_at(modules, UINT64_MAX));
    cr_assert_null(hw_modules_get(modules, hw_modules_count(modules)));
    hw_addr last = 0;
    for (size_t i = 0; i < hw_modules_count(modules); i++) {
        struct hw_module *mod = hw_modules_get(modules, i);
        cr_assert_geq(mod->start, last);
        cr_assert_lt(mod->start, mod->end);
        last = mod->end;
        cr_assert_eq(hw_modules_at(modules, mod->start), mod);
        cr_assert_eq(hw_modules_at(modules, mod->end - 1), mod);
    }
    close_all();
    child_end(pid);
}

static void open_second_libc(void *facts)
{
    void *handle = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
    *(hw_addr *)facts = handle ? (hw_addr)(uintptr_t)dlsym(handle, "malloc_info") : 0;
}

Test(modules, two_copies_of_libc)
{
    hw_addr second = 0;
    pid_t pid = child_with_facts(open_second_libc, &second, sizeof second);
    if (second == 0)
        cr_skip("dlmopen() does not work here");
    open_live(pid);
    struct hw_module *copies[2];
    size_t count = 0;
    for (size_t i = 0; i < hw_modules_count(modules); i++) {
        struct hw_module *mod = hw_modules_get(modules, i);
        if (strcmp(mod->name, "libc.so.6") == 0 && count < 2)
            copies[count++] = load(mod);
    }
    cr_assert_eq(count, 2);
    cr_assert_neq(copies[0]->bias, copies[1]->bias);
    struct hw_symbol s;
    struct hw_module *mod = hw_modules_at(modules, second);
    cr_assert(mod == copies[0] || mod == copies[1]);
    cr_assert(hw_module_symbol(mod, "malloc_info", &s));
    cr_assert_eq(s.address, second);
    int64_t offset[2];
    for (int i = 0; i < 2; i++)
        cr_assert_eq(hw_module_tls_offset(modules, copies[i], &offset[i], &err), HW_OK);
    cr_assert_neq(offset[0], offset[1]);
    close_all();
    child_end(pid);
}

/* ---- the wrong file -------------------------------------------------------------------------- */

#define ID_A "1111111111111111111111111111111111111111"
#define ID_B "2222222222222222222222222222222222222222"

static struct scratch scratch;
static void *image;

/* An image whose memory holds the first page of file `a`, mapped under the name of file `b`. */
static void open_mixed(const char *in_memory, const char *name, const char *debuginfo_path)
{
    size_t len;
    image = slurp(in_memory, &len);
    cr_assert_gt(len, 4096);
    struct hw_buffer_range range = {
        .start = 0x10000, .bytes = image, .len = 4096, .flags = 5, .path = name};
    struct hw_modules_options opt = {.debuginfo_path = debuginfo_path};
    cr_assert_eq(hw_target_open_buffer(&range, 1, NULL, 0, &target, &err), HW_OK);
    cr_assert_eq(hw_modules_open(target, &opt, &modules, &err), HW_OK);
    cr_assert_eq(hw_modules_count(modules), 1);
}

static void make_files(void)
{
    scratch_start(&scratch);
    compile("int which(void) { return 1; }", scratch_path(&scratch, "a.so"),
            "-shared -fPIC -Wl,--build-id=0x" ID_A);
    compile("int other(void) { return 2; }", scratch_path(&scratch, "b.so"),
            "-shared -fPIC -Wl,--build-id=0x" ID_B);
}

static void remove_files(void)
{
    close_all();
    free(image);
    scratch_end(&scratch);
}

TestSuite(wrong_file, .init = make_files, .fini = remove_files);

Test(wrong_file, is_refused)
{
    open_mixed(scratch_path(&scratch, "a.so"), scratch_path(&scratch, "b.so"), NULL);
    struct hw_module *mod = hw_modules_get(modules, 0);
    cr_assert_eq(mod->build_id_len, 20);
    cr_assert_eq(hw_module_load(modules, mod, &err), HW_ERR_NO_SYMBOLS);
    cr_assert_not_null(strstr(err.text, "1111111111111111"), "%s", err.text);
    cr_assert_not_null(strstr(err.text, "2222222222222222"), "%s", err.text);
    cr_assert_not_null(strstr(err.remedy, ID_A), "%s", err.remedy);
    cr_assert_null(mod->file);
    struct hw_symbol s;
    cr_assert_not(hw_module_symbol(mod, "other", &s));
    cr_assert_eq(hw_module_load(modules, mod, NULL), HW_ERR_NO_SYMBOLS);
}

Test(wrong_file, right_one_is_found_by_build_id)
{
    run("mkdir -p %s/debug/.build-id/11; cp %s/a.so %s/debug/.build-id/11/%s", scratch.dir,
        scratch.dir, scratch.dir, &ID_A[2]);
    char places[160];
    snprintf(places, sizeof places, "-:.debug:%s/debug", scratch.dir);
    open_mixed(scratch_path(&scratch, "a.so"), scratch_path(&scratch, "b.so"), places);
    struct hw_module *mod = load(hw_modules_get(modules, 0));
    struct hw_symbol s;
    cr_assert(hw_module_symbol(mod, "which", &s));
    cr_assert_not(hw_module_symbol(mod, "other", &s));
    cr_assert_eq(hw_modules_at(modules, 0x10000), mod);
}

Test(wrong_file, file_lying_about_its_place_is_refused)
{
    run("mkdir -p %s/debug/.build-id/11; cp %s/b.so %s/debug/.build-id/11/%s.debug", scratch.dir,
        scratch.dir, scratch.dir, &ID_A[2]);
    open_mixed(scratch_path(&scratch, "a.so"), scratch_path(&scratch, "gone.so"),
               scratch_path(&scratch, "debug"));
    cr_assert_eq(hw_module_load(modules, hw_modules_get(modules, 0), &err), HW_ERR_NO_SYMBOLS);
}

Test(wrong_file, stripped_file_finds_its_debug_file_by_link)
{
    run("cd %s && objcopy --only-keep-debug a.so a.so.dbg && strip a.so && "
        "objcopy --add-gnu-debuglink=a.so.dbg a.so && mkdir .debug && mv a.so.dbg .debug/",
        scratch.dir);
    open_mixed(scratch_path(&scratch, "a.so"), scratch_path(&scratch, "a.so"), NULL);
    struct hw_module *mod = load(hw_modules_get(modules, 0));
    cr_assert_not_null(strstr(mod->file, "/.debug/a.so.dbg"), "%s", mod->file);
    struct hw_symbol s;
    cr_assert(hw_module_symbol(mod, "which", &s));
    cr_assert_not(s.dynamic_only);
}

Test(wrong_file, fifo_in_its_place_does_not_block)
{
    run("mkfifo %s/fifo.so", scratch.dir);
    open_mixed(scratch_path(&scratch, "a.so"), scratch_path(&scratch, "fifo.so"), NULL);
    cr_assert_eq(hw_module_load(modules, hw_modules_get(modules, 0), &err), HW_ERR_NO_SYMBOLS);
}

Test(wrong_file, only_dynamic_symbols)
{
    run("strip %s/a.so", scratch.dir);
    open_mixed(scratch_path(&scratch, "a.so"), scratch_path(&scratch, "a.so"), NULL);
    struct hw_module *mod = load(hw_modules_get(modules, 0));
    struct hw_symbol s;
    cr_assert(hw_module_symbol(mod, "which", &s));
    cr_assert(s.dynamic_only);
    int64_t offset;
    cr_assert_eq(hw_module_tls_offset(modules, mod, &offset, &err), HW_ERR_NO_SYMBOLS);
}

static char *deleted_path;

static void load_and_delete(void *facts)
{
    void *handle = dlopen(deleted_path, RTLD_NOW);
    *(hw_addr *)facts = handle ? (hw_addr)(uintptr_t)dlsym(handle, "which") : 0;
    unlink(deleted_path);
}

Test(wrong_file, deleted_file_of_a_live_process)
{
    hw_addr which = 0;
    char path[256];
    snprintf(path, sizeof path, "%s", scratch_path(&scratch, "a.so"));
    deleted_path = path;
    pid_t pid = child_with_facts(load_and_delete, &which, sizeof which);
    cr_assert_neq(which, 0);
    run("cp %s/b.so %s", scratch.dir, path); /* as an upgrade does */
    open_live(pid);
    struct hw_module *mod = hw_modules_at(modules, which);
    cr_assert(mod && mod->has_build_id);
    cr_assert_str_eq(mod->path, path);
    if (hw_module_load(modules, mod, &err) == HW_OK) { /* takes privilege */
        struct hw_symbol s;
        cr_assert(hw_module_symbol(mod, "which", &s));
        cr_assert_eq(s.address, which);
    }
    child_end(pid);
}
