/*
 * A report read back from its JSON. Whoever wrote the file, its size, its depth and the number of
 * its values are bounded before a parser makes something of it, and each value is of the kind that
 * it has to be.
 */
#include "base/cleanup.h"
#include "base/printable.h"
#include "diff/diff.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#define FILE_MAX ((size_t)64 << 20)
#define VALUES_MAX                                                                                 \
    ((size_t)1 << 20) /* of some 9,000 arenas; the parser needs up to 200 bytes for each */
#define DEPTH_MAX  64
#define ARENAS_MAX 20000 /* what is written of each takes far more than "{}" */
#define FIRST_ROOM ((size_t)64 << 10)
#define WRITER_MS  3000 /* how long a pipe with a name may be without a writer */

#define OLD_OR_NEW "write it with heapwalk -J, or -o FILE.json"

/* ---- the file ------------------------------------------------------------------------------- */

static int read_all(int fd, const char *path, char **text, size_t *length, struct hw_error *err)
{
    size_t room = 0;
    *text = NULL;
    for (*length = 0; *length <= FILE_MAX;) {
        if (*length == room) {
            room = room ? 2 * room : FIRST_ROOM;
            char *more = realloc(*text, room);
            if (!more)
                return hw_fail(err, HW_ERR_NOMEM, "no memory for %.200s", path);
            *text = more;
        }
        ssize_t n = read(fd, *text + *length, room - *length);
        if (n < 0 && errno == EAGAIN)
            poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot read %.200s", path);
        if (n == 0)
            return HW_OK;
        *length += (size_t)n;
    }
    return hw_fail(err, HW_ERR_CORRUPT, "%.200s is larger than any report: more than %zu MiB", path,
                   FILE_MAX >> 20);
}

static int read_file(const char *path, char **text, size_t *length, struct hw_error *err)
{
    *text = NULL;
    if (strcmp(path, "-") == 0)
        return read_all(STDIN_FILENO, "standard input", text, length, err);
    /* Not to wait for ever for a writer if it is a FIFO; once there is one, for its bytes. */
    hw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot open %.200s", path);
    bool silent = poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, WRITER_MS) == 0;
    int rc = read_all(fd, path, text, length, err);
    if (rc == HW_OK && !*length && silent)
        return hw_fail(err, HW_ERR_CORRUPT, "%.200s is a pipe into which nobody writes a report",
                       path);
    return rc;
}

/* Brackets and commas outside of strings: no more values than these can come out. */
static bool is_bounded(const char *text, size_t length)
{
    size_t values = 0, depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
            continue;
        }
        in_string = c == '"';
        values += c == ',' || c == '{' || c == '[';
        depth += c == '{' || c == '[';
        depth -= (c == '}' || c == ']') && depth > 0;
        if (values > VALUES_MAX || depth > DEPTH_MAX)
            return false;
    }
    return true;
}

/* ---- values --------------------------------------------------------------------------------- */

struct reader {
    const char *path;
    struct hw_error *err;
    int rc; /* of the first that is wrong */
};

static void wrong(struct reader *r, const char *key, const char *kind)
{
    if (r->rc != HW_OK)
        return;
    r->rc = hw_fail(r->err, HW_ERR_CORRUPT, "%.200s is no report of heapwalk: \"%s\" is no %s",
                    r->path, key, kind);
    hw_remedy(r->err, OLD_OR_NEW);
}

/* NULL where it is missing, or null. */
static const json_t *get(const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);
    return value && !json_is_null(value) ? value : NULL;
}

static const json_t *get_object(struct reader *r, const json_t *o, const char *key)
{
    const json_t *value = get(o, key);
    if (value && !json_is_object(value))
        wrong(r, key, "object");
    return json_is_object(value) ? value : NULL;
}

static const json_t *get_array(struct reader *r, const json_t *o, const char *key)
{
    const json_t *value = get(o, key);
    if (value && !json_is_array(value))
        wrong(r, key, "array");
    return json_is_array(value) ? value : NULL;
}

static const char *get_text(struct reader *r, const json_t *o, const char *key)
{
    const json_t *value = get(o, key);
    if (value && !json_is_string(value))
        wrong(r, key, "text");
    return json_is_string(value) ? json_string_value(value) : "";
}

/* A copy that fits, and does nothing to a terminal; what is cut in the middle of a character is no
 * text. */
