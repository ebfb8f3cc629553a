/*
 * Files that are not where they seem to be: named by the caller, below a sysroot, mapped twice;
 * what a module's calls were bound to; texts by pattern.
 */
#include "support.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

static struct hw_target *target;
static struct hw_modules *modules;
static struct hw_error err;

static int open_with(pid_t pid, const struct hw_modules_options *opt)
{
    cr_assert_eq(hw_target_open_live(pid, &target, &err), HW_OK, "%s", err.text);
    return hw_modules_open(target, opt, &modules, &err);
}

static void close_all(void)
{
    hw_modules_close(modules);
    hw_target_close(target);
    modules = NULL;
    target = NULL;
}

Test(hidden, calls_lead_where_they_were_bound)
{
    pid_t pid = child_start(child_sleep, NULL);
    cr_assert_eq(open_with(pid, NULL), HW_OK);
    struct hw_module *libc = module_named(modules, "libc.so.6");
    cr_assert_eq(hw_module_open(modules, libc, &err), HW_OK, "%s", err.text);
    cr_expect_null(libc->file, "opened, not loaded");
    hw_addr at = 0;
    cr_assert(hw_module_import(modules, libc, "malloc", &at));
    cr_expect_eq(at, (hw_addr)(uintptr_t)dlsym(RTLD_DEFAULT, "malloc"));
    cr_expect_not(hw_module_import(modules, libc, "mallo", &at));
    cr_expect_not(hw_module_import(modules, libc, "", &at));
    close_all();
    child_end(pid);
}

Test(hidden, opening_comes_before_loading)
{
    pid_t pid = child_start(child_sleep, NULL);
    cr_assert_eq(open_with(pid, NULL), HW_OK);
    struct hw_module *libc = module_named(modules, "libc.so.6");
    cr_assert_eq(hw_module_open(modules, libc, &err), HW_OK);
    struct hw_symbol early, late;
    cr_assert(hw_module_symbol(libc, "malloc_info", &early));
    cr_assert_eq(hw_module_load(modules, libc, &err), HW_OK);
    cr_expect_eq(hw_module_open(modules, libc, &err), HW_OK, "of no use, and no harm");
    cr_assert(hw_module_symbol(libc, "malloc_info", &late));
    cr_expect_eq(early.address, late.address);
    cr_expect_eq(late.address, (hw_addr)(uintptr_t)dlsym(RTLD_DEFAULT, "malloc_info"));
    cr_expect_null(libc->problem);
    close_all();
    child_end(pid);
}

Test(hidden, texts_match_patterns)
{
    pid_t pid = child_start(child_sleep, NULL);
    cr_assert_eq(open_with(pid, NULL), HW_OK);
    struct hw_module *libc = module_named(modules, "libc.so.6");
    cr_assert_eq(hw_module_open(modules, libc, &err), HW_OK);
    char text[8];
    cr_expect(hw_module_match_text(libc, "^GNU C Library .*release version (2[.][0-9]+)[.]", text,
                                   sizeof text));
    cr_expect_eq(strncmp(text, "2.", 2), 0, "%s", text);
    char small[3];
    cr_expect(hw_module_match_text(libc, "^(GNU C Library) ", small, sizeof small));
    cr_expect_str_eq(small, "GN", "cut to fit");
    cr_expect_not(hw_module_match_text(libc, "^no such text (at all)$", text, sizeof text));
    cr_expect_not(hw_module_match_text(libc, "GNU C Library", text, sizeof text),
                  "nothing in parentheses");
    cr_expect_not(hw_module_match_text(libc, "(", text, sizeof text), "not a pattern");
    close_all();
    child_end(pid);
}

/* Longer than what is read at once, with a text across the border. */
Test(hidden, texts_across_borders)
{
    struct scratch s;
    scratch_start(&s);
    const char *path = scratch_path(&s, "long.so");
    compile("const char a[40000] = \"x\";"
            "const char b[] = \"needle-1.2.3\";"
            "const char c[] = {[0 ... 39999] = 'y', 0};"
            "const char d[] = \"needle-4.5.6\";",
            path, "-shared -fPIC");
    void *handle = dlopen(path, RTLD_NOW);
    cr_assert_not_null(handle);
    pid_t pid = child_start(child_sleep, NULL);
    cr_assert_eq(open_with(pid, NULL), HW_OK);
    struct hw_module *mod = module_named(modules, "long.so");
    cr_assert_eq(hw_module_open(modules, mod, &err), HW_OK, "%s", err.text);
    char text[16];
    cr_expect(hw_module_match_text(mod, "^needle-(1.*)$", text, sizeof text));
    cr_expect_str_eq(text, "1.2.3");
    cr_expect(hw_module_match_text(mod, "^needle-(4.*)$", text, sizeof text));
    cr_expect_str_eq(text, "4.5.6");
    close_all();
    child_end(pid);
    dlclose(handle);
    scratch_end(&s);
}

