#include "symbols/demangle.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void expect_name(const char *name, const char *words)
{
    char buf[256];
    struct hw_demangler d = hw_demangler_open();
    if (!d.demangle)
        cr_skip_test("there is no C++ runtime here");
    bool done = hw_demangle(&d, name, buf, sizeof buf);
    cr_expect_str_eq(buf, words);
    cr_expect_eq(done, strcmp(name, words) != 0);
    hw_demangler_close(&d);
}

Test(demangle, classes)
{
    expect_name("_ZTV3Foo", "vtable for Foo");
    expect_name("_ZTVN2ns3FooE", "vtable for ns::Foo");
    expect_name("_ZTVSt23_Sp_counted_ptr_inplaceI3FooSaIS0_ELN9__gnu_cxx12_Lock_policyE2EE",
                "vtable for std::_Sp_counted_ptr_inplace<Foo, std::allocator<Foo>, "
                "(__gnu_cxx::_Lock_policy)2>");
}

Test(demangle, other_names_stay)
{
    expect_name("malloc", "malloc");
    expect_name("", "");
    expect_name("_Z", "_Z");
    expect_name("_ZTV", "_ZTV");
    expect_name("_Z99999999999999999999a", "_Z99999999999999999999a");
    expect_name("i", "i"); /* a type, "int", but no name */
}

/* Each letter pair doubles what it means: 2^40 times "a". */
Test(demangle, bombs_do_not_go_off)
{
    char bomb[1024] = "_Z1fI";
    struct hw_demangler d = hw_demangler_open();
    for (unsigned i = 0; i < 40; i++) {
        char level[32];
        snprintf(level, sizeof level, "1aI%s%s", i ? "S_" : "", i ? "S_E" : "iE");
        strcat(bomb, level);
    }
    strcat(bomb, "Evv");
    char buf[sizeof bomb];
    cr_expect_not(hw_demangle(&d, bomb, buf, sizeof buf));
    cr_expect_str_eq(buf, bomb);
    hw_demangler_close(&d);
}

Test(demangle, long_names_are_cut)
{
    char name[5000] = "_Z", buf[16];
    memset(name + 2, 'P', sizeof name - 3);
    struct hw_demangler d = hw_demangler_open();
    cr_expect_not(hw_demangle(&d, name, buf, sizeof buf));
    cr_expect_str_eq(buf, "_ZPPPPPPPPPPPPP");
    hw_demangler_close(&d);
}

Test(demangle, without_a_library_names_stay)
{
    char buf[16];
    struct hw_demangler none = {0};
    cr_expect_not(hw_demangle(&none, "_ZTV3Foo", buf, sizeof buf));
    cr_expect_str_eq(buf, "_ZTV3Foo");
    hw_demangler_close(&none);
}
