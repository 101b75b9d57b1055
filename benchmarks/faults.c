/* File operations that fail on order, for `attacks.py`; Linux.

       cc -shared -fPIC -O1 -o faults.so faults.c -ldl        LD_PRELOAD=faults.so python ...

   Operations on paths below a prefix are counted once `faults_arm` was called: opens, writes, syncs,
   truncations, renames, removals, new folders, by Python and by the libraries under it alike. What
   happens from the n-th on is the mode's:

       0  nothing: they are counted
       1  the process is killed before the n-th
       2  the n-th is half done (a write writes half of its bytes), and the process is killed
       3  the n-th fails with an input/output error, the others succeed
       4  the n-th and the `span - 1` that follow find no space on the device
       5  a disk of n bytes: what is written beyond finds no space; removals give nothing back
       6  a disk that is nearly full: of the n operations after the first `span`, one in three finds
          no space, or writes half, by the seed
       7  all succeed, one at a time; the files are copied as a kill would leave them: before every n-th
          operation to `prefix aside/before-...`, in the middle of every n-th write to
          `prefix aside/during-...` */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COUNT, KILL, HALF, FAIL, FULL, DISK, NEARLY, COPY };
enum verdict { GO, PARTLY, FAILS };

static char prefix[PATH_MAX];
static atomic_int armed;
static atomic_long counted, writes, written, met;
static int mode;
static long target, span;
static uint64_t seed;
static _Thread_local long number; /* of this thread's last operation */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

void faults_arm(const char *below, int what, long n, long width, long key) {
  strncpy(prefix, below, sizeof prefix - 1);
  mode = what, target = n, span = width, seed = (uint64_t)key;
  counted = writes = written = met = 0;
  armed = 1;
}

long faults_counted(void) { return counted; }
long faults_met(void) { return met; }

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int below(const char *path) {
  size_t length = strlen(prefix);
  return strncmp(path, prefix, length) == 0 && (path[length] == 0 || path[length] == '/');
}

static int folder_of(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  path[length > 0 ? length : 0] = 0;
  return length > 0;
}

static int concerns(int dir, const char *path) {
  char where[PATH_MAX];
  if (!armed) return 0;
  if (path && path[0] == '/') return below(path);
  if (path && dir == AT_FDCWD) return getcwd(where, sizeof where) && below(where);
  return folder_of(dir, where) && below(where);
}

static uint64_t mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

static void copy(const char *when) {
  char to[PATH_MAX + 48];
  snprintf(to, sizeof to, "%s aside/%s-%06ld", prefix, when, number);
  char *line[] = {"cp", "-a", "--", prefix, to, NULL};
  pid_t child;
  if (posix_spawnp(&child, "cp", NULL, NULL, line, environ) == 0) waitpid(child, NULL, 0);
}

/* As `verdict`, for the mode. */
static enum verdict decided(long bytes, int frees) {
  long n = number = ++counted;
  if (mode == KILL && n == target) die();
  if (mode == HALF && n == target) return PARTLY;
  if (mode == FAIL && n == target) return errno = EIO, FAILS;
  if (mode == COPY && (n - 1 - target / 2) % target == 0) copy("before");
  if (mode == COPY && bytes > 1 && (writes++ - target / 2) % target == 0) return PARTLY;
  if (frees) return GO;
  if (mode == FULL && n >= target && n < target + span) return errno = ENOSPC, FAILS;
  if (mode == DISK && bytes >= 0) {
    if (written + bytes > target) return errno = ENOSPC, FAILS;
    written += bytes;
  }
  if (mode == NEARLY && n > span && n <= span + target) {
    uint64_t chance = mixed(seed ^ (uint64_t)n);
    if (chance % 3 == 0) return errno = ENOSPC, (bytes > 1 && chance & 1024) ? PARTLY : FAILS;
  }
  return GO;
}

/* What becomes of an operation; bytes: of a write, else -1; frees: whether it makes room. */
static enum verdict verdict(long bytes, int frees) {
  enum verdict found = decided(bytes, frees);
  met += found != GO;
  return found;
}

static void leave(const int *held) {
  if (*held) pthread_mutex_unlock(&turn);
}

/* Whether an operation concerns us; if so, and if it is to be the only one, waits for its turn. */
#define HERE(dir, path)                                                 \
  int here = concerns(dir, path), held __attribute__((cleanup(leave))) = \
      here && mode == COPY && pthread_mutex_lock(&turn) == 0;

