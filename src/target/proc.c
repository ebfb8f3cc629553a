#include "target/proc.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/utsname.h>

static int open_proc(int pid, const char *file)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    return open(path, O_RDONLY | O_CLOEXEC);
}

bool hw_proc_text(int pid, const char *file, char *buf, size_t size)
{
    hw_autoclose int fd = open_proc(pid, file);
    if (fd < 0)
        return false;
    size_t len = 0;
    while (len < size - 1) {
        ssize_t n = read(fd, buf + len, size - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    buf[len] = '\0';
    return true;
}

const char *hw_status_value(const char *status, const char *key)
{
    size_t len = strlen(key);
    for (const char *line = status; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) == 0 && line[len] == ':')
            return line + len + 1 + strspn(line + len + 1, " \t");
    }
    return NULL;
}

/* "VmRSS:    1234 kB" in bytes. */
static bool status_bytes(const char *status, const char *key, uint64_t *ret)
{
    const char *value = hw_status_value(status, key);
    if (!value || *value < '0' || *value > '9')
        return false;
    *ret = strtoull(value, NULL, 10) * 1024;
    return true;
}

bool hw_proc_memory(int pid, struct hw_memory *ret)
{
    char status[8192];
    *ret = (struct hw_memory){0};
    return hw_proc_text(pid, "status", status, sizeof status) &&
           status_bytes(status, "VmRSS", &ret->rss_bytes) &&
           status_bytes(status, "RssAnon", &ret->anon_bytes) &&
           status_bytes(status, "RssFile", &ret->file_bytes) &&
           status_bytes(status, "RssShmem", &ret->shmem_bytes) &&
           status_bytes(status, "VmSwap", &ret->swap_bytes) &&
           status_bytes(status, "VmLck", &ret->locked_bytes) &&
           status_bytes(status, "VmSize", &ret->virtual_bytes);
}

bool hw_proc_stat(int pid, struct hw_proc_stat *ret)
{
    char text[512];
    if (!hw_proc_text(pid, "stat", text, sizeof text))
        return false;
    /* "PID (NAME) STATE ..." where NAME may itself hold parentheses and blanks. */
    char *open = strchr(text, '('), *close = strrchr(text, ')');
    if (!open || !close || close < open)
        return false;
    *close = '\0';
    *ret = (struct hw_proc_stat){0};
    snprintf(ret->comm, sizeof ret->comm, "%s", open + 1);
    hw_clean_name(ret->comm);
    return sscanf(
               close + 1,
               " %c %*d %*d %*d %*d %*d %lu %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &ret->state, &ret->flags, &ret->start) == 3;
}

bool hw_proc_thread_ended(int pid, int tid)
{
    char file[32], text[512];
    snprintf(file, sizeof file, "task/%d/stat", tid);
    if (!hw_proc_text(pid, file, text, sizeof text))
        return errno == ENOENT || errno == ESRCH;
    const char *close = strrchr(text, ')');
    return close && close[1] == ' ' && (close[2] == 'Z' || close[2] == 'X');
}

bool hw_proc_tids(int pid, hw_tid_vec *ret)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    if (!dir)
        return false;
    bool ok = true;
    struct dirent *entry;
    while (ok && (entry = readdir(dir))) {
        int tid = atoi(entry->d_name);
        if (tid > 0)
            ok = hw_vec_push(ret, tid);
    }
    closedir(dir);
    if (!ok)
        errno = ENOMEM;
    return ok;
}

bool hw_kernel_since(int major, int minor)
{
    struct utsname name;
    int x = 0, y = 0;
    return uname(&name) == 0 && sscanf(name.release, "%d.%d", &x, &y) == 2 &&
           (x > major || (x == major && y >= minor));
}

char *hw_proc_link(int pid, const char *file)
{
    char path[64], to[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    ssize_t n = readlink(path, to, sizeof to - 1);
    if (n < 0)
        return NULL;
    to[n] = '\0';
    return strdup(to);
}

bool hw_proc_parse_map(char *line, struct hw_map *ret)
{
    /* 7f10a2c00000-7f10a2c28000 r-xp 00028000 fe:00 1234   /usr/lib/a name.so (deleted) */
    unsigned long long start, end, offset;
    char perms[5];
    int path = -1;
    if (sscanf(line, "%llx-%llx %4s %llx %*s %*s %n", &start, &end, perms, &offset, &path) != 4 ||
        path < 0 || start >= end)
        return false;
    line[strcspn(line, "\n")] = '\0';
    *ret = (struct hw_map){
        .start = start,
        .end = end,
        .offset = offset,
        .flags = (perms[0] == 'r' ? HW_MAP_READ : 0u) | (perms[1] == 'w' ? HW_MAP_WRITE : 0u) |
                 (perms[2] == 'x' ? HW_MAP_EXEC : 0u) | (perms[3] == 's' ? HW_MAP_SHARED : 0u),
        .path = line[path] ? line + path : NULL,
    };
    return true;
}

static int maps_failed(int pid, struct hw_error *err)
{
    if (errno == ENOENT || errno == ESRCH)
        return hw_fail(err, HW_ERR_GONE, "pid %d has ended", pid);
    int code = errno == EACCES || errno == EPERM ? HW_ERR_PERMISSION : HW_ERR_SYSTEM;
    return hw_fail_errno(err, code, "cannot read /proc/%d/maps", pid);
}

/* Append the map that a line tells of, with a path of its own. */
static int add_map(char *line, hw_map_vec *maps, struct hw_error *err)
{
    struct hw_map map;
    if (!hw_proc_parse_map(line, &map))
        return HW_OK;
    /* A running process changes its maps between two reads of the file. The kernel promises not
     * to go back, but a mapping may have grown over what was told before. */
    hw_addr told = maps->count ? maps->data[maps->count - 1].end : 0;
    if (map.end <= told)
        return HW_OK;
    if (map.start < told) {
        map.offset += map.offset || map.path ? told - map.start : 0;
        map.start = told;
    }
    if (map.path && !(map.path = strdup(map.path)))
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    if (!hw_vec_push(maps, map)) {
        free(map.path);
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    }
    return HW_OK;
}

int hw_proc_maps(int pid, hw_map_vec *ret, struct hw_error *err)
{
    int fd = open_proc(pid, "maps");
    hw_autofile FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    if (!f) {
        int failed = maps_failed(pid, err);
        if (fd >= 0)
            close(fd);
        return failed;
    }
    setvbuf(f, NULL, _IOFBF, 1 << 16);
    hw_autofree char *line = NULL;
    size_t size = 0;
    errno = 0;
    while (getline(&line, &size, f) > 0) {
        int rc = add_map(line, ret, err);
        if (rc != HW_OK) {
            hw_map_vec_free(ret);
            return rc;
        }
        errno = 0;
    }
    if (ferror(f) || !feof(f)) {
        hw_map_vec_free(ret);
        return maps_failed(pid, err);
    }
    return HW_OK;
}
