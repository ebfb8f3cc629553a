/*
 * Small questions about a process, answered by /proc. `pid` may be the id of any of its threads.
 */
#ifndef HW_TARGET_PROC_H
#define HW_TARGET_PROC_H

#include "base/vec.h"
#include "target/image.h"

#include <sys/types.h>

/* The text of /proc/PID/FILE, up to size - 1 bytes of it, ended by NUL. False (errno) on failure.
 */
bool hw_proc_text(int pid, const char *file, char *buf, size_t size);

/* The kernel's sums of a process's memory, from /proc/PID/status; false if they are not there. */
bool hw_proc_memory(int pid, struct hw_memory *ret);

/* Where the value of "Key:" begins in the text of /proc/PID/status; NULL if it is not there. */
const char *hw_status_value(const char *status, const char *key);

/* What /proc/PID/stat says of a thread. */
struct hw_proc_stat {
    char comm[64]; /* cleaned, see hw_clean_name() */
    char state;    /* 'R', 'S', 'D', 'T', 't', 'Z', 'X', ... */
    unsigned long flags;
    unsigned long long start; /* when the process was started, in ticks since the machine was */
};
#define HW_PF_KTHREAD 0x00200000ul /* in flags: a thread of the kernel itself */
bool hw_proc_stat(int pid, struct hw_proc_stat *ret);

/* True if a thread has ended, reaped or not. `tid` is one of process `pid`. */
bool hw_proc_thread_ended(int pid, int tid);

/* The ids in /proc/PID/task, in no order. False (errno) on failure. */
typedef HW_VEC(int) hw_tid_vec;
bool hw_proc_tids(int pid, hw_tid_vec *ret);

/* Whether the kernel that runs is this version or a later one. */
bool hw_kernel_since(int major, int minor);

/* The target of a symbolic link such as /proc/PID/exe, to be freed; NULL (errno) on failure. */
char *hw_proc_link(int pid, const char *file);

/*
 * The maps of a process, as /proc/PID/maps tells them. A newline in a file name stands as "\012"
 * there, and stays so. Fails with GONE, PERMISSION (bare), NOMEM, SYSTEM.
 */
int hw_proc_maps(int pid, hw_map_vec *ret, struct hw_error *err);

/* One line of /proc/PID/maps; it is changed. ret->path points into it. False: not such a line. */
bool hw_proc_parse_map(char *line, struct hw_map *ret);

#endif
