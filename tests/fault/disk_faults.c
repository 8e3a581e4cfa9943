/* Preloaded into a worker under test: chosen system calls on chosen files fail, while a test says so.

   DISK_FAULTS names a file that test and worker have mapped: the struct below. `match` is part of the path of
   the files meant; the first `skip` such calls pass, then `times` of them fail with `error` (-1: all of them).
   `fired` counts those that failed. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, TRUNCATE = 4, READ = 8, OPEN = 16 };

struct rule {
    int32_t armed, calls, error, skip, times, fired;
    char match[64];
};

static struct rule *rule;

__attribute__((constructor)) static void map_rule(void) {
    const char *path = getenv("DISK_FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *at = mmap(NULL, sizeof(struct rule), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED) rule = at;
}

static int strikes(const char *path) {
    if (!strstr(path, rule->match)) return 0;
    if (__atomic_sub_fetch(&rule->skip, 1, __ATOMIC_SEQ_CST) >= 0) return 0;
    if (rule->times >= 0 && __atomic_sub_fetch(&rule->times, 1, __ATOMIC_SEQ_CST) < 0) {
        rule->times = 0;
        return 0;
    }
    __atomic_add_fetch(&rule->fired, 1, __ATOMIC_SEQ_CST);
    errno = rule->error;
    return 1;
}

static int meant(int call) { return rule && rule->armed && (rule->calls & call); }

static int fails(int call, int fd) {
    char link[64], path[PATH_MAX];
    if (!meant(call)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strikes(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *buf, size_t n) { return fails(WRITE, fd) ? -1 : REAL(write)(fd, buf, n); }
ssize_t pwrite(int fd, const void *buf, size_t n, off_t at) {
    return fails(WRITE, fd) ? -1 : REAL(pwrite)(fd, buf, n, at);
}
ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t at) {
    return fails(WRITE, fd) ? -1 : REAL(pwrite64)(fd, buf, n, at);
}
ssize_t read(int fd, void *buf, size_t n) { return fails(READ, fd) ? -1 : REAL(read)(fd, buf, n); }
ssize_t pread(int fd, void *buf, size_t n, off_t at) { return fails(READ, fd) ? -1 : REAL(pread)(fd, buf, n, at); }
ssize_t pread64(int fd, void *buf, size_t n, off64_t at) {
    return fails(READ, fd) ? -1 : REAL(pread64)(fd, buf, n, at);
}
int fsync(int fd) { return fails(SYNC, fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails(SYNC, fd) ? -1 : REAL(fdatasync)(fd); }
int ftruncate(int fd, off_t size) { return fails(TRUNCATE, fd) ? -1 : REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { return fails(TRUNCATE, fd) ? -1 : REAL(ftruncate64)(fd, size); }

#define OPENS(name)                                                        \
    int name(const char *path, int flags, ...) {                           \
        va_list rest;                                                      \
        va_start(rest, flags);                                             \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                      \
        return meant(OPEN) && strikes(path) ? -1 : REAL(name)(path, flags, mode); \
    }
OPENS(open)
OPENS(open64)
