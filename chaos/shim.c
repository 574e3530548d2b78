/* Calls of libc of one process under a run, by LD_PRELOAD: its clock may be wrong, the disk of the
   archive full, read-only, broken or slow. The rest of the machine notices nothing, and no right of
   root is needed. What is wrong stands in a file that the run writes (chaos/shim.py). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct wrong {
  int64_t clock_us;   /* added to the time of day */
  int32_t write_errno; /* of what takes room: opening for writing, writing, making folders */
  int32_t change_errno; /* of what changes names: linking, renaming, removing */
  int32_t read_errno;  /* of opening for reading */
  int32_t delay_us;    /* before each of these calls */
};

static const struct wrong nothing;
static const volatile struct wrong *wrong = &nothing;
static const char *disk; /* the folder of the archive */

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("CHAOS_WRONG");
  disk = getenv("CHAOS_DISK");
  int file = path ? REAL(open)(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *found = mmap(NULL, sizeof(struct wrong), PROT_READ, MAP_SHARED, file, 0);
  if (found != MAP_FAILED) wrong = found;
  close(file);
}

int clock_gettime(clockid_t id, struct timespec *at) {
  static __typeof__(&clock_gettime) real;
  if (!real) real = REAL(clock_gettime);
  int done = real(id, at);
  if (!done && wrong->clock_us && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
    at->tv_sec += wrong->clock_us / 1000000;
  return done;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  static __typeof__(&gettimeofday) real;
  if (!real) real = REAL(gettimeofday);
  int done = real(at, zone);
  if (!done && at) at->tv_sec += wrong->clock_us / 1000000;
  return done;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}

/* Whether a path, or the file that is open as `folder` where there is none, lies on the disk. */
static int is_there(int folder, const char *path) {
  char link[64], place[4096];
  if (!disk) return 0;
  if (!path || path[0] != '/') {
    if (folder < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t size = readlink(link, place, sizeof place - 1);
    if (size < 0) return 0;
    place[size] = 0;
    path = place;
  }
  return !strncmp(path, disk, strlen(disk));
}

/* The error that a call must end with, or 0; a slow disk takes its time here. */
static int refused(int folder, const char *path, int code) {
  int32_t delay_us = wrong->delay_us;
  if (!code && !delay_us) return 0;
  int before = errno, hit = is_there(folder, path);
  errno = before;
  if (!hit) return 0;
  if (delay_us) usleep(delay_us);
  if (code) errno = code;
  return code;
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
  static __typeof__(&openat) real;
  if (!real) real = REAL(openat);
  int writes = (flags & O_ACCMODE) != O_RDONLY;
  if (refused(folder, path, writes ? wrong->write_errno : wrong->read_errno)) return -1;
  return real(folder, path, flags, mode);
}

#define OPEN(name, ...)                                  \
  va_list more;                                          \
  va_start(more, flags);                                 \
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
  va_end(more);                                          \
  return opened(__VA_ARGS__, flags, mode);

int open(const char *path, int flags, ...) { OPEN(open, AT_FDCWD, path) }
int open64(const char *path, int flags, ...) { OPEN(open64, AT_FDCWD, path) }
int openat(int folder, const char *path, int flags, ...) { OPEN(openat, folder, path) }
int openat64(int folder, const char *path, int flags, ...) { OPEN(openat64, folder, path) }

#define CALL(result, name, parameters, arguments, folder, path, code) \
  result name parameters {                                            \
    static __typeof__(&name) real;                                    \
    if (!real) real = REAL(name);                                     \
    if (refused(folder, path, code)) return -1;                       \
    return real arguments;                                            \
  }

CALL(ssize_t, write, (int file, const void *data, size_t size), (file, data, size), file, NULL,
     wrong->write_errno)
CALL(int, fsync, (int file), (file), file, NULL, 0)
CALL(int, fdatasync, (int file), (file), file, NULL, 0)
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path, wrong->write_errno)
CALL(int, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode), folder, path,
     wrong->write_errno)
CALL(int, rename, (const char *from, const char *to), (from, to), AT_FDCWD, to, wrong->change_errno)
CALL(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), b, to,
     wrong->change_errno)
CALL(int, link, (const char *from, const char *to), (from, to), AT_FDCWD, to, wrong->change_errno)
CALL(int, linkat, (int a, const char *from, int b, const char *to, int flags),
     (a, from, b, to, flags), b, to, wrong->change_errno)
CALL(int, unlink, (const char *path), (path), AT_FDCWD, path, wrong->change_errno)
CALL(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags), folder, path,
     wrong->change_errno)
