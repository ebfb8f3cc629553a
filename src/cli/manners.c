#include "manners.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As <linux/ioprio.h> has it since Linux 5.15. */
#define WHO_THREAD   1
#define CLASS_IDLE   (3 << 13)
#define NICE_FURTHER 5

struct task {
    void (*work)(void *arg);
    void *arg;
};

/* In Linux priorities belong to threads. It is fine if one cannot be had. */
static void *lowered(void *arg)
{
    const struct task *task = arg;
    setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + NICE_FURTHER);
    syscall(SYS_ioprio_set, WHO_THREAD, 0, CLASS_IDLE);
    task->work(task->arg);
    return NULL;
}

void run_politely(void (*work)(void *arg), void *arg)
{
    pthread_t thread;
    struct task task = {work, arg};
    if (pthread_create(&thread, NULL, lowered, &task) == 0)
        pthread_join(thread, NULL);
    else
        work(arg);
}
