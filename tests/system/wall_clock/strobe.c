/* Preloaded into a process: its wall clock jumps every 40 ms, by up to a day forwards and backwards; its monotonic clock does not.
 * Whatever in the process, or in a library of it, waits or decides by the wall clock, hangs or goes wrong. At its end the process
 * leaves in $STROBE_PROOF how often somebody saw a wrong time. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static atomic_long wrong_times;

static long offset_now(void) {
  static const long offsets[] = {0, 262, -262, 86400, -86400, 3600, -1};
  struct timespec now;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  const long slice = (now.tv_sec * 1000 + now.tv_nsec / 1000000) / 40;
  const long out = offsets[slice % 7];
  if (out != 0) atomic_fetch_add(&wrong_times, 1);
  return out;
}

int clock_gettime(clockid_t which, struct timespec* out) {
  const int code = (int)syscall(SYS_clock_gettime, which, out);
  if (code == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) out->tv_sec += offset_now();
  return code;
}

int gettimeofday(struct timeval* out, void* zone) {
  struct timespec now;
  (void)zone;
  const int code = clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return code;
}

time_t time(time_t* out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}

__attribute__((destructor)) static void leave_proof(void) {
  const char* file = getenv("STROBE_PROOF");
  FILE* to = file ? fopen(file, "w") : NULL;
  if (!to) return;
  fprintf(to, "%ld\n", atomic_load(&wrong_times));
  fclose(to);
}
