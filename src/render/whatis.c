/*
 * --whatis: one address in a few lines of text, or as one JSON object.
 */
#include "base/printable.h"
#include "render/json.h"

#include <inttypes.h>

/* "in use", "free, in the unsorted bin", "in the tcache of thread 12, bin 3". */
static const char *describe_state(const struct hw_block *b, char *buf, size_t size)
{
    switch ((enum hw_state)b->state) {
    case HW_CACHED:
        snprintf(buf, size, "free, in the tcache of thread %d, bin %d", b->tid, b->bin);
        break;
    case HW_PARKED:
        snprintf(buf, size, "free, in fastbin %d", b->bin);
        break;
    case HW_FREE:
        if (b->bin == 1)
            snprintf(buf, size, "free, in the unsorted bin");
        else
            snprintf(buf, size, "free, in bin %d", b->bin);
        break;
    case HW_TOP:
        snprintf(buf, size, "top, the free end of its arena");
        break;
    case HW_OVERHEAD:
        snprintf(buf, size, "overhead (a header, fence or gap)");
        break;
    case HW_MMAPPED:
        snprintf(buf, size, "in use, with a mapping of its own");
        break;
    case HW_USED:
    case HW_STATES_:
        snprintf(buf, size, "in use");
        break;
    }
    return buf;
}

static void print_arena(const struct hw_whatis *w, const struct hw_report *r, int index, FILE *out)
{
    const struct hw_arena *arena = &r->arenas.data[index];
    if (arena->kind == HW_ARENA_MAIN)
        fprintf(out, "  arena    main, at %#" PRIx64, arena->address);
    else
        fprintf(out, "  arena    %d, at %#" PRIx64, index, arena->address);
    fprintf(out, ", heap %#" PRIx64 "%s\n", w->heap, arena->locked ? ", locked" : "");
}

static void print_neighbour(const char *side, const struct hw_neighbour *n, bool exact, FILE *out)
{
    char buf[128], size[HW_SIZE_TEXT];
    const struct hw_block *b = &n->block;
    if (n->kind == HW_NEIGHBOUR_BLOCK)
        fprintf(out, "  %s    %#" PRIx64 ", %s, %s\n", side, b->address,
                hw_format_size(size, b->bytes, exact), describe_state(b, buf, sizeof buf));
    else
        fprintf(out, "  %s    %s\n", side,
                n->kind == HW_NEIGHBOUR_LOST ? "what could not be made sense of"
                                             : "nothing: its heap ends here");
}

static void print_block(const struct hw_whatis *w, const struct hw_report *r, bool exact, FILE *out)
{
    const struct hw_block *b = &w->block;
    char buf[128], size[HW_SIZE_TEXT];
    hw_addr pointer = b->address + hw_header_bytes(r);
    fprintf(out, "  chunk    %#" PRIx64 ", %s, %s\n", b->address,
            hw_format_size(size, b->bytes, exact), describe_state(b, buf, sizeof buf));
    if (b->state != HW_TOP && b->state != HW_OVERHEAD) {
        if (w->address >= pointer)
            fprintf(out, "  pointer  %#" PRIx64 " (the address is %" PRIu64 " byte%s into it)\n",
                    pointer, w->address - pointer, w->address - pointer == 1 ? "" : "s");
        else
            fprintf(out, "  pointer  %#" PRIx64 " (the address is in the header before it)\n",
                    pointer);
    }
    if (b->arena < 0)
        return;
    print_arena(w, r, b->arena, out);
    print_neighbour("above", &w->above, exact, out);
    print_neighbour("below", &w->below, exact, out);
}

static void print_lost(const struct hw_whatis *w, const struct hw_report *r, bool exact, FILE *out)
{
    char size[HW_SIZE_TEXT];
    fprintf(out, "  range    %#" PRIx64 ", %s, unaccounted\n", w->lost_start,
            hw_format_size(size, w->lost_end - w->lost_start, exact));
    if (w->finding)
        fprintf(out, "  damage   %s at %#" PRIx64 "\n", hw_finding_name(w->finding->kind),
                w->finding->address.n);
    print_arena(w, r, w->arena, out);
}

static void print_text(const struct hw_whatis *w, const struct hw_report *r, bool exact, FILE *out)
{
    fprintf(out, "%#" PRIx64 " is ", w->address);
    if (w->in_block)
        fputs("in the heap\n", out);
    else if (w->unaccounted)
        fputs("in the heap, in what could not be made sense of\n", out);
    else if (w->stack_tid)
        fprintf(out, "in the stack of thread %d\n", w->stack_tid);
    else if (w->symbol[0] && w->in_module) {
        hw_put_printable(w->symbol, out);
        fprintf(out, "+%#" PRIx64 "\n", w->symbol_offset);
    } else if (w->in_module)
        fputs("in a module\n", out);
    else if (w->mapped)
        fputs("mapped, but no memory of malloc\n", out);
    else
        fputs("not mapped\n", out);
    if (w->in_block)
        print_block(w, r, exact, out);
    else if (w->unaccounted)
        print_lost(w, r, exact, out);
    if (w->mapped)
        fprintf(out, "  mapping  %#" PRIx64 "-%#" PRIx64 " %s ", w->map_start, w->map_end,
                w->permissions);
    else if (w->in_module)
        fputs("  module   ", out);
    else
        return;
    hw_put_printable(w->path[0] ? w->path : "anonymous", out);
    fputc('\n', out);
}