static void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
    hw_make_printable(to);
}

static struct hw_figure get_integer(struct reader *r, const json_t *o, const char *key)
{
    const json_t *value = get(o, key);
    if (value && !json_is_integer(value))
        wrong(r, key, "integer");
    return json_is_integer(value)
               ? (struct hw_figure){.known = true, .n = json_integer_value(value)}
               : (struct hw_figure){0};
}

static struct hw_maybe get_count(struct reader *r, const json_t *o, const char *key)
{
    struct hw_figure f = get_integer(r, o, key);
    if (f.known && f.n < 0)
        wrong(r, key, "count");
    return f.known && f.n >= 0 ? hw_known((uint64_t)f.n) : (struct hw_maybe){0};
}

static struct hw_figure get_figure(struct reader *r, const json_t *o, enum hw_metric m)
{
    const struct hw_metric_info *info = hw_metric_info(m);
    if (info->unit != HW_UNIT_RATIO)
        return get_integer(r, o, info->name);
    const json_t *value = get(o, info->name);
    double ratio = json_number_value(value);
    if (value && !(json_is_number(value) && ratio >= 0 && ratio <= 1))
        wrong(r, info->name, "ratio");
    return value ? (struct hw_figure){.known = true, .ratio = ratio} : (struct hw_figure){0};
}

static void get_figures(struct reader *r, const json_t *o, struct hw_figure *figures)
{
    for (size_t m = 0; m < HW_METRICS_; m++)
        figures[m] = get_figure(r, o, (enum hw_metric)m);
}

static struct hw_maybe get_address(struct reader *r, const json_t *o, const char *key)
{
    const char *text = get_text(r, o, key);
    char *end;
    if (!*text)
        return (struct hw_maybe){0};
    errno = 0;
    uint64_t n = strtoull(text, &end, 16);
    if (errno || *end || strncmp(text, "0x", 2) != 0)
        wrong(r, key, "address");
    return hw_known(n);
}

/* ---- parts ---------------------------------------------------------------------------------- */

static void get_histogram(struct reader *r, const json_t *o, const char *key,
                          struct hw_saved_histogram *ret)
{
    const json_t *list = get_array(r, o, key), *row;
    size_t i;
    ret->known = list != NULL;
    json_array_foreach(list, i, row)
    {
        struct hw_maybe from = get_count(r, row, "from"), chunks = get_count(r, row, "chunks"),
                        bytes = get_count(r, row, "bytes");
        if (!from.known || !from.n || (from.n & (from.n - 1)) || !chunks.known || !bytes.known) {
            wrong(r, key, "histogram");
            return;
        }
        unsigned bucket = (unsigned)__builtin_ctzll(from.n);
        ret->h.chunks[bucket] = chunks.n;
        ret->h.bytes[bucket] = bytes.n;
    }
}

/* Totals are of all arenas, the list is of those that were to be shown. Sums may wrap, as both
 * do. */
static bool has_some_arenas(const struct hw_saved *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s->arenas.count; i++) {
        const struct hw_figure *f = &s->arenas.data[i].figures[HW_M_SYSTEM_BYTES];
        if (!f->known)
            return false;
        sum += (uint64_t)f->n;
    }
    const struct hw_figure *all = &s->totals[HW_M_SYSTEM_BYTES];
    return s->arenas.count > 0 && all->known && (uint64_t)all->n != sum;
}

static void get_arenas(struct reader *r, const json_t *root, struct hw_saved *s)
{
    const json_t *list = get_array(r, root, "arenas"), *row;
    size_t i;
    if (json_array_size(list) > ARENAS_MAX)
        wrong(r, "arenas", "list of as many arenas as there can be");
    json_array_foreach(list, i, row)
    {
        struct hw_saved_arena a = {.index = get_count(r, row, "index"),
                                   .address = get_address(r, row, "address")};
        if (!json_is_object(row))
            wrong(r, "arenas", "list of arenas");
        get_figures(r, row, a.figures);
        if (r->rc == HW_OK && !hw_vec_push(&s->arenas, a))
            r->rc = hw_fail(r->err, HW_ERR_NOMEM, "no memory for %zu arenas", i);
        if (r->rc != HW_OK)
            return;
    }
    s->some_arenas = has_some_arenas(s);
}

