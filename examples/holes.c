/*
 * The largest holes of a process: free memory in one piece, and what holds it in place.
 *
 *     cc -o holes holes.c $(pkg-config --cflags --libs heapwalk)
 *     ./holes PID [HOW MANY]
 */
#include <heapwalk/heapwalk.h>

#include <inttypes.h>
#include <stdlib.h>

static void show_side(const char *side, const struct hw_block *b, const char *symbol)
{
    if (b->state == HW_STATES_)
        printf("    %s nothing\n", side);
    else
        printf("    %s 0x%" PRIx64 " %" PRIu64 " %s%s%s\n", side, b->address, b->bytes,
               hw_state_name(b->state), *symbol ? ", points to " : "", symbol);
}

static void show(const struct hw_report *report)
{
    struct hw_hole_view hole;
    for (size_t i = 0; hw_report_hole(report, i, &hole); i++) {
        printf("0x%" PRIx64 " %" PRIu64 " bytes in arena %" PRId32, hole.address, hole.bytes,
               hole.arena);
        if (hole.resident_bytes.known)
            printf(", %" PRId64 " in RAM", hole.resident_bytes.n);
        putchar('\n');
        show_side("behind", &hole.below, hole.below_symbol);
        show_side("before", &hole.above, hole.above_symbol);
    }
}

int main(int argc, char **argv)
{
    struct hw_session *session = NULL;
    struct hw_report *report = NULL;
    struct hw_error err = {0};
    struct hw_options options = {.max_pause_ns = 1000000000};
    struct hw_listener want = {.holes = argc > 2 ? strtoul(argv[2], NULL, 10) : 10};

    if (argc < 2) {
        fprintf(stderr, "usage: %s PID [HOW MANY]\n", argv[0]);
        return 64;
    }
    if (hw_open_pid(atoi(argv[1]), &options, &session, &err) == HW_OK &&
        hw_inspect(session, &want, &report, &err) == HW_OK)
        show(report);
    else
        fprintf(stderr, "%s: %s\n", argv[0], err.text);
    hw_report_destroy(report);
    hw_close(session);
    return err.code ? 2 : 0;
}
