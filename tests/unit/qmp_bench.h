/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A control server of a guest called "one" in the test's runtime directory (runtime_dir.h), its loop run in rounds by
 * the test, and clients that are plain sockets.
 *
 * Thread: one, the loop's.
 */
#ifndef EBB_TESTS_QMP_BENCH_H
#define EBB_TESTS_QMP_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/control/runtime.h"
#include "vmm/control/server.h"

/*
 * Its commands: echo (returns its arguments), fail, fail-class, fail-long, fail-silently, big (a string
 * of "size" bytes), emit (events "a", "b", and "storm" times "c" of "size" bytes, before its answer), count (calls so far), later (deferred; the test answers it), take (reads a byte of the descriptor that came with it; "none"), quit (stops the loop).
 */
struct bench {
	struct runtime_name name;
	struct loop loop;
	struct control_server *server;
	struct loop_source ticker; /* always ready: a call is a round of all that is */
	unsigned long ticks;
	unsigned long stop_at;
	unsigned int count;
	uint64_t later; /* the last command that was deferred */
	bool quit;
};

void bench_init(struct bench *bench);
void bench_release(struct bench *bench);

/* Everything that is ready is served @count times. */
void bench_rounds(struct bench *bench, unsigned int count);

/* A client's socket, which never blocks. */
int bench_connect(struct bench *bench);
/* One past negotiation, all read. */
int bench_negotiated(struct bench *bench);

void put_bytes(int fd, const char *bytes, size_t len);
void put(int fd, const char *text);

/* What has come, up to 64 KiB; "" if nothing. @ended: whether the connection has ended. */
const char *get(int fd, bool *ended);

/* Sends @text, runs some rounds, and returns what came. */
const char *ask(struct bench *bench, int fd, const char *text);

#endif
