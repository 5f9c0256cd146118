/* /proc, getrlimit, getrusage and sched_getaffinity. */
#include "server/base/process.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static int64_t resident_bytes(void)
{
    long long size, resident = 0;
    FILE *in = fopen("/proc/self/statm", "re");
    if (!in)
        return 0;
    if (fscanf(in, "%lld %lld", &size, &resident) != 2)
        resident = 0;
    fclose(in);
    return resident * sysconf(_SC_PAGESIZE);
}

/* Counts the entries of the folder, without ".", ".." and the descriptor that reads it. */
static int64_t fds_count(void)
{
    int64_t count = -3;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

void sm_process_read(struct sm_process *out)
{
    struct rusage usage;
    struct rlimit fds;
    *out = (struct sm_process){.resident_bytes = resident_bytes(), .fds_count = fds_count()};
    if (getrlimit(RLIMIT_NOFILE, &fds) == 0)
        out->fds_max = (int64_t)fds.rlim_cur;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        out->cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int sm_process_cores(void)
{
    cpu_set_t may;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    if (sched_getaffinity(0, sizeof may, &may) == 0)
        return CPU_COUNT(&may);
    return online > 1 ? (int)online : 1; /* more processors than cpu_set_t holds */
}
