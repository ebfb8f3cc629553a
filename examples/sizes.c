/*
 * Every chunk of a core file, counted by its state and by the power of two that its size begins
 * with.
 *
 *     cc -o sizes sizes.c $(pkg-config --cflags --libs heapwalk)
 *     ./sizes CORE
 */
#include <heapwalk/heapwalk.h>

#include <inttypes.h>

struct count {
    uint64_t chunks, bytes;
};
struct sizes {
    struct count of[HW_STATES_][64];
};

/* Called for each chunk; only what is counted here remains of it. */
static int count(const struct hw_block *block, void *arg)
{
    struct sizes *sizes = arg;
    if (block->bytes > 0) {
        struct count *c = &sizes->of[block->state][63 - __builtin_clzll(block->bytes)];
        c->chunks++;
        c->bytes += block->bytes;
    }
    return 0;
}

static void show(const struct sizes *sizes)
{
    for (int state = 0; state < HW_STATES_; state++)
        for (int power = 0; power < 64; power++) {
            const struct count *c = &sizes->of[state][power];
            if (c->chunks)
                printf("%-10s from %12" PRIu64 ": %10" PRIu64 " chunks %14" PRIu64 " bytes\n",
                       hw_state_name((enum hw_state)state), UINT64_C(1) << power, c->chunks,
                       c->bytes);
        }
}

int main(int argc, char **argv)
{
    struct hw_session *session = NULL;
    struct hw_report *report = NULL;
    struct hw_error err = {0};
    struct sizes sizes = {0};
    struct hw_listener listener = {.block = count, .arg = &sizes};

    if (argc != 2) {
        fprintf(stderr, "usage: %s CORE\n", argv[0]);
        return 64;
    }
    if (hw_open_core(argv[1], NULL, &session, &err) == HW_OK &&
        hw_inspect(session, &listener, &report, &err) == HW_OK) {
        show(&sizes);
        for (size_t i = 0; hw_report_finding(report, i); i++)
            fprintf(stderr, "%s: %s\n", argv[0], hw_report_finding(report, i));
    } else {
        fprintf(stderr, "%s: %s\n", argv[0], err.text);
    }
    hw_report_destroy(report);
    hw_close(session);
    return err.code ? 2 : 0;
}
