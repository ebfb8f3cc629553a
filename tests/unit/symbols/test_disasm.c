#include "symbols/disasm.h"

#include "symbols/support.h"

#include <criterion/criterion.h>
#include <dlfcn.h>

/* `probe` refers to `place` in all the ways that are told apart. */
static const char library[] =
    "__asm__(\".data\\n.globl place\\n.hidden place\\nplace: .quad 1,2,3,4\\n\"\n"
    "  \".text\\n.globl probe\\n.type probe,@function\\nprobe:\\n\"\n"
    "  \"lea place(%rip),%rax\\n\"\n"
    "  \"movl $1,place+8(%rip)\\n\"\n"
    "  \"mov %rdi,place+16(%rip)\\n\"\n"
    "  \"mov place+24(%rip),%ecx\\n\"\n"
    "  \"mov 0x870(%rbx),%rbx\\n\"\n"
    "  \"mov 8(%rbx,%rcx,8),%rbx\\n\" /* an array: tells nothing */\n"
    "  \"mov %fs:0x28,%rbx\\n\"       /* a thread-local: not an address */\n"
    "  \".byte 0x06\\n\"              /* no instruction */\n"
    "  \"lea place+8(%rip),%rdx\\n\"\n"
    "  \"ret\\n.size probe,.-probe\\n\"\n"
    "  \"lea place+16(%rip),%rdx\\n\" /* not in the function any more */\n"
    "  \".globl tell\\n.type tell,@function\\ntell: lea place(%rip),%rax\\nret\\n\");\n";

struct facts {
    char path[256];
    hw_addr place;
};

static void load_library(void *arg)
{
    struct facts *f = arg;
    void *handle = dlopen(f->path, RTLD_NOW);
    void *(*tell)(void) = NULL;
    if (handle)
        *(void **)&tell = dlsym(handle, "tell");
    if (tell)
        f->place = (hw_addr)(uintptr_t)tell();
}

static void expect(const struct hw_code_ref *r, enum hw_ref_kind kind, hw_addr address,
                   unsigned size)
{
    cr_assert_eq(r->kind, kind);
    cr_assert_eq(r->address, address);
    cr_assert_eq(r->size, size);
}

Test(disasm, references)
{
    struct scratch s;
    struct facts f = {.place = 0};
    scratch_start(&s);
    snprintf(f.path, sizeof f.path, "%s", scratch_path(&s, "libprobe.so"));
    compile(library, f.path, "-shared -fPIC");
    pid_t pid = child_with_facts(load_library, &f, sizeof f);
    cr_assert_neq(f.place, 0);

    struct hw_target *t;
    struct hw_modules *m;
    struct hw_error err = {0};
    hw_code_refs refs = {0};
    cr_assert_eq(hw_target_open_live(pid, &t, NULL), HW_OK);
    cr_assert_eq(hw_modules_open(t, NULL, &m, NULL), HW_OK);
    struct hw_module *mod = module_named(m, "libprobe.so");
    cr_assert_eq(hw_module_load(m, mod, NULL), HW_OK);
    cr_assert_eq(hw_disasm_refs(mod, "probe", &refs, &err), HW_OK, "%s", err.text);

    cr_assert_eq(refs.count, 6);
    expect(&refs.data[0], HW_REF_ADDRESS, f.place, 0);
    expect(&refs.data[1], HW_REF_STORE, f.place + 8, 4);
    cr_assert(refs.data[1].constant && refs.data[1].value == 1);
    expect(&refs.data[2], HW_REF_STORE, f.place + 16, 8);
    cr_assert_not(refs.data[2].constant);
    expect(&refs.data[3], HW_REF_LOAD, f.place + 24, 4);
    expect(&refs.data[4], HW_REF_MEMBER, 0x870, 8);
    expect(&refs.data[5], HW_REF_ADDRESS, f.place + 8, 0);

    cr_assert_eq(hw_disasm_refs(mod, "no_such_function", &refs, &err), HW_ERR_NO_SYMBOLS);
    cr_assert_eq(hw_disasm_refs(mod, "tell", &refs, &err), HW_ERR_NO_SYMBOLS, "has no size");
    cr_assert_eq(refs.count, 6);
    hw_vec_free(&refs);
    hw_modules_close(m);
    hw_target_close(t);
    child_end(pid);
    scratch_end(&s);
}