#define GUARD(dir, path, frees, call)                  \
  HERE(dir, path)                                      \
  if (here) {                                          \
    enum verdict v = verdict(-1, frees);               \
    if (v == FAILS) return -1;                         \
    if (v == PARTLY) {                                 \
      call;                                            \
      die();                                           \
    }                                                  \
  }                                                    \
  return call;

#define OPEN(name, ...)                                                      \
  int name(const char *path, int flags, ...) {                              \
    va_list rest;                                                            \
    va_start(rest, flags);                                                   \
    mode_t rights = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                            \
    GUARD(AT_FDCWD, path, 0, REAL(name)(path, flags, rights))                \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                         \
  int name(int dir, const char *path, int flags, ...) {                     \
    va_list rest;                                                            \
    va_start(rest, flags);                                                   \
    mode_t rights = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                            \
    GUARD(dir, path, 0, REAL(name)(dir, path, flags, rights))                \
  }
OPENAT(openat)
OPENAT(openat64)

#define WRITE(half, rest, whole, bytes)                \
  HERE(fd, NULL)                                       \
  if (here) {                                          \
    enum verdict v = verdict((long)(bytes), 0);        \
    if (v == FAILS) return -1;                         \
    if (v == PARTLY) {                                 \
      ssize_t done = half;                             \
      if (mode == HALF) die();                         \
      if (mode == COPY && done > 0) {                  \
        copy("during");                                \
        done += rest;                                  \
      }                                                \
      return done;                                     \
    }                                                  \
  }                                                    \
  return whole;

ssize_t write(int fd, const void *data, size_t size) {
  size_t half = size / 2;
  WRITE(REAL(write)(fd, data, half), REAL(write)(fd, (const char *)data + half, size - half),
        REAL(write)(fd, data, size), size)
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  size_t half = size / 2;
  WRITE(REAL(pwrite)(fd, data, half, at),
        REAL(pwrite)(fd, (const char *)data + half, size - half, at + (off_t)half),
        REAL(pwrite)(fd, data, size, at), size)
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  size_t half = size / 2;
  WRITE(REAL(pwrite64)(fd, data, half, at),
        REAL(pwrite64)(fd, (const char *)data + half, size - half, at + (off64_t)half),
        REAL(pwrite64)(fd, data, size, at), size)
}
static void discard(char **data) { free(*data); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
  size_t size = 0, at = 0;
  for (int i = 0; i < count; i++) size += parts[i].iov_len;
  char *data __attribute__((cleanup(discard))) = malloc(size + 1);
  for (int i = 0; i < count; at += parts[i++].iov_len)
    if (parts[i].iov_len) memcpy(data + at, parts[i].iov_base, parts[i].iov_len);
  size_t half = size / 2;
  WRITE(REAL(write)(fd, data, half), REAL(write)(fd, data + half, size - half),
        REAL(writev)(fd, parts, count), size)
}

int fsync(int fd) { GUARD(fd, NULL, 0, REAL(fsync)(fd)) }
int fdatasync(int fd) { GUARD(fd, NULL, 0, REAL(fdatasync)(fd)) }
int ftruncate(int fd, off_t size) { GUARD(fd, NULL, 1, REAL(ftruncate)(fd, size)) }
int ftruncate64(int fd, off64_t size) { GUARD(fd, NULL, 1, REAL(ftruncate64)(fd, size)) }
int rename(const char *a, const char *b) { GUARD(AT_FDCWD, b, 0, REAL(rename)(a, b)) }
int renameat(int d, const char *a, int e, const char *b) { GUARD(e, b, 0, REAL(renameat)(d, a, e, b)) }
int unlink(const char *path) { GUARD(AT_FDCWD, path, 1, REAL(unlink)(path)) }
int unlinkat(int dir, const char *path, int flags) { GUARD(dir, path, 1, REAL(unlinkat)(dir, path, flags)) }
int rmdir(const char *path) { GUARD(AT_FDCWD, path, 1, REAL(rmdir)(path)) }
int mkdir(const char *path, mode_t rights) { GUARD(AT_FDCWD, path, 0, REAL(mkdir)(path, rights)) }
int mkdirat(int dir, const char *path, mode_t rights) { GUARD(dir, path, 0, REAL(mkdirat)(dir, path, rights)) }