static void get_findings(struct reader *r, const json_t *root, struct hw_saved *s)
{
    const json_t *list = get_array(r, root, "findings"), *row;
    size_t i;
    json_array_foreach(list, i, row)
    {
        if (s->why_not[0] || strcmp(get_text(r, row, "kind"), "note") == 0)
            continue;
        copy_text(s->why_not, sizeof s->why_not, get_text(r, row, "text"));
    }
}

/* "2025-06-01T12:00:00.123Z" */
static struct hw_maybe parse_time(const char *text)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!rest || rest[0] != '.' || strspn(rest + 1, "0123456789") != 3 ||
        strcmp(rest + 4, "Z") != 0)
        return (struct hw_maybe){0};
    time_t seconds = timegm(&tm);
    if (seconds < 0)
        return (struct hw_maybe){0};
    return hw_known((uint64_t)seconds * 1000 + strtoul(rest + 1, NULL, 10));
}

static void get_identity(struct reader *r, const json_t *root, struct hw_saved *s)
{
    const json_t *target = get_object(r, root, "target"), *method = get_object(r, root, "method");
    s->pid = get_count(r, target, "pid");
    s->start_ticks = get_count(r, target, "start_ticks");
    copy_text(s->comm, sizeof s->comm, get_text(r, target, "comm"));
    s->time_ms = parse_time(get_text(r, method, "time"));
    if (s->time_ms.known)
        snprintf(s->time, sizeof s->time, "%.24s", get_text(r, method, "time"));
}

static void get_report(struct reader *r, const json_t *root, struct hw_saved *s)
{
    get_identity(r, root, s);
    s->complete = json_is_true(get(root, "complete"));
    get_findings(r, root, s);
    get_figures(r, get_object(r, root, "totals"), s->totals);
    s->rss_bytes = get_integer(r, get_object(r, root, "rss"), "rss_bytes");
    get_histogram(r, root, "histogram", &s->histogram);
    get_histogram(r, root, "in_use_histogram", &s->in_use_histogram);
    get_arenas(r, root, s);
}

/* A dry run has the same version, but no heap. */
static int check_kind(const char *path, const json_t *root, struct hw_error *err)
{
    const json_t *version = json_object_get(root, "schema_version");
    if (json_is_integer(version) && json_integer_value(version) != 1)
        return hw_fail(err, HW_ERR_UNSUPPORTED,
                       "%.200s is a report of schema_version %" JSON_INTEGER_FORMAT
                       ", and this heapwalk knows version 1",
                       path, json_integer_value(version));
    if (json_is_integer(version) && json_is_object(json_object_get(root, "totals")) &&
        json_is_object(json_object_get(root, "heapwalk")) &&
        !json_object_get(root, "same_process") /* a comparison */)
        return HW_OK;
    hw_fail(err, HW_ERR_CORRUPT, "%.200s is no report of heapwalk", path);
    hw_remedy(err, OLD_OR_NEW);
    return HW_ERR_CORRUPT;
}

static int parse(const char *path, const char *text, size_t length, struct hw_saved *s,
                 struct hw_error *err)
{
    json_error_t why;
    if (!is_bounded(text, length))
        return hw_fail(err, HW_ERR_CORRUPT, "%.200s has more values than any report", path);
    json_t *root = json_loadb(text, length, 0, &why);
    if (!root) {
        char reason[200];
        copy_text(reason, sizeof reason, why.text);
        hw_fail(err, HW_ERR_CORRUPT, "%.200s is no JSON: line %d: %s", path, why.line, reason);
        hw_remedy(err, OLD_OR_NEW);
        return HW_ERR_CORRUPT;
    }
    struct reader r = {.path = path, .err = err, .rc = check_kind(path, root, err)};
    if (r.rc == HW_OK)
        get_report(&r, root, s);
    json_decref(root);
    return r.rc;
}

void hw_saved_deinit(struct hw_saved *s)
{
    hw_vec_free(&s->arenas);
}

int hw_saved_read(const char *path, struct hw_saved *ret, struct hw_error *err)
{
    hw_autofree char *text = NULL;
    size_t length = 0;
    *ret = (struct hw_saved){0};
    snprintf(ret->file, sizeof ret->file, "%.250s", path);
    int rc = read_file(path, &text, &length, err);
    if (rc == HW_OK)
        rc = parse(path, text, length, ret, err);
    if (rc != HW_OK)
        hw_saved_deinit(ret);
    return rc;
}
