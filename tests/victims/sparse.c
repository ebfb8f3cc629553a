/*
 * sparse untouched|userfault [MIB]: a large mapping of which no page was ever touched. An mmapped
 * chunk lies behind a page of somebody else's, so that it is found only by trying every page. With
 * "userfault" the program itself handles faults in the mapping, and its handler is stopped like
 * everybody while heapwalk looks.
 *
 * Expectation: "sparse START BYTES".
 */
#include "victim.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE ((size_t)4096)

static void *map(void *where, size_t bytes)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | (where ? MAP_FIXED_NOREPLACE : 0);
    void *p = mmap(where, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (p == MAP_FAILED)
        victim_die("mmap");
    return p;
}

static void *handle_faults(void *arg)
{
    int fd = *(int *)arg;
    struct uffd_msg m;
    __atomic_store_n((int *)arg, -1, __ATOMIC_RELEASE);
    while (read(fd, &m, sizeof m) == sizeof m) {
        struct uffdio_zeropage z = {.range = {m.arg.pagefault.address & ~(PAGE - 1), PAGE}};
        ioctl(fd, UFFDIO_ZEROPAGE, &z);
    }
    victim_die("userfaultfd: read");
}

static void register_faults(void *p, size_t bytes)
{
    static int fd;
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register r = {.range = {(uintptr_t)p, bytes},
                                .mode = UFFDIO_REGISTER_MODE_MISSING};
    fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) != 0 || ioctl(fd, UFFDIO_REGISTER, &r) != 0)
        victim_die("userfaultfd");
    victim_thread(handle_faults, &fd);
    while (__atomic_load_n(&fd, __ATOMIC_ACQUIRE) != -1)
        usleep(1000);
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    size_t bytes = victim_number(1, 256) << 20;
    char *chunk = (char *)victim_malloc(1 << 20) - 16;
    memset(map(chunk - PAGE, PAGE), 0xFF, PAGE);
    char *p = map(NULL, bytes);
    if (victim_is(0, "userfault"))
        register_faults(p, bytes);
    victim_expect("sparse %p %zu", (void *)p, bytes);
    victim_ready();
}