static const char *kind_of(const struct hw_whatis *w)
{
    if (w->in_block)
        return "chunk";
    if (w->unaccounted)
        return "unaccounted";
    if (w->stack_tid)
        return "stack";
    if (w->in_module)
        return "module";
    return w->mapped ? "mapping" : "unmapped";
}

/* NULL without memory, as all of these. */
static json_t *json_block(const struct hw_whatis *w, const struct hw_report *r,
                          const struct hw_block *b)
{
    return json_pack("{so so sI ss so so so so}", "address", hw_json_address(b->address), "pointer",
                     hw_json_address(b->address + hw_header_bytes(r)), "bytes",
                     (json_int_t)b->bytes, "state", hw_state_name(b->state), "arena",
                     b->arena < 0 ? json_null() : json_integer(b->arena), "heap",
                     w->heap ? hw_json_address(w->heap) : json_null(), "bin",
                     b->bin == HW_BIN_UNKNOWN ? json_null() : json_integer(b->bin), "tid",
                     b->tid ? json_integer(b->tid) : json_null());
}

static json_t *json_neighbour(const struct hw_whatis *w, const struct hw_report *r,
                              const struct hw_neighbour *n)
{
    return n->kind == HW_NEIGHBOUR_BLOCK ? json_block(w, r, &n->block) : json_null();
}

static json_t *json_chunk(const struct hw_whatis *w, const struct hw_report *r)
{
    json_t *chunk = w->in_block ? json_block(w, r, &w->block) : json_null();
    if (w->in_block &&
        (json_object_set_new(chunk, "above", json_neighbour(w, r, &w->above)) != 0 ||
         json_object_set_new(chunk, "below", json_neighbour(w, r, &w->below)) != 0)) {
        json_decref(chunk);
        return NULL;
    }
    return chunk;
}

static json_t *json_lost(const struct hw_whatis *w)
{
    json_t *finding = json_null();
    if (!w->unaccounted)
        return finding;
    if (w->finding)
        finding = json_pack("{ss so}", "kind", hw_finding_name(w->finding->kind), "address",
                            hw_json_address(w->finding->address.n));
    return json_pack("{so sI si so so}", "address", hw_json_address(w->lost_start), "bytes",
                     (json_int_t)(w->lost_end - w->lost_start), "arena", w->arena, "heap",
                     hw_json_address(w->heap), "finding", finding);
}

static int print_json(const struct hw_whatis *w, const struct hw_report *r, FILE *out,
                      struct hw_error *err)
{
    json_t *mapping =
        w->mapped ? json_pack("{so so ss so}", "start", hw_json_address(w->map_start), "end",
                              hw_json_address(w->map_end), "permissions", w->permissions, "path",
                              w->path[0] ? hw_json_text(w->path) : json_null())
                  : json_null();
    json_t *root =
        json_pack("{so ss so so so so so so}", "address", hw_json_address(w->address), "kind",
                  kind_of(w), "chunk", json_chunk(w, r), "unaccounted", json_lost(w), "mapping",
                  mapping, "stack_tid", w->stack_tid ? json_integer(w->stack_tid) : json_null(),
                  "symbol", w->symbol[0] ? hw_json_text(w->symbol) : json_null(), "symbol_offset",
                  w->symbol[0] ? json_integer((json_int_t)w->symbol_offset) : json_null());
    if (!root)
        return hw_fail(err, HW_ERR_NOMEM, "no memory for JSON");
    int rc = json_dumpf(root, out, JSON_INDENT(2));
    json_decref(root);
    fputc('\n', out);
    return rc == 0 ? HW_OK : hw_fail(err, HW_ERR_OUTPUT, "cannot write JSON");
}

int hw_render_whatis(const struct hw_whatis *what, const struct hw_report *r,
                     const struct hw_render_options *opt, FILE *out, struct hw_error *err)
{
    const struct hw_renderer *renderer = hw_renderer_find(opt->format);
    int rc = HW_OK;
    if (renderer == &hw_render_json)
        rc = print_json(what, r, out, err);
    else if (renderer == &hw_render_text)
        print_text(what, r, opt->exact, out);
    else
        return hw_fail(err, HW_ERR_USAGE, "--whatis answers in text or json");
    if (rc == HW_OK && (fflush(out) != 0 || ferror(out)))
        rc = hw_fail_errno(err, HW_ERR_OUTPUT, "cannot write the answer");
    return rc;
}
