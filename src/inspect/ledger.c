#include "inspect/ledger.h"

#include "base/cleanup.h"

#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

int hw_ledger_begin(struct hw_ledger *l, struct hw_target *t, struct hw_error *err)
{
    *l = (struct hw_ledger){.target = t};
    if (!t->pages_known)
        return HW_OK;
    l->maps = calloc(t->map_count + 1, sizeof *l->maps);
    for (size_t i = 0; l->maps && i < t->map_count; i++)
        l->maps[i].is_stack = hw_map_stack_of(t, &t->maps[i]) != NULL;
    return l->maps ? HW_OK : hw_fail(err, HW_ERR_NOMEM, "no memory for the RSS ledger");
}

void hw_ledger_deinit(struct hw_ledger *l)
{
    free(l->maps);
    l->maps = NULL;
}

static bool named(const struct hw_map *map, const char *prefix)
{
    return map->path && strncmp(map->path, prefix, strlen(prefix)) == 0;
}

/* Pages of hugetlbfs are in no process's RSS; and a shared map has no anonymous pages of its own:
 * what looks so is the memory of a device. */
static uint64_t anon_bytes(const struct hw_map *map)
{
    return named(map, "/anon_hugepage") || (map->flags & HW_MAP_SHARED) ? 0 : map->anon_bytes;
}

/* The resident bytes of [start, end) are glibc's: take them out of the maps that they are in. */
static uint64_t take(struct hw_ledger *l, hw_addr start, hw_addr end)
{
    struct hw_target *t = l->target;
    uint64_t all = 0;
    while (start < end) {
        const struct hw_map *map = hw_map_at(t, start);
        if (!map)
            break;
        hw_addr until = end < map->end ? end : map->end;
        uint64_t bytes = anon_bytes(map) ? hw_pages_count(&t->pages, start, until).resident : 0;
        l->maps[map - t->maps].taken += bytes;
        all += bytes;
        start = until;
    }
    return all;
}

void hw_ledger_blocks(struct hw_ledger *l, const struct hw_block *b, size_t count)
{
    if (!l->maps || count == 0 || b->state != HW_MMAPPED)
        return;
    for (const struct hw_block *end = b + count; b < end; b++)
        l->chunk_bytes += take(l, b->address - b->lead, b->address + b->bytes + b->tail);
}

static bool is_shmem_by_name(const struct hw_map *map)
{
    return !map->path || named(map, "[anon_shmem") || named(map, "/memfd:") ||
           named(map, "/SYSV") || named(map, "/dev/zero") || named(map, "/dev/shm/");
}

/* Files of tmpfs count as shared memory, wherever it is mounted. */
static bool is_on_tmpfs(struct hw_target *t, const struct hw_map *map)
{
    hw_autoclose int fd = hw_target_open_file(t, map, NULL);
    struct statfs fs;
    return fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

/* The part of a map that is not glibc's. */
static void sort_rest(struct hw_ledger *l, size_t i, struct hw_rss *rss)
{
    struct hw_target *t = l->target;
    const struct hw_map *map = &t->maps[i];
    uint64_t anon = anon_bytes(map), rest = anon > l->maps[i].taken ? anon - l->maps[i].taken : 0;
    if (named(map, "[stack") || l->maps[i].is_stack)
        rss->stack_bytes += rest;
    else if (hw_map_is_anonymous(map))
        rss->other_anon_bytes += rest;
    else
        rss->file_bytes += rest; /* pages of a file that were written to, and so were copied */
    if (map->file_bytes == 0)
        return;
    bool shmem = is_shmem_by_name(map) || is_on_tmpfs(t, map);
    *(shmem ? &rss->shmem_bytes : &rss->file_bytes) += map->file_bytes;
}

void hw_ledger_end(struct hw_ledger *l, struct hw_report *r)
{
    if (!l->maps)
        return;
    for (size_t a = 0; a < r->arenas.count; a++)
        for (size_t h = 0; h < r->arenas.data[a].heaps.count; h++) {
            const struct hw_heap *heap = &r->arenas.data[a].heaps.data[h];
            l->heap_bytes += take(l, heap->address, heap->address + heap->bytes);
        }
    struct hw_rss rss = {.known = true,
                         .rss_bytes = l->target->memory.rss_bytes,
                         .swap_bytes = l->target->memory.swap_bytes,
                         .glibc_heap_bytes = l->heap_bytes,
                         .mmapped_chunk_bytes = l->chunk_bytes};
    for (size_t i = 0; i < l->target->map_count; i++)
        sort_rest(l, i, &rss);
    uint64_t explained = rss.glibc_heap_bytes + rss.mmapped_chunk_bytes + rss.stack_bytes +
                         rss.file_bytes + rss.shmem_bytes + rss.other_anon_bytes;
    rss.unexplained_bytes = (int64_t)(rss.rss_bytes - explained);
    r->rss = rss;
}
