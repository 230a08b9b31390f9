/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host of the code under test, without system calls: a clock that the input turns, eventfds, one
 * socket with a peer that the input plays, one file in memory, a log that is formatted and dropped. It
 * takes the place of vmm/lib/log.c, vmm/lib/wake.c and of the C library's calls (the linker's --wrap,
 * see the Makefile), so that a run is quick and always the same.
 *
 * A descriptor that is closed twice, or used after it was closed, ends the process, as ASan does for
 * memory. Thread: one.
 */
#ifndef EBB_FUZZ_HOST_H
#define EBB_FUZZ_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ends the process, with the place, if @condition is false: a rule that every input must leave true. */
#define MUST(condition) ((condition) ? (void)0 : fuzz_broken(__FILE__, __LINE__, #condition))
_Noreturn void fuzz_broken(const char *file, int line, const char *condition);

/* Forgets everything: for the start of a run. */
void host_reset(void);

void host_time_passes(uint64_t ns);

/* --- descriptors ----------------------------------------------------------------------------- */

/* Return the number of a new one. */
int host_eventfd(void);
int host_socket(void);
/* How many are open. */
unsigned int host_open(void);

/* --- the socket's peer ----------------------------------------------------------------------- */

#define HOST_SOCKET_ROOM (1U << 17)

/* What the peer wrote and ebb has not read; what is too much is dropped. */
void host_peer_writes(const void *bytes, size_t len);
void host_peer_closes(void);
/* The socket takes so many bytes more, then none (EAGAIN); and fails with @error, if that is not 0. */
void host_peer_reads(size_t room, int error);
/* Called with each piece that ebb sends; NULL: dropped. */
void host_on_sent(void (*sent)(const uint8_t *bytes, size_t len));
/* Called when ebb waits, and nothing is there for it yet; NULL: time passes. */
void host_on_wait(void (*waited)(void));

/* --- the file -------------------------------------------------------------------------------- */

#define HOST_FILE 7 /* its descriptor, for pread() */
void host_file(const void *bytes, size_t len);

#endif
