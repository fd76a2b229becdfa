/* A disk that breaks and is mended while a process runs that this is preloaded into (LD_PRELOAD).

   $BROKEN_DISK is a folder of orders, each of which names a kind of call and the suffix of a path:

     flush.sqlite-wal   such calls fail with EIO, but for the next few: as many as the order has bytes
     keep.sqlite-wal    each write that succeeds adds a line to it: where it began, and how many bytes it was

   Whenever a call fails, the file `struck` appears there. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Puts the path of an order about `file` into `order`; answers whether there can be one. */
static int ordered(const char *kind, int file, char *order) {
  char link[64], path[PATH_MAX];
  const char *orders = getenv("BROKEN_DISK");
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = orders ? readlink(link, path, sizeof path - 1) : 0;
  path[length > 0 ? length : 0] = 0;
  const char *suffix = strrchr(path, '.');
  return suffix && snprintf(order, PATH_MAX, "%s/%s%s", orders, kind, suffix) < PATH_MAX;
}

static int fails(const char *call, int file) {
  char order[PATH_MAX];
  struct stat passing;
  if (!ordered(call, file, order) || stat(order, &passing)) return 0;
  if (passing.st_size) return truncate(order, passing.st_size - 1);
  strcpy(strrchr(order, '/'), "/struck");
  close(creat(order, 0600));
  errno = EIO;
  return 1;
}

static ssize_t kept(int file, off64_t at, ssize_t size) {
  char order[PATH_MAX];
  int to = ordered("keep", file, order) ? open(order, O_WRONLY | O_APPEND) : -1;
  if (to >= 0) {
    dprintf(to, "%lld %zd\n", (long long)at, size);
    close(to);
  }
  return size;
}

int fsync(int file) { return fails("flush", file) ? -1 : REAL(fsync)(file); }

int fdatasync(int file) { return fails("flush", file) ? -1 : REAL(fdatasync)(file); }

ssize_t write(int file, const void *bytes, size_t size) {
  return fails("write", file) ? -1 : REAL(write)(file, bytes, size);
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t at) {
  return fails("write", file) ? -1 : kept(file, at, REAL(pwrite)(file, bytes, size, at));
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at) {
  return fails("write", file) ? -1 : kept(file, at, REAL(pwrite64)(file, bytes, size, at));
}

ssize_t pread(int file, void *bytes, size_t size, off_t at) {
  return fails("read", file) ? -1 : REAL(pread)(file, bytes, size, at);
}

ssize_t pread64(int file, void *bytes, size_t size, off64_t at) {
  return fails("read", file) ? -1 : REAL(pread64)(file, bytes, size, at);
}