Test(hidden, a_libc_by_name_must_be_the_one_in_memory)
{
    struct scratch s;
    scratch_start(&s);
    pid_t pid = child_start(child_sleep, NULL);
    cr_assert_eq(open_with(pid, NULL), HW_OK);
    char libc_path[256];
    snprintf(libc_path, sizeof libc_path, "%s", module_named(modules, "libc.so.6")->path);
    close_all();

    const char *same = scratch_path(&s, "copy.so"), *other = scratch_path(&s, "other.so");
    run("cp %s %s", libc_path, same);
    compile("int x;", other, "-shared -Wl,--build-id");
    cr_assert_eq(open_with(pid, &(struct hw_modules_options){.libc = same}), HW_OK, "%s", err.text);
    struct hw_module *libc = module_named(modules, "libc.so.6");
    cr_assert_eq(hw_module_load(modules, libc, &err), HW_OK, "%s", err.text);
    close_all();

    cr_expect_eq(open_with(pid, &(struct hw_modules_options){.libc = other}), HW_ERR_NO_SYMBOLS);
    cr_expect(strstr(err.text, "other.so is not the file in memory"), "%s", err.text);
    cr_expect_null(modules);
    close_all();
    cr_expect_neq(open_with(pid, &(struct hw_modules_options){.libc = "/no/such"}), HW_OK);
    close_all();
    child_end(pid);
    scratch_end(&s);
}

/* A file of another build-id below the sysroot is passed over. */
Test(hidden, sysroot_comes_first_if_it_fits)
{
    struct scratch s;
    scratch_start(&s);
    pid_t pid = child_start(child_sleep, NULL);
    cr_assert_eq(open_with(pid, NULL), HW_OK);
    char path[256];
    snprintf(path, sizeof path, "%s", module_named(modules, "libc.so.6")->path);
    close_all();
    run("mkdir -p %s$(dirname %s) && cp %s %s%s", s.dir, path, path, s.dir, path);
    run("strip -o %s%s %s", s.dir, path, path);

    struct hw_modules_options opt = {.sysroot = s.dir, .debuginfo_path = "/none"};
    cr_assert_eq(open_with(pid, &opt), HW_OK, "%s", err.text);
    struct hw_module *libc = module_named(modules, "libc.so.6");
    cr_assert_eq(hw_module_load(modules, libc, &err), HW_OK, "%s", err.text);
    if (strstr(libc->file, ".debug") == NULL)
        cr_expect_eq(strncmp(libc->file, s.dir, strlen(s.dir)), 0, "%s", libc->file);
    close_all();

    char wrong[512];
    snprintf(wrong, sizeof wrong, "%s%s", s.dir, path);
    compile("int x;", wrong, "-shared -Wl,--build-id");
    cr_assert_eq(open_with(pid, &opt), HW_OK);
    libc = module_named(modules, "libc.so.6");
    cr_assert_eq(hw_module_load(modules, libc, &err), HW_OK, "%s", err.text);
    struct hw_symbol sym;
    cr_expect(hw_module_symbol(libc, "malloc_info", &sym));
    close_all();

    cr_expect_eq(open_with(pid, &(struct hw_modules_options){.sysroot = "/no/such"}),
                 HW_ERR_NO_SYMBOLS);
    close_all();
    child_end(pid);
    scratch_end(&s);
}

static void load_second_libc(void *facts)
{
    void *second = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
    hw_addr *at = facts;
    at[0] = (hw_addr)(uintptr_t)dlsym(RTLD_DEFAULT, "malloc_info");
    at[1] = second ? (hw_addr)(uintptr_t)dlsym(second, "malloc_info") : 0;
}

Test(hidden, the_programs_own_libc_comes_first)
{
    hw_addr at[2];
    pid_t pid = child_with_facts(load_second_libc, at, sizeof at);
    if (!at[1])
        cr_skip("no second libc can be loaded here");
    cr_assert_eq(open_with(pid, NULL), HW_OK);
    struct hw_module *own = hw_modules_at(modules, at[0]), *second = hw_modules_at(modules, at[1]);
    cr_assert(own && second && own != second);
    cr_expect_eq(module_named(modules, "libc.so.6"), own);
    size_t place[2] = {0};
    for (size_t i = 0; i < hw_modules_count(modules); i++) {
        if (hw_modules_get(modules, i) == own)
            place[0] = i;
        else if (hw_modules_get(modules, i) == second)
            place[1] = i;
    }
    cr_expect_lt(place[0], place[1]);
    cr_expect_null(hw_modules_get(modules, hw_modules_count(modules)));
    close_all();
    child_end(pid);
}

Test(hidden, names_of_libc)
{
    cr_expect(hw_is_libc_name("libc.so.6"));
    cr_expect(hw_is_libc_name("libc-2.31.so"));
    cr_expect_not(hw_is_libc_name("libcrypt.so.1"));
    cr_expect_not(hw_is_libc_name("libc-client.so.2"));
    cr_expect_not(hw_is_libc_name("libc.so"));
}
